"""An executable model of a release: the real deciding and the real promises of nodes, where all goes wrong."""
