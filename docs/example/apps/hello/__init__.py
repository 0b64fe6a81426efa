"""The smallest application that can be released: it greets, says when it is ready, and counts what it answers."""
