"""From a folder, a file or a name on the hub to a model of `transformers`, verified and loaded strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samref.backbones.hf.families import SAM2_BLOCKS, Family, Statistics, family_of, option_for, sam2_config
from samref.backbones.weights.checkpoint import StateDict, file_sha256, load_problem, read_state_dict
from samref.backbones.weights.hub import WEIGHTS, fetch_from_hub, published_sha256
from samref.backbones.weights.layouts import layout_of
from samref.config.paths import is_hub_name
from samref.errors import ConfigError, WeightsError

CONFIG = "config.json"
# The first that is there counts.
PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
CANDIDATES, ACTIVATION = 3, "gelu"


@dataclass(frozen=True)
class Opened:
    """A model and what is known of it.

    Attributes:
        model: of `transformers`, in evaluation mode.
        family: its family.
        sha256: of its weights' file; of several, of their hashes in order.
        config_id: short hash of its configuration.
        pixel_mean: of the pixels, 0 to 255, by channel.
        pixel_std: likewise.
    """

    model: Any
    family: Family
    sha256: str
    config_id: str
    pixel_mean: Statistics
    pixel_std: Statistics


def open_model(name: str, family: Family, weights: str | Path | None, sha256: str | None) -> Opened:
    """Finds, verifies and loads a model.

    Args:
        name: the backbone's option name.
        family: that is expected.
        weights: folder, file or name on the hub.
        sha256: accept only weights with this hash.

    Raises:
        ConfigError: without `transformers`, or where nothing says which model is meant.
        WeightsError: when there is none, its hash is wrong, it is damaged or of another family.
    """
    transformers = import_transformers(name)
    if weights is None:
        raise ConfigError(
            f"backbone={name} needs backbone.weights: a folder, a file or a name on the Hugging Face Hub of a "
            f"{family.title} model"
        )
    folder, files = _located(weights)
    written = _read(folder / CONFIG)
    if written is not None:
        _require_family(name, family, written, folder)
    found = _verified(files, sha256)
    state: StateDict = {}
    for file in files:
        state.update(read_state_dict(file))
    model_class = getattr(transformers, family.model)
    with quiet(transformers):
        config = _configuration(name, model_class, folder, written, state, files[0])
        model = load(model_class, config, state, str(weights))
    _require_candidates(model, str(weights))
    mean, std = _pixel_statistics(folder, family)
    content = json.dumps(config.to_dict(), sort_keys=True, default=str)
    config_id = hashlib.sha256(content.encode()).hexdigest()[:12]
    return Opened(model, family, found, config_id, mean, std)


def import_transformers(name: str) -> Any:
    """The package.

    Raises:
        ConfigError: when it is missing.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"backbone={name} needs transformers, which is not installed; install it with pip install 'samref[hf]'"
        ) from error
    return transformers


def load(model_class: Any, config: Any, state: StateDict, source: str) -> Any:
    """A model with all of its weights.

    Args:
        model_class: of `transformers`.
        config: of the model.
        state: names and tensors.
        source: what to call them in an error.

    Raises:
        WeightsError: naming what is missing, unexpected or of another shape.
    """
    import torch

    try:
        model, found = model_class.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{source} cannot be opened as {model_class.__name__} ({reason}); give another") from error
    reshaped = [" ".join(map(str, entry)) for entry in found["mismatched_keys"]]
    findings = {
        "missing keys": sorted(found["missing_keys"]),
        "unexpected keys": sorted(found["unexpected_keys"]),
        "other shapes": sorted(reshaped),
    }
    problem = load_problem(findings)
    if problem:
        raise WeightsError(
            f"{source} is not a checkpoint of {model_class.__name__} as {CONFIG} describes it: {problem}"
        )
    return model.eval()


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Without the package's advice and progress bars: what matters comes as an error."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _located(weights: str | Path) -> tuple[Path, list[Path]]:
    """The folder of a model and its files of weights."""
    path = Path(weights).expanduser()
    if path.is_file():
        return path.parent, [path]
    if not path.is_dir():
        if not is_hub_name(str(weights)):
            raise WeightsError(
                f"{path} is no folder and no file, nor a name on the hub (owner/model); give one of these"
            )
        path = fetch_from_hub(str(weights))
    for pattern in WEIGHTS:
        files = sorted(path.glob(pattern))
        if files:
            return path, files
    raise WeightsError(f"{path} has no {' and no '.join(WEIGHTS)}; expected a folder that save_pretrained left")


