"""`python -m tests.robustness.audit`: are there known vulnerabilities in what samref needs and has installed here?

Fails only for a finding. Where the database cannot be reached, no fault of the code, it prints that and passes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SECONDS = 120


def needed(name: str = "samref") -> set[str]:
    """Packages that a plain `pip install` of a package brings, as far as they are installed."""
    found: set[str] = set()
    todo = [canonicalize_name(name)]
    while todo:
        package = todo.pop()
        try:
            requirements = [Requirement(line) for line in metadata.requires(package) or ()]
        except metadata.PackageNotFoundError:
            continue
        found.add(package)
        wanted = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
        todo += [name for name in (canonicalize_name(r.name) for r in wanted) if name not in found]
    return found


def audit() -> tuple[list[dict[str, Any]], str]:
    """What the database holds on each installed package, and why there is nothing where there is nothing."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        return json.loads(done.stdout)["dependencies"], ""
    except subprocess.TimeoutExpired:
        return [], "no answer in time"
    except (ValueError, KeyError, OSError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit gave no answer"])[-1]


def verdict(packages: list[dict[str, Any]], why: str, ours: set[str]) -> tuple[str, int]:
    """One sentence or a line a finding, and the exit code."""
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        reason = why or "it answered for none of the installed packages"
        return f"audit: skipped, the database of vulnerabilities cannot be reached from here ({reason})", 0
    bad = [package for package in known if package.get("vulns")]
    lines = [
        f"{package['name']} {package['version']}{'' if canonicalize_name(package['name']) in ours else ' (spare)'}: "
        f"{vulnerability['id']}, fixed in {', '.join(vulnerability['fix_versions']) or 'nothing yet'}"
        for package in bad
        for vulnerability in package["vulns"]
    ]
    needed_ones = [package for package in bad if canonicalize_name(package["name"]) in ours]
    lines.append(
        f"audit: {len(known)} packages, {len(bad)} with known vulnerabilities, {len(needed_ones)} of them needed"
    )
    return "\n".join(lines), 1 if needed_ones else 0


def main() -> int:
    """The command."""
    text, code = verdict(*audit(), needed())
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
