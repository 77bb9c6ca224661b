"""Edits of shape codes: expressions that saturate, poses, age, and how a face is built.

A move is plain data, as a pack's directions hold it (amounts at strength 1; a name without _L or _R means
both):

    expression  {name: amount} added; never beyond the amount, nor 1, and a little more: a smile on a smile is
                a smile
    along       {name: amount} added as far as `expression` gets, whatever there is of it already: a jaw drops
                behind lips that a smile draws up
    along_parted  the same, as far as the lips are parted already
    parted      as `expression`, as far as the lips are parted already; a closed mouth keeps its lips together
    closed      the same, as far as they are not
    release     {name: share} what opposes the move is let go by this share
    sealed      share of what would part lips that touch which is taken back
    pressed     share by which lips come together that are parted by more than the jaw
    widest      share by which the mouth may end up wider than this person's at rest; it gets there ever more
                slowly, so that narrow mouths do not tear and wide smiles grow little
    down        the same keys for negative strength; without it negative strength subtracts `expression`
    pose        {"yaw": degrees, "pitch": degrees} to the image's right, up
    age         displacement of the age field
    form        {name: amount} of the fields in `form.FORMS`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from stit_vfx.errors import PackFormatError
from stit_vfx.shape.code import ShapeCode, rotation_matrix
from stit_vfx.shape.form import FORMS
from stit_vfx.shape.model import ShapeModel
from stit_vfx.shape.ramp import ramp

Array = np.ndarray
Move = Mapping[str, Any]

_BEYOND = 1.08  # an expression may be pushed to this share of the move's own amount, and of its full extent
_LEAST = -0.3
_CORNERS, _INNER_LIPS = (48, 54), (62, 66)  # landmarks
_UPPER_INNER, _LOWER_INNER = (61, 62, 63), (67, 66, 65)
_WIDENING = ("mouthSmile", "mouthStretch", "mouthDimple")
_KEYS = frozenset(
    {
        "expression",
        "along",
        "along_parted",
        "parted",
        "closed",
        "release",
        "sealed",
        "pressed",
        "widest",
        "down",
        "pose",
        "age",
        "form",
    }
)
_PARTED_CM = (0.30, 0.70)  # between the inner lips: closed, parted; fits of closed mouths leave up to 0.3
_PRESSED_CM = 0.20  # by so much lips that are pressed pass each other
_NARROWEST = 0.04  # share of its width that any mouth may still grow by
_ATLAS = np.array([0.0, -1.0, 1.5])  # centimetres: on it the skull turns, between the ears and behind them
# So far is a head turned where a further turn begins to yield, and where it has: to nothing, or to a share.
_TOWARDS_DEG, _AWAY_DEG, _AWAY_LEAST = (36.0, 50.0), (32.0, 48.0), 0.25
_MOST_FORM = 1.25  # several edits together build no other person


def apply_moves(model: ShapeModel, code: ShapeCode, moves: Iterable[tuple[Move, float]]) -> ShapeCode:
    """The code after moves at strengths (-1..1 is natural).

    All start from `code`, so their order does not matter. Whether lips are parted is the code's word; what
    becomes of them if they are not is in the result's `touching`, for who sees the picture.
    """
    parted = _parted(model, code)
    change, closed = np.zeros_like(code.expression), np.zeros_like(code.expression)
    turn, age = np.zeros(2), code.age
    form = np.zeros(len(FORMS)) if code.form is None else code.form.copy()
    for whole, signed in moves:
        _check(whole)
        move, strength = _side(whole, signed)
        change += _expression_change(model, code, move, strength, parted)
        closed += _expression_change(model, code, move, strength, 0.0)
        pose = move.get("pose", {})
        turn += strength * np.radians([pose.get("yaw", 0.0), pose.get("pitch", 0.0)])
        age += strength * move.get("age", 0.0)
        form += strength * _form(move)
    touching = None if np.array_equal(change, closed) else code.expression + closed
    moved = _turned(code, turn).but(expression=code.expression + change, age=age, touching=touching)
    return moved.but(form=np.clip(form, -_MOST_FORM, _MOST_FORM)) if form.any() else moved


def _turned(code: ShapeCode, turn: Array) -> ShapeCode:
    """The code turned by (2,) radians to the image's right and up, about the joint of head and neck."""
    rotation = rotation_matrix(np.array([-turn[1], _plausible(code, turn[0]), 0.0])) @ code.rotation
    stays = ((code.rotation - rotation) @ _ATLAS)[:2] * [1, -1]
    return code.but(rotation=rotation, translation=code.translation + code.scale * stays)


def _plausible(code: ShapeCode, yaw: float) -> float:
    """As much of a turn, in radians, as a plate can show: in profile a nose hides what a turn to the camera
    would bare, and its far eye goes out of sight in a turn away from it.
    """
    aside = float(np.arcsin(np.clip(code.rotation[2, 0], -1, 1)))
    (low, high), least = (_AWAY_DEG, _AWAY_LEAST) if yaw * aside < 0 else (_TOWARDS_DEG, 0.0)
    return yaw * (1 - (1 - least) * float(ramp(np.degrees(abs(aside)), low, high)))


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


