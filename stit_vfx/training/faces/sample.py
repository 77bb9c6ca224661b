"""A random person in a random light: the parameters of one synthetic face.

Colours are linear RGB reflectances, 0..1. Every number is drawn from one generator, so that face `index` of
`seed` is the same on every machine (`draw`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from stit_vfx.shape.network import IDENTITY
from stit_vfx.training.faces.light import Lighting, draw_lighting

Array = np.ndarray
Rng = np.random.Generator


_LIGHT_SKIN, _DARK_SKIN = np.array([0.78, 0.52, 0.41]), np.array([0.17, 0.088, 0.055])
# Black, dark brown, brown, light brown, blond, auburn.
_HAIR = np.array(
    [
        [0.022, 0.018, 0.016],
        [0.060, 0.038, 0.026],
        [0.140, 0.082, 0.048],
        [0.270, 0.175, 0.100],
        [0.480, 0.350, 0.200],
        [0.240, 0.090, 0.038],
    ]
)
_HAIR_SHARE = np.array([0.26, 0.28, 0.22, 0.11, 0.09, 0.04])
_HAIR_SHARE_DARK = np.array([0.78, 0.18, 0.04, 0.0, 0.0, 0.0])
# Brown, hazel, blue-grey, green.
_IRIS = np.array([[0.13, 0.07, 0.04], [0.22, 0.14, 0.07], [0.24, 0.31, 0.37], [0.25, 0.29, 0.19]])
_IRIS_SHARE, _IRIS_SHARE_DARK = np.array([0.42, 0.25, 0.2, 0.13]), np.array([0.86, 0.13, 0.01, 0.0])

# The composed smile, in ARKit-style controls; a strength of 1 is broad.
SMILE = {
    "mouthSmile": 0.95,
    "cheekSquint": 0.7,
    "mouthDimple": 0.35,
    "mouthUpperUp": 0.45,
    "mouthLowerDown": 0.35,
    "mouthStretch": 0.15,
    "eyeSquint": 0.3,
}


@dataclass(frozen=True)
class Skin:
    """`tone` and `lips` (3,); the rest are amounts, 0..1 or a little more."""

    tone: Array
    lips: Array
    blush: float
    sockets: float
    freckles: float
    mottle: float
    gloss: float


@dataclass(frozen=True)
class Hair:
    """`length` and `rise` of the hairline in centimetres; `long` adds a curtain down to `fall` (0..1).

    `curl` 0..1 ruffles it; `fringe` is how far hair hangs over the forehead, in centimetres, 0 for none.
    """

    colour: Array
    grey: float
    brows: float
    brow_dark: float
    bald: bool
    length: float
    rise: float
    recede: float
    side: float
    sweep: float
    long: bool
    fall: float
    opening: float
    beard: float
    beard_length: float
    curl: float = 0.0
    fringe: float = 0.0


@dataclass(frozen=True)
class Setting:
    """Clothes, backdrop and what is on the nose. `tint` 0..1: how dark the lenses are."""

    cloth: Array
    collar: float
    backdrop_seed: int
    glasses: float
    glasses_colour: Array
    lens: tuple[float, float, float]
    tint: float = 0.0
    glare: float = 0.0


@dataclass(frozen=True)
class Obstacles:
    """What hides a part of the head. `hat` is a kind or ""; `hand` and `thing` are seeds, 0 for none."""

    hat: str = ""
    hat_colour: Array = field(default_factory=lambda: np.full(3, 0.2))
    hat_low: float = 0.0
    hand: int = 0
    thing: int = 0


@dataclass(frozen=True)
class Face:
    """All that a picture depends on. `expression` maps ARKit-style names to amounts; angles in radians.

    `shift` (dx, dy) in crop sides, `zoom` and `roll` are how far the crop is off the ideal one.
    """

    identity: Array
    expression: dict[str, float]
    smile: float
    age: float
    woman: bool
    yaw: float
    pitch: float
    roll: float
    shift: tuple[float, float]
    zoom: float
    skin: Skin
    hair: Hair
    iris: Array
    lashes: float
    light: Lighting
    setting: Setting
    noise_seed: int
    grain: float
    blur: float = field(default=0.0)
    obstacles: Obstacles = field(default_factory=Obstacles)

    @property
    def controls(self) -> dict[str, float]:
        """Expression with the smile added, both sides alike."""
        total = dict(self.expression)
        for name, amount in SMILE.items():
            for side in "LR":
                key = f"{name}_{side}"
                total[key] = total.get(key, 0.0) + amount * self.smile
        total["jawOpen"] = total.get("jawOpen", 0.0) + 0.05 * self.smile
        return total

    def but(self, **changes: object) -> Face:
        """The same picture with some parameters changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def aged(self, age: float, grey: float) -> Face:
        """The same person at another age (0..1); nothing else moves."""
        return self.but(age=age, hair=replace(self.hair, grey=grey))


