"""The site builds without a warning, and its pages request nothing of other hosts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What a browser fetches by itself; links that a reader may follow are free.
FETCHED = re.compile(r"""<(?:script|img|iframe)[^>]+src=["']?(https?:[^"' >]+)|<link[^>]+href=["']?(https?:[^"' >]+)""")

# Built once: the test run's processes take tests in turn.
pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_experiment_has_a_page_with_its_published_numbers(site):
    for folder in sorted((ROOT / "experiments").glob("*/README.md")):
        page = (site / "paper" / folder.parent.name / "index.html").read_text(encoding="utf-8")
        assert ('class="measured"' in page) == (folder.parent / "table.yaml").exists(), folder.parent.name


def test_the_api_is_there_with_arguments_and_types(site):
    page = (site / "api" / "refiner" / "index.html").read_text(encoding="utf-8")
    for word in ("from_pretrained", "WeightsError", "keep_candidates", "Parameters:", "Returns:"):
        assert word in page


def test_pages_request_nothing_of_other_hosts(site):
    for page in site.rglob("*.html"):
        fetched = FETCHED.findall(re.sub(r'<link rel="?canonical[^>]*>', "", page.read_text(encoding="utf-8")))
        assert not fetched, page


def test_files_of_the_repository_are_pages(site):
    for page in ("changelog", "contributing"):
        assert (site / page / "index.html").is_file()
