"""Speed, as ratios measured in one run on one machine."""

import os

# Threads that spin while they wait take the cores from those they wait for as soon as anything else runs. Set before
# anything imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
