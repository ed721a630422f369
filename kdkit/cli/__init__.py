"""``python -m kdkit``: a command a file."""
