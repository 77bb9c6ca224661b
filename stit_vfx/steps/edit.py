"""Step 4, edit: from named strengths and texts to moved codes.

A model moves a code by itself (`FaceModel.move`); here is what concerns a whole shot, and what makes a
direction out of a text's embedding. O. Patashnik et al., "StyleCLIP", ICCV 2021, global directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stit_vfx.errors import UnknownDirectionError


def published_edit(ws: np.ndarray, direction: np.ndarray, factor: float) -> np.ndarray:
    """The linear edit as published: rows (..., num_ws, w_dim) plus half the factor times the file's row 0.

    All rows of the published files are equal; a true W+ direction needs `FaceModel.move`. Result float64.
    """
    return ws + (factor / 2) * np.asarray(direction, np.float64)[0]


def freeze_fine_layers(ws: np.ndarray, first: int) -> np.ndarray:
    """Rows (T, num_ws, w_dim) with those from `first` on replaced by their mean over the shot.

    Keeps fine appearance from flickering; for after the tuning, which saw the rows as they were.
    """
    frozen = np.array(ws)
    frozen[:, first:] = ws[:, first:].mean(0, keepdims=True)
    return frozen


@dataclass(frozen=True)
class StyleDirection:
    """`vector` is flat over all style channels, toRGB included as zeros; `kept` of `conv_channels` act."""

    vector: np.ndarray
    kept: int
    conv_channels: int


def text_direction(
    relevance_basis: np.ndarray, text: np.ndarray, *, beta: float, sizes: Sequence[int], rgb: Sequence[bool]
) -> StyleDirection:
    """A style-space direction that changes what a text says.

    relevance_basis  (conv channels, D): what each channel does to an image's embedding
    text             (D,): unit embedding difference, target minus neutral
    beta             channels with a relevance up to this stay; fewer act, more purely, as it grows
    sizes, rgb       channels of each style vector in network order, and whether it is a toRGB's
    """
    relevance = np.asarray(relevance_basis, np.float64) @ np.asarray(text, np.float64)
    strongest = float(np.abs(relevance).max())
    relevance[np.abs(relevance) <= beta] = 0
    if not relevance.any():
        raise UnknownDirectionError(
            f"beta {beta:g} leaves no channel of this text; the strongest has {strongest:.3f}",
            hint=f"Use a beta below {strongest:.3f}",
        )
    relevance /= np.abs(relevance).max()
    vector = _with_rgb(relevance, sizes, rgb).astype(np.float32)
    return StyleDirection(vector, int(np.count_nonzero(relevance)), len(relevance))


def text_difference(target: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """Unit vector (D,) from the embeddings (prompts, D) of two texts, each averaged over its prompts."""
    difference = _mean_embedding(target) - _mean_embedding(neutral)
    return difference / np.linalg.norm(difference)


def _mean_embedding(prompts: np.ndarray) -> np.ndarray:
    prompts = np.asarray(prompts, np.float64)
    mean = (prompts / np.linalg.norm(prompts, axis=-1, keepdims=True)).mean(0)
    return mean / np.linalg.norm(mean)


def _with_rgb(conv: np.ndarray, sizes: Sequence[int], rgb: Sequence[bool]) -> np.ndarray:
    """Conv channels spread over all style channels, zeros for toRGB."""
    parts, start = [], 0
    for size, is_rgb in zip(sizes, rgb, strict=True):
        parts.append(np.zeros(size) if is_rgb else conv[start : start + size])
        start += 0 if is_rgb else size
    return np.concatenate(parts)
