"""Whatever talks to other processes."""
