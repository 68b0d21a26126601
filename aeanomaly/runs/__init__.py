"""What lies in a run's directory: written whole, and read without torch."""
