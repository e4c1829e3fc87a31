"""Models by their name on the Hugging Face Hub: fetched whole or not at all, compared with the published hash."""

from __future__ import annotations

import os
import re
from pathlib import Path

from samref.errors import ConfigError, WeightsError

# Safe formats and what says how to read them; pickles only where a repository has nothing else.
SAFE = ("config.json", "preprocessor_config.json", "processor_config.json", "model*.safetensors*")
PICKLES = ("pytorch_model*.bin*",)
# Files of weights by preference, as `save_pretrained` names them.
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_from_hub(name: str) -> Path:
    """The folder of a model on the hub, fetched into the hub's own cache when it is not there yet.

    Args:
        name: owner/model.

    Returns:
        A folder with the configuration and the weights.

    Raises:
        ConfigError: without the package that fetches.
        WeightsError: naming what stands in the way and what to do.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise ConfigError(f"{name} is on the Hugging Face Hub: pip install 'samref[hf]' to fetch it") from error
    instead = "or give backbone.weights=FOLDER of a copy (config.json beside model.safetensors)"
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(SAFE)))
        if not list(folder.glob("model*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*SAFE, *PICKLES]))
    except GatedRepoError as error:
        raise WeightsError(
            f"{name} is gated: accept its license on its page of the hub, log in with `hf auth login` and run the "
            f"command again, {instead}"
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"there is no folder or file {name}, and no model of this name on the hub") from error
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{name} is not in the hub's cache and the hub could not be reached; fetch it where it can, {instead}"
        ) from error
    except Exception as error:  # the client's errors depend on its HTTP library, whose versions differ
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{name} could not be fetched from the hub ({reason}); try again, {instead}") from error
    return folder


def cached_weights(name: str) -> list[Path]:
    """Files of weights that the hub's cache has of a model, of whichever revision; nothing is fetched.

    Args:
        name: owner/model.
    """
    home = Path(os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser())
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    return sorted(path for pattern in WEIGHTS for path in folder.glob(f"*/{pattern}"))


def published_sha256(path: Path) -> str | None:
    """The hash that the hub publishes for a file of its cache, which keeps large files under it; None for others."""
    target = path.resolve()
    return target.name if target.parent.name == "blobs" and SHA256.fullmatch(target.name) else None
