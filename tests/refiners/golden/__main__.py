"""Other refiners against what their authors' code computed: `python -m tests.refiners.golden FOLDER`.

FOLDER holds inputs, weights of reduced networks, the draws, intermediate values and results as NumPy archives. They are
too large for the repository. Each line is a comparison, its largest difference and what is allowed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from tests.refiners.golden import bpr, crm, segrefiner


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.refiners.golden", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    failed = 0
    with tempfile.TemporaryDirectory() as made, torch.inference_mode():
        for part in (segrefiner, crm, bpr):
            for what, difference, allowed in part.comparisons(folder, Path(made)):
                right = difference <= allowed
                failed += not right
                print(f"{'ok  ' if right else 'FAIL'} {what}: {difference:.3g}, allowed {allowed:g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
