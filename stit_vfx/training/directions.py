"""The built-in pack's directions: what each edit does to the shape. Training adds the part in w."""

from __future__ import annotations

from typing import Any

_SMILE = {
    "mouthSmile": 0.95,
    "cheekSquint": 0.55,
    "mouthDimple": 0.35,
    "mouthUpperUp": 0.40,
    "mouthLowerDown": 0.30,
    "mouthStretch": 0.15,
    "eyeSquint": 0.25,
    "jawOpen": 0.04,
}
_SOBER = {
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
    smile = {"expression": _SMILE, "release": _OPPOSED_TO_SMILE, "down": _SOBER}
    wide = {"eyeBlink": 1.1, "eyeSquint": 0.2}
    return [
        _direction("smile", "Smile", smile),
        _direction("age", "Age", {"age": 1.0, "down": {"age": -0.65}}, look={"age": 1.0}),
        _direction(
            "mouth_open", "Open mouth", {"expression": {"jawOpen": 0.6}, "release": {"mouthClose": 1.0}}
        ),
        _direction("eyes_closed", "Close eyes", {"expression": wide, "release": {"eyeWide": 1.0}}, low=-0.4),
        _direction(
            "brows_up",
            "Raise brows",
            {
                "expression": {"browInnerUp": 0.7, "browOuterUp": 0.7, "eyeWide": 0.15},
                "release": {"browDown": 1.0},
                "down": {
                    "expression": {"browDown": 0.8},
                    "release": {"browInnerUp": 1.0, "browOuterUp": 1.0},
                },
            },
        ),
        _direction("frown", "Frown", {"expression": {"mouthFrown": 0.7, "browDown": 0.5}}, low=0.0),
        _direction(
            "pucker", "Pucker", {"expression": {"mouthPucker": 0.8}, "release": {"mouthSmile": 0.7}}, low=0.0
        ),
        _direction("yaw", "Turn", {"pose": {"yaw": 5.0}}),
        _direction("pitch", "Nod", {"pose": {"pitch": 4.5}}),
    ]
