"""Entry point of ``python -m aeanomaly``."""

import sys

from aeanomaly.cli import main

if __name__ == "__main__":
    sys.exit(main())
