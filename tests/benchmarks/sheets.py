"""Pictures of what was measured: sheets to look at, and a page that has them all."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

Array = np.ndarray


def face_window(points: Array, shape: tuple[int, int], *, around: float = 2.9) -> tuple[slice, slice]:
    """Rows and columns of a square around landmarks (68, 2), `around` eye-to-eye distances to a side."""
    middle = points[[36, 45, 48, 54]].mean(0)
    half = around / 2 * np.linalg.norm(points[45] - points[36])
    low = np.maximum(np.rint(middle - half), 0).astype(int)
    high = np.minimum(np.rint(middle + half), [shape[1], shape[0]]).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def eyes_window(points: Array) -> tuple[slice, slice]:
    """Around eyes and brows."""
    middle = points[36:48].mean(0)
    half = 0.85 * np.linalg.norm(points[45] - points[36])
    x, y = np.rint(middle).astype(int)
    return slice(max(y - int(0.6 * half), 0), y + int(0.4 * half)), slice(
        max(x - int(half), 0), x + int(half)
    )


def mouth_window(points: Array) -> tuple[slice, slice]:
    """Around the lips, half as high as wide."""
    middle = points[48:68].mean(0)
    half = 0.75 * np.linalg.norm(points[45] - points[36])
    x, y = np.rint(middle).astype(int)
    return slice(max(y - int(0.6 * half), 0), y + int(0.7 * half)), slice(
        max(x - int(half), 0), x + int(half)
    )


def tile(picture8: Array, text: str, size: int) -> Array:
    """The picture `size` px wide under a line of text."""
    height = round(size * picture8.shape[0] / picture8.shape[1])
    way = cv2.INTER_AREA if picture8.shape[1] > size else cv2.INTER_CUBIC
    out = cv2.resize(picture8, (size, height), interpolation=way)
    return labelled(out, text)


def labelled(picture8: Array, text: str) -> Array:
    """The picture, its pixels as they are, under a line of text."""
    line = np.zeros((20, picture8.shape[1], 3), np.uint8)
    cv2.putText(line, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([line, picture8])


def sheet(rows: Sequence[Sequence[Array]], path: Path) -> Path:
    """Tiles of rows side by side, rows one under the other, as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [np.hstack([_padded(t, max(x.shape[0] for x in row)) for t in row]) for row in rows]
    width = max(line.shape[1] for line in lines)
    whole = np.vstack([np.pad(line, ((0, 4), (0, width - line.shape[1]), (0, 0))) for line in lines])
    if not cv2.imwrite(str(path), whole[..., ::-1]):
        raise OSError(f"{path} could not be written")
    return path


def _padded(picture: Array, height: int) -> Array:
    return np.pad(picture, ((0, height - picture.shape[0]), (0, 4), (0, 0)))


def difference8(a_code: Array, b_code: Array, *, gain: float = 3.0) -> Array:
    """(H, W, 3) uint8: grey where two pictures agree, their difference amplified."""
    return np.rint(np.clip(0.5 + gain * (b_code - a_code), 0, 1) * 255).astype(np.uint8)


def page(folder: Path, title: str, table: str, pictures: Sequence[Path]) -> Path:
    """index.html with the numbers and every sheet."""
    shown = "\n".join(
        f"<h2>{html.escape(p.stem)}</h2>\n<img src='{html.escape(p.name)}' loading='lazy'>" for p in pictures
    )
    path = folder / "index.html"
    path.write_text(
        "<!doctype html><meta charset='utf-8'>"
        "<style>body{font:14px sans-serif;background:#222;color:#ddd;margin:2em}pre{line-height:1.4}"
        "img{max-width:100%}</style>"
        f"<title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>\n<pre>{html.escape(table)}</pre>\n"
        f"{shown}\n"
    )
    return path
