"""The command line of a checkout: `python run.py ...` is `samref run ...`; see README.md and `--help`."""

import sys

from samref.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