def draw(seed: int, index: int) -> Face:
    """Face `index` of `seed`."""
    return draw_face(np.random.default_rng([seed, index]))


def draw_face(rng: Rng) -> Face:
    """One face; the order of the draws is part of the format."""
    woman = bool(rng.random() < 0.5)
    age = float(rng.beta(1.3, 1.6))
    dark = float(rng.random() ** 1.3)
    smile, expression = _draw_expression(rng)
    face = _draw_rest(rng, woman=woman, age=age, dark=dark, smile=smile, expression=expression)
    hair, setting = _draw_style(rng, face.hair, woman=woman), _draw_lenses(rng, face.setting)
    turned, wide = rng.random() < 0.25, float(rng.uniform(-1.1, 1.1))
    return face.but(
        hair=hair, setting=setting, obstacles=_draw_obstacles(rng), yaw=wide if turned else face.yaw
    )


def _draw_rest(
    rng: Rng, *, woman: bool, age: float, dark: float, smile: float, expression: dict[str, float]
) -> Face:
    return Face(
        identity=(rng.standard_normal(IDENTITY) * 0.95).astype(np.float64),
        expression=expression,
        smile=smile,
        age=age,
        woman=woman,
        yaw=float(np.clip(rng.normal(0, 0.30), -0.8, 0.8)),
        pitch=float(np.clip(rng.normal(0, 0.14), -0.45, 0.45)),
        roll=float(rng.normal(0, 0.035)),
        shift=(float(rng.normal(0, 0.022)), float(rng.normal(0, 0.022))),
        zoom=float(rng.normal(0, 0.04)),
        skin=_draw_skin(rng, dark, woman),
        hair=_draw_hair(rng, dark=dark, woman=woman, age=age),
        iris=_draw_iris(rng, dark),
        lashes=float(rng.uniform(0.15, 0.4) + 0.3 * woman),
        light=draw_lighting(rng),
        setting=_draw_setting(rng, age),
        noise_seed=int(rng.integers(1 << 31)),
        grain=float(max(0.0, rng.normal(0.004, 0.006))),
        blur=float(max(0.0, rng.normal(-0.1, 0.35))),
    )


def _maybe(rng: Rng, chance: float, low: float, high: float) -> float:
    """A uniform amount with probability `chance`, else 0; always two draws."""
    hit, amount = rng.random() < chance, rng.uniform(low, high)
    return float(amount) if hit else 0.0


def _draw_expression(rng: Rng) -> tuple[float, dict[str, float]]:
    smile = _maybe(rng, 0.58, 0.05, 1.15)
    both = {
        "eyeBlink": _maybe(rng, 0.15, 0.1, 1.0) or float(rng.uniform(-0.1, 0.12)),
        "browDown": _maybe(rng, 0.2, 0, 0.8),
        "browOuterUp": _maybe(rng, 0.22, 0, 0.8),
        "mouthFrown": _maybe(rng, 0.15, 0, 0.6) * (smile < 0.2),
        "eyeWide": float(rng.uniform(0, 0.5)),
        "noseSneer": _maybe(rng, 0.12, 0, 0.6),
        "mouthUpperUp": _maybe(rng, 0.18, 0, 0.5),
        "mouthPress": _maybe(rng, 0.1, 0, 0.7),
        "mouthStretch": _maybe(rng, 0.1, 0, 0.6),
        "eyeSquint": _maybe(rng, 0.15, 0, 0.7),
    }
    both["browInnerUp"] = both["browOuterUp"] or _maybe(rng, 0.1, 0, 0.7)
    sides = {f"{k}_{s}": v * float(np.exp(rng.normal(0, 0.08))) for k, v in both.items() for s in "LR"}
    single = {
        "jawOpen": _maybe(rng, 0.35, 0, 0.6),
        "mouthPucker": _maybe(rng, 0.12, 0, 0.7),
        "mouthFunnel": _maybe(rng, 0.08, 0, 0.6),
        "mouthRollLower": _maybe(rng, 0.06, 0, 0.6),
    }
    return smile, sides | single | _gaze(rng.normal(0, 0.3), rng.normal(0, 0.18))


def _gaze(right: float, up: float) -> dict[str, float]:
    return {
        "eyeLookOut_L": max(0.0, right),
        "eyeLookIn_R": max(0.0, right),
        "eyeLookIn_L": max(0.0, -right),
        "eyeLookOut_R": max(0.0, -right),
        **{f"eyeLookUp_{s}": max(0.0, up) for s in "LR"},
        **{f"eyeLookDown_{s}": max(0.0, -up) for s in "LR"},
    }


