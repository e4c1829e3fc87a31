"""Programs that tests fork end as programs do, whatever state the tests before them have left behind."""

import logging
import os
from tempfile import TemporaryFile

import pytest

from tests.processes import forked


@pytest.mark.parametrize(
    ("line", "code"), [("pass", 0), ("raise SystemExit(3)", 3), ("raise SystemExit('why')", 1), ("1 / 0", 1)]
)
def test_it_ends_with_the_code_of_its_script(tmp_path, line, code):
    (tmp_path / "script.py").write_text(f"print('out')\n{line}\n")
    parent = os.getpid()
    program = forked("script.py", cwd=tmp_path)
    assert os.getpid() == parent
    assert (program.returncode, program.stdout) == (code, "out\n")
    assert ("ZeroDivisionError" in program.stderr) == ("/" in line)


def test_a_handler_whose_stream_is_closed_writes_to_its_stderr(tmp_path):
    with TemporaryFile("w") as closed:
        handler = logging.StreamHandler(closed)
    logger = logging.getLogger("tests.processes.closed")
    logger.addHandler(handler)
    (tmp_path / "script.py").write_text("import logging; logging.getLogger('tests.processes.closed').warning('here')")
    try:
        program = forked("script.py", cwd=tmp_path)
    finally:
        logger.removeHandler(handler)
    assert (program.returncode, program.stderr) == (0, "here\n")
