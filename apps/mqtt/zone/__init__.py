"""The other nodes of the zone: what this node tells them, and what it asks of them."""
