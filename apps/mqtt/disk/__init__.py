"""What is kept: the store and its logs, sessions, what came down, how far forwarding has come."""
