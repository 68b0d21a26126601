"""``benchmark``: a grid of fits, its tables and its figures."""
