"""Planted drift: single changes made behind the program's back by another process, and what reports make of them."""
