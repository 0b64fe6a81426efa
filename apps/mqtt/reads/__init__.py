"""What is read over HTTP: newest readings, pages of them, events as they happen, readiness, metrics."""
