"""Direction arithmetic in w, W+ and style space.

Several directions add up; their order does not matter. What a direction does to a face's geometry is the
geometry-aware model's own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stit_vfx.packs.model import Code, Direction


def move_appearance(code: Code, moves: Sequence[tuple[Direction, float]]) -> Code:
    """The code with its rows and style offsets moved; each direction by strength times its scale."""
    ws = code.ws.astype(np.float64)
    style = None if code.style is None else code.style.astype(np.float64)
    # Summed in an order of its own, so that the order of edits cannot change the last bit.
    for direction, strength in sorted(moves, key=lambda move: (move[0].key, move[0].layers or (), move[1])):
        if direction.vector is None:
            continue
        amount = strength * direction.scale
        if direction.space == "style":
            style = (0 if style is None else style) + amount * direction.vector
        else:
            ws = ws + amount * direction_rows(direction, len(ws))
    return replace(code, ws=ws.astype(np.float32), style=None if style is None else style.astype(np.float32))


def direction_rows(direction: Direction, num_ws: int) -> np.ndarray:
    """A w or w+ direction as rows (num_ws, w_dim), zero in rows outside its layers.

    A w direction moves all rows alike; a w+ direction moves each row its own way, whatever the published
    pipeline did with it (it read row 0 alone).
    """
    assert direction.vector is not None
    vector = np.asarray(direction.vector, np.float64)
    rows = np.tile(vector, (num_ws, 1)) if vector.ndim == 1 else vector.copy()
    if direction.layers is not None:
        kept = np.zeros(num_ws, bool)
        kept[list(direction.layers)] = True
        rows[~kept] = 0
    return rows
