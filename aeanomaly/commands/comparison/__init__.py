"""Runs side by side as rows and columns, for the commands that show them."""
