"""``python -m kdkit``, or ``kdkit``: a command a file."""
