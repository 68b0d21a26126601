"""One callback per file; they read the outputs of the module, never the insides of a net."""
