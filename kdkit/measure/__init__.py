"""What is measured: scores and intervals, what a network costs, and on what machine."""
