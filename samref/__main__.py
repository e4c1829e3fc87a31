"""`python -m samref`: the command `samref`."""

import sys

from samref.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
