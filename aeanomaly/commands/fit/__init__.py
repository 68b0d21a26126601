"""``fit``, ``validate``, ``test`` and ``predict``: Lightning's Trainer from the command line."""
