"""An executable model of a release: the real deciding and the real promises of nodes, in a world where all goes wrong."""