def _draw_skin(rng: Rng, dark: float, woman: bool) -> Skin:
    tone = np.exp(np.log(_LIGHT_SKIN) * (1 - dark) + np.log(_DARK_SKIN) * dark)
    tone = tone * np.exp(rng.normal(0, 0.08) + rng.standard_normal(3) * [0.03, 0.04, 0.07])
    lips = np.array([0.80, 0.55, 0.55]) * np.exp(rng.standard_normal(3) * [0.08, 0.12, 0.10])
    return Skin(
        tone=np.clip(tone, 0.04, 0.9),
        lips=np.clip(lips * (np.array([1.05, 0.8, 0.85]) if woman else 1.0), 0.2, 1.2),
        blush=float(rng.uniform(0.2, 1.0)),
        sockets=float(rng.uniform(0, 1)),
        freckles=float(max(0.0, rng.normal(-0.2, 0.5))),
        mottle=float(rng.uniform(0.2, 0.9)),
        gloss=float(rng.uniform(0.05, 0.5)),
    )


def _draw_hair(rng: Rng, *, dark: float, woman: bool, age: float) -> Hair:
    share = _HAIR_SHARE if dark < 0.5 else _HAIR_SHARE_DARK
    colour = _HAIR[rng.choice(6, p=share)] * np.exp(rng.normal(0, 0.2) + rng.standard_normal(3) * 0.04)
    grey = float(np.clip((age - 0.45) * 1.8 * rng.uniform(0.2, 1.3), 0, 1))
    return Hair(
        colour=np.clip(colour, 0.008, 0.7),
        grey=grey,
        brows=float(rng.uniform(0.5, 0.95) if woman else rng.uniform(0.65, 1.05)),
        brow_dark=float(rng.uniform(0.4, 0.95)),
        bald=bool(rng.random() < (0.0 if woman else 0.10)),
        length=float(rng.uniform(0.5, 2.2) if woman else rng.uniform(0.25, 1.8)),
        rise=float(rng.normal(0.8, 0.9)),
        recede=0.0 if woman else float(max(0.0, rng.normal(-0.2, 0.5) + age * 1.1)),
        side=float(rng.normal(0, 0.9)),
        sweep=float(rng.uniform(-1.6, 0.9)),
        long=bool(rng.random() < (0.66 if woman else 0.08)),
        fall=float(rng.uniform(0.05, 1.0)),
        opening=float(rng.uniform(0, 1)),
        beard=0.0 if woman else _maybe(rng, 0.5, 0.1, 1.0),
        beard_length=float(rng.uniform(0, 1) ** 3 * 0.8),
    )


def _draw_iris(rng: Rng, dark: float) -> Array:
    share = _IRIS_SHARE if dark < 0.5 else _IRIS_SHARE_DARK
    return _IRIS[rng.choice(4, p=share)] * np.exp(rng.standard_normal(3) * 0.1)


def _draw_setting(rng: Rng, age: float) -> Setting:
    muted = rng.random() ** 2 * np.exp(rng.standard_normal(3) * 0.1)
    vivid = np.clip(rng.random(3) ** 1.6, 0.02, 0.95)
    return Setting(
        cloth=np.clip(vivid if rng.random() < 0.5 else muted, 0.01, 0.95),
        collar=float(rng.uniform(-1, 1)),
        backdrop_seed=int(rng.integers(1 << 31)),
        glasses=_maybe(rng, 0.08 + 0.08 * age, 0.5, 1.0),
        glasses_colour=rng.random() ** 3 * np.array([0.5, 0.4, 0.3]) + 0.01,
        lens=(float(rng.uniform(2.0, 2.7)), float(rng.uniform(1.5, 2.2)), float(rng.uniform(2.0, 4.0))),
    )


def _draw_style(rng: Rng, hair: Hair, *, woman: bool) -> Hair:
    """Curls, volume and a fringe on top of the cut."""
    curl = _maybe(rng, 0.4, 0.2, 1.0)
    volume = _maybe(rng, 0.25, 0.3, 2.6) * (0.4 + 0.6 * curl)
    fringe = _maybe(rng, 0.45 if woman else 0.2, 1.0, 5.0)
    return replace(hair, curl=curl, length=hair.length + volume, fringe=0.0 if hair.bald else fringe)


def _draw_lenses(rng: Rng, setting: Setting) -> Setting:
    worn, frame = rng.random() < 0.12, float(rng.uniform(0.3, 1.0))
    dark, tint, glare = rng.random() < 0.25, float(rng.uniform(0.6, 0.97)), _maybe(rng, 0.5, 0.05, 0.5)
    glasses = max(setting.glasses, frame * worn)
    return replace(setting, glasses=glasses, tint=tint if dark else 0.06, glare=glare)


def _draw_obstacles(rng: Rng) -> Obstacles:
    kind = str(rng.choice(["", "beanie", "cap", "brim"], p=[0.86, 0.05, 0.05, 0.04]))
    colour, low = rng.random(3) ** 1.8, float(rng.uniform(-0.6, 1.0))
    hand, thing = rng.random() < 0.10, rng.random() < 0.06
    seeds = rng.integers(1, 1 << 31, 2)
    return Obstacles(
        kind, np.clip(colour, 0.01, 0.9), low, int(seeds[0]) if hand else 0, int(seeds[1]) if thing else 0
    )
