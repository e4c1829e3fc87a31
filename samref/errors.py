"""Errors a user can act on: each message names what was found, what was expected and what to do."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class SamrefError(Exception):
    """Base of every error whose message is meant for the user; `run.py` prints it as one sentence."""

    def __str__(self) -> str:
        # Names in damaged files may hold line breaks, what a terminal obeys, and half characters, which no file takes.
        return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), super().__str__())


class InputError(SamrefError, ValueError):
    """A value, shape or file content that is not what was promised (also a `ValueError`)."""


class DatasetError(SamrefError):
    """A data set folder that is missing, incomplete or not in its layout."""


class ConfigError(SamrefError):
    """An option with a value that makes no sense, or two options that contradict each other."""


class OutputError(SamrefError):
    """A folder or file that cannot be written, or that somebody else is writing or has changed."""


class WorkerError(SamrefError):
    """A process of the run that something ended from outside."""


class DeviceError(SamrefError):
    """A device whose memory is too small."""


class WeightsError(SamrefError):
    """A checkpoint that cannot be found, verified or loaded."""
