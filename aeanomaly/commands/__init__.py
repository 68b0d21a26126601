"""Commands that are not a Trainer verb, one file each; importing one pulls in neither torch nor lightning."""
