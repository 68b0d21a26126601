"""``predict``: scores, p-values and decisions for pictures in files."""
