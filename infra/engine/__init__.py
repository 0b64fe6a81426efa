"""Pulumi's engine: which version it is (``go.mod``), how it is found, and how an environment's stack is run by it."""
