"""One environment led: gather, decide, record, act. The only room of the controller with state."""
