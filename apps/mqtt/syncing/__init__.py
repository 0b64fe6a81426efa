"""Between this node and the far store, up and down, in a process of its own."""
