"""Edits of shape codes: expressions that saturate, poses, age.

A move is plain data, as a pack's directions hold it (amounts at strength 1; a name without _L or _R means
both):

expression {name: amount} added; never beyond the amount and a little more, so a smile on a smile stays one
release {name: share} what opposes the move is let go by this share down the same two keys for negative
strength; without it negative strength subtracts `expression` pose {"yaw": degrees, "pitch": degrees} to the
image's right, up age displacement of the age field
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from stit_vfx.errors import PackFormatError
from stit_vfx.shape.code import ShapeCode, rotation_matrix
from stit_vfx.shape.model import ShapeModel

Array = np.ndarray
Move = Mapping[str, Any]

_BEYOND = 1.08  # an expression may be pushed to this share of the move's own amount
_LEAST = -0.3
_KEYS = frozenset({"expression", "release", "down", "pose", "age"})


def apply_moves(model: ShapeModel, code: ShapeCode, moves: Iterable[tuple[Move, float]]) -> ShapeCode:
    """The code after moves at strengths (-1..1 is natural).

    All start from `code`, so their order does not matter.
    """
    change = np.zeros_like(code.expression)
    turn, age = np.zeros(2), code.age
    for whole, signed in moves:
        _check(whole)
        move, strength = _side(whole, signed)
        change += _expression_change(model, code.expression, move, strength)
        pose = move.get("pose", {})
        turn += strength * np.radians([pose.get("yaw", 0.0), pose.get("pitch", 0.0)])
        age += strength * move.get("age", 0.0)
    rotation = rotation_matrix(np.array([-turn[1], turn[0], 0.0])) @ code.rotation
    return code.but(expression=code.expression + change, rotation=rotation, age=age)


def expression_look(model: ShapeModel, before: ShapeCode, after: ShapeCode) -> dict[str, float]:
    """Amounts of relief that go with a change of expression: folds of a smile, lines of raised or drawn
    brows.
    """
    change = after.expression - before.expression

    def mean(*names: str) -> float:
        return float(np.mean([change[model.index(f"{n}_{side}")] for n in names for side in "LR"]))

    return {
        "smile": mean("mouthSmile"),
        "raise": mean("browInnerUp", "browOuterUp"),
        "frown": mean("browDown"),
    }


def _check(move: Move) -> None:
    unknown = set(move) - _KEYS
    if unknown:
        raise PackFormatError(f"a direction moves unknown things: {', '.join(sorted(unknown))}")


def _side(move: Move, strength: float) -> tuple[Move, float]:
    """The half of the move that a strength's sign calls for."""
    return (move["down"], -strength) if strength < 0 and "down" in move else (move, strength)


def _expression_change(model: ShapeModel, now: Array, move: Move, strength: float) -> Array:
    amount = _vector(model, move.get("expression", {}))
    release = np.clip(strength * _vector(model, move.get("release", {})), 0, 1)
    kept = now * (1 - np.where(now > 0, release, 0))
    wanted = kept + strength * amount
    high, low = np.maximum(kept, _BEYOND * amount), np.minimum(kept, _LEAST)
    return np.where(amount != 0, np.clip(wanted, low, np.maximum(high, low)), kept) - now


def _vector(model: ShapeModel, amounts: Mapping[str, float]) -> Array:
    out = np.zeros(len(model.expressions))
    for name, amount in amounts.items():
        rows = [k for k, e in enumerate(model.expressions) if e in (name, f"{name}_L", f"{name}_R")]
        if not rows:
            raise PackFormatError(
                f"the shape has no expression {name!r}", hint="Names are ARKit-style, like mouthSmile"
            )
        out[rows] = amount
    return out
