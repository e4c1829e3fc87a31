"""Programs as a user starts them, in processes of their own, with the package that is being tested."""

import os
import subprocess
import sys
from pathlib import Path

import samref

ROOT = Path(samref.__file__).resolve().parents[1]


def python(*words, cwd, timeout=120, **environment):
    """Runs Python; what it prints comes back as text, whatever its exit code."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
