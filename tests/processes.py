"""Programs as a user starts them, in processes of their own, with the package that is being tested."""

import atexit
import logging
import os
import runpy
import signal
import subprocess
import sys
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import samref

ROOT = Path(samref.__file__).resolve().parents[1]


def python(*words, cwd, timeout=120, **environment):
    """Runs Python; what it prints comes back as text, whatever its exit code."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def forked(*words, cwd):
    """As `python`, for a script or `-m module`, in a copy of this process: PyTorch is imported here already."""
    words = [str(word) for word in words]
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
        child = os.fork()
        if child == 0:
            _become(words, cwd, out, err)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(status), out.read(), err.read())


def _become(words, cwd, out, err):
    """Does, in the child, what Python does with a command line, and ends the process whatever happens.

    A child that returned would run tests beside its parent, and answer pytest's controller in its name.
    """
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    code = 1
    try:
        with open(1, "w", encoding="utf-8", closefd=False) as sys.stdout, open(2, "w", closefd=False) as sys.stderr:
            code = _run(words, cwd)
    finally:
        os._exit(code)


def _run(words, cwd):
    """The exit code of a command line."""
    code = 0
    try:
        # pytest keeps warnings for itself; a user sees them.
        warnings.showwarning = lambda *warning: print(warnings.formatwarning(*warning[:4]), file=sys.stderr)
        # As at a start of Python, whatever pytest's processes do with it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        atexit._clear()
        _revive_handlers()
        os.chdir(cwd)
        sys.path.insert(0, str(cwd))
        sys.argv[:] = words[1:] if words[0] == "-m" else words
        if words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    # joblib's processes are ended there; what pytest has registered is none of this process's.
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _revive_handlers():
    """Loggers of libraries write to the stderr of the test that imported them, which is closed by now."""
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.Logger.manager.loggerDict))]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if isinstance(handler, logging.StreamHandler) and getattr(handler.stream, "closed", False):
            # `setStream` would flush the closed one, which raises.
            handler.stream = sys.stderr
