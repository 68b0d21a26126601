"""``sweep``: a search for the settings with the lowest val/loss."""
