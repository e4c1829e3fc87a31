"""The page of `samref app`: a rough mask is dropped or painted, and refined under every setting."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import gradio as gr
import numpy as np

from samref.backbones.backbone import Backbone
from samref.backbones.cache import CachedBackbone, LastEmbedding
from samref.cli.trial import CHOICES, KEYS, Setting, Trial, changed_settings, default_settings, make_trial
from samref.errors import InputError, SamrefError
from samref.io.atomic import write_png
from samref.io.masks import read_mask
from samref.structures import KEPT, BoolArray
from samref.visualization.drawing import COARSE, Canvas
from samref.visualization.example_photo import example
from samref.visualization.gallery_items import as_fraction

Painting = dict[str, Any]

TITLE = "samref: try it on a mask"
HINT = "Drop a photo, then paint roughly over one object in it, or drop a mask file (painting adds to it)."
STAGES = ("encode", "excavate", "decode", "postprocess")
PRESETS = {"paper": None, "released": "released"}
# Label and, for numbers, the slider's lowest, highest and step.
CONTROLS: dict[str, tuple[str, ...] | tuple[str, float, float, float]] = {
    "prompts": ("prompts",),
    "prompts.point.strategy": ("points' strategy",),
    "prompts.point.negative": ("negative point",),
    "prompts.box.lam": ("lambda: elasticity of the box (0 = tight)", 0, 0.95, 0.05),
    "prompts.box.max_pixels": ("widest step of the box, px", 1, 50, 1),
    "prompts.box.steps": ("steps of the box at most", 0, 20, 1),
    "prompts.mask.omega": ("omega: strength of the Gaussian mask", 1, 60, 1),
    "prompts.mask.gamma": ("gamma: width of the Gaussian mask", 0.5, 32, 0.5),
    "prompts.mask.form": ("form of the Gaussian mask",),
    "refiner.iterations": ("rounds", 1, 10, 1),
    "refiner.selection": ("which candidate is taken",),
    "refiner.cascade": ("what later rounds prompt with",),
    "verdict.enabled": ("verdict: candidates of several prompts vote, edges decide",),
    "zoom.enabled": ("zoom: small objects, and those of large images, in a crop around them",),
    "clean.enabled": ("clean: no crumbs and pinholes of a few px",),
    "verdict.source": ("where the mask comes from",),
    "guard.enabled": ("guard: keep the coarse mask where the refinement is implausible",),
}
assert set(CONTROLS) == set(KEYS)


def launch(page: gr.Blocks, host: str = "127.0.0.1", port: int | None = None, **options: Any) -> Any:
    """Serves a page to this machine alone, with nothing fetched from or sent to any other."""
    return page.launch(
        server_name=host, server_port=port, share=False, ssr_mode=False, run_history=False, footer_links=[],
        css="pre code {white-space: pre-wrap}",
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]), **options,
    )  # fmt: skip


def make_page(backbone: Backbone, name: str) -> gr.Blocks:
    """The page.

    Args:
        backbone: the model that refines.
        name: what it is called on a command line.
    """
    patient = cast(Backbone, CachedBackbone(backbone, LastEmbedding()))
    plain: dict[str, Any] = {"format": "jpeg", "interactive": False, "show_label": False, "buttons": ["fullscreen"]}
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)) as page:
        gr.Markdown(f"### {TITLE}\n{HINT} Orange is the rough mask, blue the refined one. Model: `{name}`.")
        with gr.Row():
            with gr.Column(scale=4, min_width=340):
                painting, mask_file = _given()
                prompts = gr.Image(label="prompts", **plain)
            with gr.Column(scale=4, min_width=340):
                before_after = gr.ImageSlider(label="rough | refined", format="jpeg", interactive=False, max_height=900)
                summary = gr.Markdown()
                mask = gr.Image(label="refined mask, to keep", format="png", interactive=False, buttons=["download"])
            with gr.Column(scale=3, min_width=300):
                preset = gr.Radio(list(PRESETS), value="paper", label="the paper's values, or those of its code")
                controls = _controls()
        with gr.Row():
            candidates = [gr.Image(label=f"candidate {k}", min_width=240, **plain) for k in (1, 2, 3)]
            rejected = gr.Image(label="rejected", min_width=240, visible=False, **plain)

        outputs = [before_after, summary, mask, prompts, *candidates, rejected]
        # One at a time: there is one model, and Hydra composes one configuration at a time.
        one_by_one: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1, "show_progress": "minimal"}

        def nothing_but(words: str) -> tuple[Any, ...]:
            return None, words, *[None] * (len(outputs) - 2)

        def refine(painted: Painting | None, mask_path: str | None, preset: str, *values: Setting) -> tuple[Any, ...]:
            settings = dict(zip(CONTROLS, values, strict=True))
            try:
                image, coarse = photo_and_mask(painted, mask_path)
                if image is None or not coarse.any():
                    return nothing_but(HINT)
                trial = make_trial(patient, image, coarse, settings, PRESETS[preset])
            except SamrefError as problem:
                # Not raised: the page would write "Error" over every picture, and over the sentence.
                return nothing_but(f"**This does not go together:** {problem}")
            words = [*changed_settings(PRESETS[preset], settings), f"backbone={name}"]
            grey = trial.mask.astype(np.uint8) * 255
            against = gr.update(value=trial.rejected, visible=trial.rejected is not None)
            return (trial.coarse, trial.refined), say(trial, words), grey, trial.prompts, *trial.candidates, against

        live: dict[str, Any] = {
            "fn": refine, "inputs": [painting, mask_file, preset, *controls], "outputs": outputs,
            **one_by_one,
        }  # fmt: skip
        # Which of its events a stroke fires is no promise of the editor's.
        changes = [
            painting.change,
            painting.input,
            painting.apply,
            mask_file.change,
            *(control.input for control in controls),
        ]
        gr.on([page.load, *changes], **live, trigger_mode="always_last", api_name="refine")
        preset.input(values_of, preset, controls, **one_by_one, api_name="preset").then(**live, api_name=False)
        # A mask belongs to its photo.
        painting.upload(_mask_of_photo, painting, mask_file, api_name=False)
    return cast(gr.Blocks, page)


def photo_and_mask(painted: Painting | None, mask_path: str | None) -> tuple[Canvas | None, BoolArray]:
    """The photo below a painting, transparency over white, and its rough mask: what the file holds or is painted.

    Raises:
        InputError: if the file cannot be read as a mask, or is of another size than the photo.
    """
    if painted is None or painted["background"] is None:
        return None, np.zeros((0, 0), dtype=bool)
    background = np.asarray(painted["background"])
    share = background[..., 3:].astype(np.float32) / 255
    image = np.round(background[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    mask = np.zeros(image.shape[:2], dtype=bool) if mask_path is None else read_mask(mask_path)
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"the mask file is {mask.shape} (H, W); expected the photo's {image.shape[:2]}: drop one that fits, or "
            "remove it and paint"
        )
    for layer in painted["layers"]:
        # The brush has soft edges.
        mask = mask | (layer[..., 3] >= 128)
    return image, mask


def values_of(preset_name: str) -> list[Setting]:
    """What the controls say under a preset."""
    settings = default_settings(PRESETS[preset_name])
    return [settings[key] for key in CONTROLS]


def say(trial: Trial, words: Sequence[str]) -> str:
    """What became of the mask, in Markdown, with the command that does the same to a folder."""
    guarded = "the guard kept the rough mask: the refinement is implausible" if trial.flag == KEPT else ""
    reason = trial.reason or guarded
    kept = f" ({reason})" if reason else ""
    seconds = ", ".join(f"{stage} {trial.seconds[stage]:.2f} s" for stage in STAGES)
    command = " ".join(["python run.py", *words, "dataset.images=DIR dataset.masks=DIR dataset.output=DIR"])
    return (
        f"**{trial.flag}**{kept}; predicted IoU **{as_fraction(trial.predicted_iou):.3f}**, IoU with the rough mask "
        f"**{trial.agreement:.3f}**; {seconds}\n\nThe same for a folder:\n```\n{command}\n```"
    )


def _given() -> tuple[gr.ImageEditor, gr.File]:
    image, masks = example()
    painting = gr.ImageEditor(
        {"background": image, "layers": [], "composite": None},
        label="photo, to paint on", type="numpy", format="png", sources=["upload", "clipboard"], transforms=[],
        layers=gr.LayerOptions(allow_additional_layers=False), height=480,
        brush=gr.Brush(default_size=24, colors=[f"rgba({', '.join(map(str, COARSE))}, 0.6)"], color_mode="fixed"),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "astronaut.png"
        write_png(path, masks[0].astype(np.uint8) * 255)
        # Gradio keeps a copy of its own.
        return painting, gr.File(str(path), label="mask file: 0/1 or 0/255, as large as the photo", height=120)


def _mask_of_photo(painted: Painting | None) -> Any:
    """Takes the mask file away from a photo that was dropped; the page's own photo is called an upload as well."""
    image, _ = photo_and_mask(painted, None)
    return gr.skip() if image is not None and np.array_equal(image, example()[0]) else None


def _controls() -> list[Any]:
    defaults = default_settings()
    controls: list[Any] = []
    for key, (label, *limits) in CONTROLS.items():
        if key in CHOICES:
            controls.append(gr.Dropdown(list(CHOICES[key]), value=defaults[key], label=label))
        elif limits:
            low, high, step = limits
            controls.append(gr.Slider(low, high, value=defaults[key], step=step, label=label))
        else:
            controls.append(gr.Checkbox(defaults[key], label=label))
    return controls
