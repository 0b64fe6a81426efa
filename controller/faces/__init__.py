"""What people see. Each face renders values of ``controller.stories.story`` and works nothing out itself."""
