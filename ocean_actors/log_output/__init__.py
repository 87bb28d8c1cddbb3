"""The log of the command line: where its lines go, and how they look."""
