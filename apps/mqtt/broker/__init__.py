"""Clients: their connections, sessions, rights and subscriptions, and the group commit behind every PUBACK."""
