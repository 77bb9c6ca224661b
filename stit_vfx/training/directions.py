"""The built-in pack's directions: what each edit does to the shape. Training adds the part in w."""

from __future__ import annotations

from typing import Any

_SMILE = {
    "mouthSmile": 1.30,  # the width's bound takes half of it back at strength 1
    "cheekSquint": 0.55,
    "mouthDimple": 0.35,
    "eyeSquint": 0.25,
}
_SMILE_ALONG = {
    # A smile draws the chin's skin up over the bone. Its outline stays: a jaw that drops a little behind lips
    # that stay together keeps it there.
    "jawOpen": 0.13,
    "mouthClose": 0.12,
}
# Corners rise by more than the middle of the lips, which is drawn flat over the teeth.
_SMILE_PARTED = {
    "mouthUpperUp": 0.40,
    "mouthShrugUpper": -0.20,
}
_SMILE_ALONG_PARTED = {"mouthLowerDown": 0.50, "mouthShrugLower": -0.30}
_SMILE_CLOSED = {
    "mouthUpperUp": 0.30,
    "mouthPress": 0.05,
    "mouthShrugUpper": -0.40,
    "mouthShrugLower": -0.15,
}
_WIDEST = 0.33  # of a mouth at rest: broad smiles of people are a quarter to a third wider
_SOBER = {
    "pressed": 1.0,  # or the lips of a smile would part in the dark below the teeth
    "release": {
        "mouthSmile": 1.0,
        "cheekSquint": 1.0,
        "mouthDimple": 1.0,
        "mouthUpperUp": 1.0,
        "mouthLowerDown": 1.0,
        "mouthStretch": 0.8,
        "eyeSquint": 0.6,
        "mouthFunnel": 0.6,
        "jawOpen": 0.6,
    },
    "expression": {"mouthFrown": 0.22, "mouthPucker": 0.08},
}
_OPPOSED_TO_SMILE = {"mouthFrown": 1.0, "mouthPucker": 0.8, "mouthFunnel": 0.6, "mouthPress": 0.8}
_ANGER = {
    "browDown": 0.9,
    "eyeSquint": 0.35,
    "cheekSquint": 0.2,
    "noseSneer": 0.35,
    "mouthFrown": 0.35,
}
_ANGER_CLOSED = {"mouthPress": 0.45, "mouthShrugLower": 0.15}
_ANGER_PARTED = {"mouthPress": 0.45}
_SURPRISE = {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.7, "mouthShrugUpper": -0.1}
_SURPRISE_JAW = {
    "closed": {"jawOpen": 0.36},
    "parted": {"jawOpen": 0.32},
}  # teeth that show would be stretched
_PARTING = ("mouthSmile", "mouthDimple", "mouthUpperUp", "mouthLowerDown", "mouthStretch")
_SMILING = {"mouthSmile": 1.0, "mouthDimple": 1.0, "mouthUpperUp": 0.7, "mouthLowerDown": 0.4}


def _direction(
    name: str, title: str, shape: dict[str, Any], *, low: float = -1.0, look: dict[str, float] | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "shape": shape,
        "look": look or {},
        "scale": 1.0,
        "range": [low, 1.0],
    }


def default_directions() -> list[dict[str, Any]]:
    """One entry per direction, as `pack.json` holds it; `shape` is a move as `stit_vfx.shape.moves` defines
    it.
    """
    return [*_expressions(), *_people(), *_poses()]


def _expressions() -> list[dict[str, Any]]:
    smile = {
        "expression": _SMILE,
        "along": _SMILE_ALONG,
        "along_parted": _SMILE_ALONG_PARTED,
        "parted": _SMILE_PARTED,
        "closed": _SMILE_CLOSED,
        "sealed": 1.0,
        "release": _OPPOSED_TO_SMILE,
        "widest": _WIDEST,
        "down": _SOBER,
    }
    shut = {"expression": {"eyeBlink": 1.0, "eyeSquint": 0.2}, "release": {"eyeWide": 1.0}}
    wide = {"expression": {"eyeWide": 0.8}, "release": {"eyeBlink": 1.0, "eyeSquint": 0.8}}
    lifted = {"browInnerUp": 0.7, "browOuterUp": 0.7, "eyeWide": 0.15}
    lowered = {"expression": {"browDown": 0.8}, "release": {"browInnerUp": 1.0, "browOuterUp": 1.0}}
    opened = {"expression": {"jawOpen": 0.6}, "release": {"mouthClose": 1.0}}
    closed = {"jawOpen": 1.0, "mouthLowerDown": 0.8, "mouthUpperUp": 0.6, "mouthFunnel": 0.6}
    angry = {
        "expression": _ANGER,
        "closed": _ANGER_CLOSED,
        "parted": _ANGER_PARTED,
        "pressed": 1.0,
        "release": _SMILING | {"browInnerUp": 1.0, "browOuterUp": 0.8, "jawOpen": 0.4},
    }
    surprised = {
        "expression": _SURPRISE,
        **_SURPRISE_JAW,
        "release": _SMILING | {"browDown": 1.0, "eyeSquint": 1.0, "cheekSquint": 1.0},
    }
    turned_down = {"expression": {"mouthFrown": 0.7, "browDown": 0.5}}
    pursed = {
        "expression": {"mouthPucker": 0.8},
        "pressed": 1.4,  # lips come together from strength 0.7 on
        "release": dict.fromkeys(_PARTING, 1.0) | {"jawOpen": 0.7},
    }
    return [
        _direction("smile", "Smile", smile),
        _direction("mouth_open", "Open mouth", opened | {"down": {"release": closed}}),
        _direction("eyes_closed", "Close eyes (below 0: open wide)", shut | {"down": wide}),
        _direction(
            "brows_up", "Raise brows", {"expression": lifted, "release": {"browDown": 1.0}, "down": lowered}
        ),
        _direction("anger", "Anger", angry, low=0.0),
        _direction("surprise", "Surprise", surprised, low=0.0),
        _direction("frown", "Frown", turned_down, low=0.0),
        _direction("pucker", "Pucker", pursed, low=0.0),
    ]


def _people() -> list[dict[str, Any]]:
    """What makes a person: age, and how the face is built (drawn by hand; see `shape.form`)."""
    built = (
        ("eye_size", "Size of the eyes"),
        ("nose_width", "Width of the nose"),
        ("lip_fullness", "Fullness of the lips"),
        ("jaw_width", "Width of the jaw"),
        ("face_width", "Width of the face"),
        ("chin_length", "Length of the chin"),
    )
    older = {"age": 1.0, "form": {"lip_fullness": -0.45}}
    younger = {"age": -0.75, "form": {"lip_fullness": 0.35, "eye_size": 0.2}}
    return [
        _direction("age", "Age", older | {"down": younger}, look={"age": 1.0}),
        _direction(
            "masculine",
            "More masculine (below 0: more feminine)",
            {"form": {"masculine": 1.0}},
            look={"masculine": 1.0},
        ),
        *(_direction(name, title, {"form": {name: 1.0}}) for name, title in built),
    ]


def _poses() -> list[dict[str, Any]]:
    return [
        _direction("yaw", "Turn", {"pose": {"yaw": 15.0}}),
        _direction("pitch", "Nod", {"pose": {"pitch": 12.0}, "down": {"pose": {"pitch": -15.0}}}),
    ]
