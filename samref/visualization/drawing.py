"""Masks, prompts and captions on pictures. All coordinates are those of the picture that is drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from samref.structures import BoolArray, FloatArray, IntArray

Canvas = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

# Colors that stay apart for the color-blind (Okabe and Ito), RGB.
COLORS: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
COARSE, REFINED, TRUTH = (255, 166, 0), (63, 196, 255), (255, 106, 213)
FOREGROUND, BACKGROUND, BOX = (22, 163, 74), (220, 38, 38), (255, 255, 255)
INK, PAPER = (40, 40, 40), 255
CAPTION_HEIGHT = 28
GAP = 6


@dataclass(frozen=True)
class View:
    """An image at the size at which it is shown, onto which masks and coordinates of the image are brought.

    Attributes:
        picture: h x w x 3 uint8 RGB.
        scale: shown px to one image px, (x, y).
    """

    picture: Canvas
    scale: tuple[float, float]

    @classmethod
    def of(cls, image: Canvas, longest: int) -> View:
        """The image with its longest side at `longest` px, smaller or larger."""
        factor = longest / max(image.shape[:2])
        size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        picture: Any = cv2.resize(image, size, interpolation=interpolation)
        return cls(picture, (size[0] / image.shape[1], size[1] / image.shape[0]))

    def masks(self, masks: BoolArray) -> BoolArray:
        """N x H x W masks of the image, as N x h x w."""
        size = self.picture.shape[1], self.picture.shape[0]
        # Enlarged, the steps of pixels would be what is seen of an outline.
        interpolation = cv2.INTER_LINEAR if min(self.scale) > 1 else cv2.INTER_NEAREST
        shown = [cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=interpolation) > 127 for mask in masks]
        return np.array(shown, dtype=bool).reshape(-1, size[1], size[0])

    def point(self, x: float, y: float) -> tuple[int, int]:
        """The center of the pixel (x, y) of the image."""
        return round((x + 0.5) * self.scale[0] - 0.5), round((y + 0.5) * self.scale[1] - 0.5)

    def values(self, values: FloatArray) -> FloatArray:
        """A map over the full image, of any size, as h x w."""
        shown: Any = cv2.resize(values, (self.picture.shape[1], self.picture.shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(shown, dtype=np.float32)


def outlined(
    image: Canvas, masks: BoolArray, thickness: int = 2, colors: Sequence[Color] = COLORS, tint: float = 0.35
) -> Canvas:
    """The image with every mask tinted and outlined in a color of its own.

    Args:
        image: H x W x 3 uint8 RGB.
        masks: N x H x W bool.
        thickness: of the outline, px.
        colors: taken in turn.
        tint: share of the color inside the mask, 0 to 1.
    """
    canvas = image.copy()
    for k, mask in enumerate(masks):
        color, region = colors[k % len(colors)], mask.astype(np.uint8)
        if tint:
            shades = (1 - tint) * np.arange(256)[:, None] + tint * np.array(color, dtype=np.float32)
            cv2.copyTo(cv2.LUT(canvas, shades.astype(np.uint8)[None]), region, canvas)
        # Of straight runs only the ends: drawn pixel by pixel, they take three times as long.
        contours, _ = cv2.findContours(region, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, contours, -1, color, thickness, cv2.LINE_AA)
    return canvas


def with_points(canvas: Canvas, view: View, coords: FloatArray, labels: IntArray) -> Canvas:
    """The picture with the points of one mask: green plus for foreground, red minus for background.

    Args:
        canvas: h x w x 3, a drawing on `view.picture`.
        view: brings image px to the picture.
        coords: P x 2 (x, y), image px.
        labels: P; -1 is passed over.
    """
    drawn = canvas.copy()
    radius = max(5, round(max(canvas.shape[:2]) / 50))
    for (x, y), label in zip(coords, labels, strict=True):
        if label < 0:
            continue
        center, arm = view.point(float(x), float(y)), round(radius * 0.55)
        cv2.circle(drawn, center, radius + 2, BOX, -1, cv2.LINE_AA)
        cv2.circle(drawn, center, radius, FOREGROUND if label == 1 else BACKGROUND, -1, cv2.LINE_AA)
        cv2.line(drawn, (center[0] - arm, center[1]), (center[0] + arm, center[1]), BOX, 2)
        if label == 1:
            cv2.line(drawn, (center[0], center[1] - arm), (center[0], center[1] + arm), BOX, 2)
    return drawn


def with_box(canvas: Canvas, view: View, box: Sequence[float] | FloatArray, color: Color = BOX) -> Canvas:
    """The picture with a box around its pixels.

    Args:
        canvas: h x w x 3, a drawing on `view.picture`.
        view: brings image px to the picture.
        box: (x0, y0, x1, y1), image px, both ends inclusive.
        color: of the line, on a dark seam.
    """
    drawn = canvas.copy()
    x0, y0, x1, y1 = (float(v) for v in box)
    corner = round(x0 * view.scale[0]), round(y0 * view.scale[1])
    opposite = round((x1 + 1) * view.scale[0]) - 1, round((y1 + 1) * view.scale[1]) - 1
    cv2.rectangle(drawn, corner, opposite, (0, 0, 0), 4)
    cv2.rectangle(drawn, corner, opposite, color, 2)
    return drawn


def with_label(canvas: Canvas, view: View, place: Sequence[float], text: str) -> Canvas:
    """The picture with a few letters centered on a pixel of the image, dark on light.

    Args:
        canvas: h x w x 3, a drawing on `view.picture`.
        view: brings image px to the picture.
        place: (x, y), image px.
        text: to write.
    """
    drawn = canvas.copy()
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    x, y = view.point(float(place[0]), float(place[1]))
    x = min(max(x - width // 2, 2), max(canvas.shape[1] - width - 2, 2))
    y = min(max(y + height // 2, height + 2), canvas.shape[0] - 2)
    cv2.rectangle(drawn, (x - 2, y - height - 2), (x + width + 2, y + 3), BOX, -1)
    cv2.putText(drawn, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return drawn


def with_heat(canvas: Canvas, heat: FloatArray, opacity: float = 0.65, even: bool = False) -> Canvas:
    """The picture under a heat map.

    Args:
        canvas: h x w x 3.
        heat: h x w in 0 to 1.
        opacity: of the hottest place, 0 to 1.
        even: whether cold places are covered as much as hot ones.
    """
    levels = np.round(255 * np.clip(heat, 0, 1)).astype(np.uint8)
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
    share = opacity * (np.ones_like(heat) if even else np.sqrt(np.clip(heat, 0, 1)))[..., None]
    blended: Canvas = (canvas * (1 - share) + colors * share).astype(np.uint8)
    return blended


def captioned(canvas: Canvas, caption: str, strong: bool = False) -> Canvas:
    """The picture below a line of text, in a white frame; a strong one has a colored edge.

    Text that is wider than the picture is set smaller.
    """
    width = canvas.shape[1]
    (length, _), _ = cv2.getTextSize(caption, cv2.FONT_HERSHEY_SIMPLEX, 0.55, 1)
    size = 0.55 * min(1.0, (width - 12) / max(length, 1))
    strip = np.full((CAPTION_HEIGHT, width, 3), PAPER, dtype=np.uint8)
    cv2.putText(strip, caption, (6, CAPTION_HEIGHT - 9), cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)
    drawn = canvas.copy()
    if strong:
        cv2.rectangle(drawn, (0, 0), (width - 1, canvas.shape[0] - 1), REFINED, 5)
    framed: Canvas = np.pad(np.vstack([strip, drawn]), ((0, GAP), (0, GAP), (0, 0)), constant_values=PAPER)
    return framed


def stack_table(rows: Sequence[Sequence[Canvas]]) -> Canvas:
    """Rows of pictures below each other, each column as wide and each row as high as its largest picture, on white."""
    columns = max(map(len, rows))
    widths = [max((row[k].shape[1] for row in rows if k < len(row)), default=0) for k in range(columns)]
    return stack_rows([np.hstack([_filled(*cell, row) for cell in zip(row, widths, strict=False)]) for row in rows])


def stack_rows(rows: Sequence[Canvas]) -> Canvas:
    """Rows of unequal width below each other, on white."""
    width = max(row.shape[1] for row in rows)
    return np.vstack([_filled(row, width, [row]) for row in rows])


def _filled(canvas: Canvas, width: int, row: Sequence[Canvas]) -> Canvas:
    """A picture on white, up to a width and to the height of its row."""
    room = max(one.shape[0] for one in row) - canvas.shape[0], width - canvas.shape[1]
    return np.pad(canvas, ((0, room[0]), (0, room[1]), (0, 0)), constant_values=PAPER)
