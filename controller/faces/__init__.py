"""What people see. Each face renders values of ``controller.story`` and works nothing out itself."""
