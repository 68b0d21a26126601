"""A search for the settings with the lowest val/loss: its plan, its study, its trials, and what is made of them."""
