"""``export``: a checkpoint's detector as one graph in a file, for places without this package."""