def _read(path: Path) -> dict[str, Any] | None:
    """Content of a configuration file; None where there is none."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({error}); expected the configuration of a model") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds {type(content).__name__}; expected the configuration of a model")
    return content


def _require_family(name: str, family: Family, config: dict[str, Any], folder: Path) -> None:
    """Raises `WeightsError` for a model that another option is for."""
    model_type, right = config.get("model_type"), option_for(config)
    other_size = right in {f"backbone={each}" for each in SAM2_BLOCKS if each != name}
    if family_of(model_type) is family and not other_size:
        return
    instead = f"use {right}" if right else "no option is for it"
    raise WeightsError(
        f"{folder} holds a model of type {model_type!r}; backbone={name} expects {family.title} "
        f"({', '.join(family.model_types)}): {instead}"
    )


def _verified(files: list[Path], sha256: str | None) -> str:
    hashes = []
    for file in files:
        found, published = file_sha256(file), published_sha256(file)
        if published is not None and found != published:
            raise WeightsError(f"{file} has sha256 {found}; the hub publishes {published}: delete it and run again")
        hashes.append(found)
    whole = hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()
    if sha256 is not None and whole != sha256.lower():
        raise WeightsError(
            f"{', '.join(map(str, files))} has sha256 {whole}; expected {sha256}: give backbone.sha256={whole} if "
            "these are the weights you mean"
        )
    return whole


def _configuration(
    name: str, model_class: Any, folder: Path, written: dict[str, Any] | None, state: StateDict, file: Path
) -> Any:
    layout = layout_of(state)
    if layout is not None and name not in layout.options:
        raise WeightsError(f"{file} is a checkpoint of {layout.title}; {layout.use} in place of backbone={name}")
    if written is not None:
        try:
            return model_class.config_class.from_pretrained(folder)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise WeightsError(f"{folder / CONFIG} describes no model ({reason}); expected one of {name}") from error
    if name in SAM2_BLOCKS:
        return sam2_config(name)
    raise WeightsError(f"{file} has no {CONFIG} beside it, which says how large the model is; put both into one folder")


def _pixel_statistics(folder: Path, family: Family) -> tuple[Statistics, Statistics]:
    """Mean and deviation of the pixels that a model was trained with."""
    for name in PREPROCESSING:
        content = _read(folder / name)
        if content is not None:
            content = content.get("image_processor", content)
            mean, std = (content.get(key) for key in ("image_mean", "image_std"))
            if content.get("do_normalize", True) and mean and std:
                return _scaled(mean, folder / name), _scaled(std, folder / name)
    return family.pixel_mean, family.pixel_std


def _scaled(values: Any, path: Path) -> Statistics:
    try:
        red, green, blue = (255.0 * float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path} gives {values!r} for the pixels; expected three numbers") from error
    return red, green, blue


def _require_candidates(model: Any, source: str) -> None:
    """Raises `WeightsError` for a model that cannot stand in SAM's place."""
    candidates = model.mask_decoder.num_multimask_outputs
    if candidates != CANDIDATES:
        raise WeightsError(f"{source} has {candidates} candidates a prompt; expected {CANDIDATES}, as SAM has")
    activation = getattr(model.vision_encoder.config, "hidden_act", ACTIVATION)
    if activation != ACTIVATION:
        raise WeightsError(f"the encoder of {source} has the activation {activation!r}; expected {ACTIVATION!r}")
