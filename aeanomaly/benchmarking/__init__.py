"""A grid of runs: its cells, how they are run, and what is made of their figures."""