def _expression_change(
    model: ShapeModel, code: ShapeCode, move: Move, strength: float, parted: float
) -> Array:
    now = code.expression
    amount = _vector(model, move.get("expression", {})) + parted * _vector(model, move.get("parted", {}))
    amount = amount + (1 - parted) * _vector(model, move.get("closed", {}))
    release = np.clip(strength * _vector(model, move.get("release", {})), 0, 1)
    kept = now * (1 - np.where(now > 0, release, 0))
    wanted = kept + strength * amount
    high, low = np.maximum(kept, _BEYOND * np.minimum(amount, 1)), np.minimum(kept, _LEAST)
    change = np.where(amount != 0, np.clip(wanted, low, np.maximum(high, low)), kept) - now
    if "widest" in move:
        change = _not_wider(model, code, change, float(move["widest"]))
    if "along" in move or "along_parted" in move:
        own = _vector(model, move["expression"])
        along = _vector(model, move.get("along", {})) + parted * _vector(model, move.get("along_parted", {}))
        change = change + float(change @ own) / float(own @ own) * along
    change = _pressed(model, code, change, strength * float(move.get("pressed", 0.0)) * parted)
    return _sealed(model, code, change, float(move.get("sealed", 0.0)) * (1 - parted))


def _pressed(model: ShapeModel, code: ShapeCode, change: Array, share: float) -> Array:
    """The change with lips that come together by a share of what they are apart beyond what the jaw parts
    them, and pass each other a little: speech goes on behind a sober or an angry face.
    """
    if share <= 0:
        return change
    follow, jaw = np.zeros_like(change), np.array([name.startswith("jaw") for name in model.expressions])
    follow[model.index("mouthClose")] = 1.0
    moved = code.expression + change
    now, wanted, closed, rest = (
        _gap(model, code.but(expression=expression))
        for expression in (code.expression, moved, moved + follow, moved * jaw)
    )
    above = max(wanted - (now + share * (rest - _PRESSED_CM - now)), 0.0)
    return change + follow * above / max(wanted - closed, _PRESSED_CM)


def _sealed(model: ShapeModel, code: ShapeCode, change: Array, share: float) -> Array:
    """The change with the lower lip following as far as lips would part further than they are."""
    follow = np.zeros_like(change)
    follow[model.index("mouthClose")] = 1.0
    now, wanted, closed = (
        _gap(model, code.but(expression=code.expression + step)) for step in (0 * change, change, follow)
    )
    parting = max(wanted - now, 0.0)
    return change + follow * share * parting / (now - closed) if share * parting > 0 else change


def _gap(model: ShapeModel, code: ShapeCode) -> float:
    """Centimetres between the inner lips, over their middle half, in the face's own frame."""
    height = model.marks(code)[:, 1]
    return float(height[list(_UPPER_INNER)].mean() - height[list(_LOWER_INNER)].mean())


def _parted(model: ShapeModel, code: ShapeCode) -> float:
    """0 for lips that touch, 1 for lips well apart."""
    marks = model.marks(code)
    gap = float(marks[_INNER_LIPS[0], 1] - marks[_INNER_LIPS[1], 1])
    return float(ramp(gap, *_PARTED_CM))


def _not_wider(model: ShapeModel, code: ShapeCode, change: Array, widest: float) -> Array:
    """The change with less of what widens the mouth, where it would widen too far."""
    rest = _mouth_width(model, code.but(expression=np.zeros_like(change)))
    now = _mouth_width(model, code) / rest - 1
    wanted = _mouth_width(model, code.but(expression=code.expression + change)) / rest - 1
    if wanted <= now:
        return change
    room = max(widest - now, _NARROWEST)
    allowed = room * np.tanh((wanted - now) / room)
    share = np.ones_like(change)
    share[_vector(model, dict.fromkeys(_WIDENING, 1.0)) > 0] = allowed / (wanted - now)
    return change * share


def _mouth_width(model: ShapeModel, code: ShapeCode) -> float:
    """Centimetres from corner to corner, in the face's own frame."""
    marks = model.marks(code)
    return float(np.linalg.norm(marks[_CORNERS[0]] - marks[_CORNERS[1]]))


def _form(move: Move) -> Array:
    """(F,) amounts of FORMS."""
    amounts: Mapping[str, float] = move.get("form", {})
    unknown = set(amounts) - set(FORMS)
    if unknown:
        hint = f"Known: {', '.join(FORMS)}"
        raise PackFormatError(f"a direction forms unknown things: {', '.join(sorted(unknown))}", hint=hint)
    return np.array([amounts.get(name, 0.0) for name in FORMS])


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
