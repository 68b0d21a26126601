"""The page of a run: one HTML file that shows what came of it, without a server or a network."""
