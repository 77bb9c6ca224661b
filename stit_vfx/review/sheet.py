"""The before/after contact sheet: faces at 100 % on top, whole frames with the matte below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK = (225, 225, 225)
PAPER = (26, 26, 28)
MATTE_TINT = np.array([255, 60, 60], np.float32)
GAP_PX = 8
LINE_PX = 26
FACE_PX = 320


@dataclass(frozen=True)
class SheetFrame:
    """One frame of the sheet: (H, W, 3) uint8 display pictures, matte (H, W) 0..1, the face's box in px."""

    frame: int
    plate8: np.ndarray
    edit8: np.ndarray
    matte: np.ndarray
    face_box: tuple[float, float, float, float]


def contact_sheet(frames: Sequence[SheetFrame], *, title: str, notes: Sequence[str] = ()) -> np.ndarray:
    """Lay out the sheet, (H, W, 3) uint8: per frame a column of face before, face after, frame with matte.

    Faces are cut at the plate's own pixels (no scaling) unless the face is wider than the column.
    """
    columns = [_column(each) for each in frames]
    body = _beside(columns)
    head = _text_block([title], width=body.shape[1], size=20)
    foot = _text_block(list(notes), width=body.shape[1], size=15)
    return _stack([head, body, foot])


def picture_grid(
    rows: Sequence[Sequence[tuple[str, np.ndarray]]], *, title: str, notes: Sequence[str] = ()
) -> np.ndarray:
    """Rows of labelled pictures (H, W, 3) uint8 under a title, (H, W, 3) uint8; `notes` below."""
    lines = [_beside([_label(picture8, text) for text, picture8 in row]) for row in rows]
    width = max((line.shape[1] for line in lines), default=FACE_PX)
    head, foot = _text_block([title], width=width, size=20), _text_block(notes, width=width, size=15)
    return _stack([head, *lines, *([foot] if notes else [])])


def write_png(path: Path, picture8: np.ndarray) -> None:
    """Write an 8-bit picture as a whole PNG file or not at all."""
    from stit_vfx.atomic import atomic_write

    atomic_write(path, lambda target: Image.fromarray(picture8).save(target, format="PNG"), suffix=".png")


def _column(each: SheetFrame) -> np.ndarray:
    box = _square_around(each.face_box, each.plate8.shape[:2])
    before, after = (_cut(picture, box) for picture in (each.plate8, each.edit8))
    overview = _fit_width(_tint(each.edit8, each.matte), FACE_PX)
    return _stack(
        [
            _label(before, f"plate {each.frame}"),
            _label(after, f"edit {each.frame}"),
            _label(overview, "edit, matte in red"),
        ]
    )


def _square_around(
    box: tuple[float, float, float, float], shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A square of at least FACE_PX around the face, kept inside the picture where it fits."""
    x0, y0, x1, y1 = box
    side = int(max(FACE_PX, 1.1 * max(x1 - x0, y1 - y0)))
    side = min(side, *shape)
    left = int(np.clip((x0 + x1 - side) / 2, 0, shape[1] - side))
    top = int(np.clip((y0 + y1 - side) / 2, 0, shape[0] - side))
    return left, top, left + side, top + side


def _cut(picture8: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    x0, y0, x1, y1 = box
    return _fit_width(picture8[y0:y1, x0:x1], FACE_PX)


def _fit_width(picture8: np.ndarray, width: int) -> np.ndarray:
    height = round(picture8.shape[0] * width / picture8.shape[1])
    if picture8.shape[1] == width:
        return picture8
    return np.asarray(Image.fromarray(picture8).resize((width, height), Image.Resampling.LANCZOS))


def _tint(picture8: np.ndarray, matte: np.ndarray) -> np.ndarray:
    weight = 0.45 * matte[..., None]
    return (picture8 * (1 - weight) + MATTE_TINT * weight + 0.5).astype(np.uint8)


def _label(picture8: np.ndarray, text: str) -> np.ndarray:
    return _stack([_text_block([text], width=picture8.shape[1], size=14), picture8], gap=0)


def _text_block(lines: Sequence[str], *, width: int, size: int) -> np.ndarray:
    font = ImageFont.load_default(size)
    lines = [part for line in lines for part in _wrapped(line, font, width - 8)]
    block = Image.new("RGB", (width, max(1, LINE_PX * len(lines))), PAPER)
    draw = ImageDraw.Draw(block)
    for row, line in enumerate(lines):
        draw.text((4, row * LINE_PX + (LINE_PX - size) // 2 - 1), line, fill=INK, font=font)
    return np.asarray(block)


def _wrapped(line: str, font: Any, width: int) -> list[str]:
    """The line in pieces that fit a width, broken between words."""
    pieces: list[str] = []
    for word in line.split():
        longer = f"{pieces[-1]} {word}" if pieces else word
        if pieces and font.getlength(longer) <= width:
            pieces[-1] = longer
        else:
            pieces.append(word)
    return pieces


def _stack(parts: Sequence[np.ndarray], *, gap: int = GAP_PX) -> np.ndarray:
    width = max(part.shape[1] for part in parts)
    rows: list[np.ndarray] = []
    for part in parts:
        rows += [_pad(part, (part.shape[0], width)), _blank(gap, width)]
    return np.concatenate(rows)


def _beside(parts: Sequence[np.ndarray]) -> np.ndarray:
    height = max(part.shape[0] for part in parts)
    cells: list[np.ndarray] = [_blank(height, GAP_PX)]
    for part in parts:
        cells += [_pad(part, (height, part.shape[1])), _blank(height, GAP_PX)]
    return np.concatenate(cells, axis=1)


def _pad(part: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    padded = _blank(*shape)
    padded[: part.shape[0], : part.shape[1]] = part
    return padded


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), PAPER, np.uint8)
