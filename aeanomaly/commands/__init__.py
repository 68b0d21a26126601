"""What a user types: a folder for each command, and for the Trainer's verbs; importing it pulls in no torch."""
