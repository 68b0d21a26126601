"""Entry point of ``python -m aeanomaly``."""

import sys

from aeanomaly.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
