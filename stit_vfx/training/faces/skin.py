"""Procedural skin: where lips, cheeks, brows and beard are, how wrinkles run, and the colour that follows.

Charts are pictures on a cylinder around the neutral head (`head.unroll`); heights in centimetres.
Shape landmarks only place them; everything drawn is closed formula and seeded noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from stit_vfx.training.faces.head import CHART_SIZE, HALF_HEIGHT_CM, HALF_WIDTH_CM, Head, chart_pixel, unroll
from stit_vfx.training.faces.light import Array
from stit_vfx.training.faces.sample import Face
from stit_vfx.training.faces.strands import cloud, clouds

CHANNELS = (
    "lips", "cheek", "nose", "socket", "brow", "beard", "blotch", "mottle", "pores", "spots", "freckles",
    "age", "smile", "raise", "fine",
    "age_u", "smile_u", "raise_u", "fine_u", "age_v", "smile_v", "raise_v", "fine_v",
)  # fmt: skip
_GREY_BROW = np.array([0.45, 0.44, 0.43])
GREY_HAIR = np.array([0.58, 0.57, 0.56])
_SHARPNESS = 4  # fixed-point bits of OpenCV's sub-pixel drawing

Line = list[tuple[float, float]]


@dataclass(frozen=True)
class SkinCharts:
    """(CHART_SIZE, CHART_SIZE, len(CHANNELS)) float32; `_u` and `_v` are slopes of the wrinkle heights."""

    stack: Array


class Samples:
    """Chart values at n pixels, by name."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def __getitem__(self, name: str) -> Array:
        return self.values[:, CHANNELS.index(name)]


def paint_charts(head: Head) -> SkinCharts:
    """All charts of one source; about two seconds."""
    rng = np.random.default_rng(5)
    pixel = np.arange(CHART_SIZE) / CHART_SIZE - 0.5
    arc, height = np.meshgrid(pixel * 2 * HALF_WIDTH_CM, -pixel * 2 * HALF_HEIGHT_CM)
    charts = _regions(head, np.abs(arc), height, rng) | _noises(np.abs(arc), height, rng) | _heights(rng)
    for name in ("age", "smile", "raise", "fine"):
        charts[f"{name}_u"], charts[f"{name}_v"] = _slopes(charts[name])
    return SkinCharts(np.ascontiguousarray(np.stack([charts[c] for c in CHANNELS], -1), np.float32))


def _bump(cx: float, cy: float, sx: float, sy: float, x: Array, y: Array) -> Array:
    return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))


def _regions(head: Head, side: Array, height: Array, rng: np.random.Generator) -> dict[str, Array]:
    marks = unroll(head.landmarks)
    lips: Array = np.zeros_like(side, np.float32)
    outline = (chart_pixel(marks[48:60]) * 2**_SHARPNESS).astype(np.int32)
    cv2.fillPoly(lips, [outline], 1.0, cv2.LINE_AA, _SHARPNESS)
    lips = cv2.GaussianBlur(lips, (0, 0), 2.2)
    return {
        "lips": lips,
        "cheek": _bump(5.2, -0.3, 1.7, 1.5, side, height) + 0.35 * _bump(0, -6.4, 1.3, 0.8, side, height),
        "nose": _bump(0, 0.2, 1.0, 0.9, side, height) + 0.5 * _bump(1.2, -0.4, 0.5, 0.6, side, height),
        "socket": _sockets(side, height),
        "brow": _brow(marks[22:27], side, height, rng),
        "beard": _beard(side, height, lips),
    }


def _sockets(side: Array, height: Array) -> Array:
    below, above = _bump(3.0, 2.6, 1.2, 0.55, side, height), _bump(3.0, 4.5, 1.3, 0.5, side, height)
    return below + 0.6 * above + 0.6 * _bump(1.3, 3.6, 0.4, 0.7, side, height)


def _brow(marks: Array, side: Array, height: Array, rng: np.random.Generator) -> Array:
    """Hairs along the brow's five landmarks, thickest at the inner third."""
    inner, outer = marks[0, 0], marks[4, 0]
    middle = np.interp(side, marks[:, 0], marks[:, 1] - 0.12)
    thick = np.interp(side, [inner - 0.1, marks[1, 0], marks[2, 0], outer + 0.3], [0.38, 0.42, 0.34, 0.06])
    band = np.exp(-(np.abs((height - middle) / (thick * 0.75 + 1e-3)) ** 3))
    band = cv2.GaussianBlur(
        (band * ((side > inner - 0.35) & (side < outer + 0.45))).astype(np.float32), (0, 0), 2.0
    )
    hairs = cv2.GaussianBlur(rng.standard_normal(side.shape).astype(np.float32), (0, 0), 0.8)
    return np.clip(band * (1 + 0.25 * hairs / hairs.std()), 0, 1.1)


def _beard(side: Array, height: Array, lips: Array) -> Array:
    line = -3.6 + np.clip((side - 4.4) * 2.1, 0, 9)
    jaw = np.clip(1 - np.maximum(0, height - line), 0, 1) * (height > -10)
    moustache = _bump(0, -2.05, 2.3, 0.55, side, height)
    return cv2.GaussianBlur(
        (np.maximum(jaw, moustache) * (1 - np.clip(lips * 1.4, 0, 1))).astype(np.float32), (0, 0), 5
    )


def _noises(side: Array, height: Array, rng: np.random.Generator) -> dict[str, Array]:
    spots, where = cloud(rng, CHART_SIZE, 34), cloud(rng, CHART_SIZE, 5)
    freckles = cloud(rng, CHART_SIZE, 110)
    sunny = _bump(3, 1, 3, 2, side, height) + 0.5 * _bump(0, 1, 2, 1.5, side, height)
    return {
        "blotch": clouds(rng, CHART_SIZE, (8, 16, 32)),
        "mottle": clouds(rng, CHART_SIZE, (30, 60)),
        "pores": cloud(rng, CHART_SIZE, 90),
        "spots": np.clip((spots - 1.5) / 0.5, 0, 1) * np.clip(where * 0.5 + 0.6, 0, 1),
        "freckles": np.clip((freckles - 1.3) / 0.5, 0, 1) * sunny,
    }


def _heights(rng: np.random.Generator) -> dict[str, Array]:
    """Wrinkles as heights, grooves negative: for age, smile, raised brows, and fine skin."""
    forehead = _sum(_groove(_forehead_line(y), 0.11) for y in (7.3, 8.1, 8.9, 9.7))
    fan = (-1.2, -0.4, 0.4, 1.2)
    crow = _sum(
        _pair([(5.0, 3.35 + 0.1 * k), (5.8, 3.3 + 0.5 * k), (6.7, 3.1 + 0.95 * k)], 0.075) for k in fan
    )
    fold: Line = [(1.75, -0.1), (2.6, -1.3), (3.25, -2.6), (3.45, -3.7), (3.3, -4.5)]
    bags = _pair([(1.7, 2.6), (2.7, 2.0), (3.8, 2.0), (4.7, 2.7)], 0.13)
    fine = cv2.GaussianBlur(rng.standard_normal((CHART_SIZE, CHART_SIZE)).astype(np.float32), (0, 0), 1.0)
    fine = fine - cv2.GaussianBlur(fine, (0, 0), 2.3)
    return {
        "age": -(forehead + 0.8 * crow + 1.5 * _pair(fold, 0.2) + 1.1 * bags + _age_details()),
        "smile": -(0.5 * _pair(fold, 0.2) + 1.5 * _pair(fold, 0.42) + 0.6 * crow + 0.5 * bags),
        "raise": -forehead,
        "fine": fine / fine.std() * 0.10,
    }


def _age_details() -> Array:
    """Frown lines, marionette lines, second bags, cheek, lip and neck lines."""
    frown = _pair([(0.55, 5.2), (0.7, 6.0), (0.55, 6.7)], 0.10) + 0.6 * _groove(
        [(-0.8, 4.5), (0, 4.35), (0.8, 4.5)], 0.1
    )
    marionette = _pair([(2.85, -3.8), (3.0, -4.6), (2.9, -5.6)], 0.13)
    bags = _pair([(1.9, 2.1), (3.0, 1.2), (4.2, 1.2)], 0.13)
    cheek = _sum(_pair(_cheek_line(k), 0.09) for k in range(3))
    places = (0.35, 0.85, 1.35, 1.85)
    above = _sum(_pair([(x, -2.25), (x * 1.05, -1.5)], 0.06) for x in places)
    below = _sum(_pair([(x, -4.5), (x * 1.05, -5.1)], 0.06) for x in places)
    lips = 0.5 * above + 0.35 * below
    neck = _sum(_groove([(-5, y + 0.8), (0, y), (5, y + 0.8)], 0.14) for y in (-10.4, -11.8, -13.2))
    return 0.8 * frown + 0.7 * marionette + 0.66 * bags + 0.3 * cheek + 0.35 * lips + 0.9 * neck


def _forehead_line(y: float) -> Line:
    return [(-4.4, y - 0.5), (-2.2, y + 0.12), (0, y - 0.1), (2.2, y + 0.12), (4.4, y - 0.5)]


def _cheek_line(k: int) -> Line:
    return [(5.2 + 0.4 * k, 0.8 - 0.2 * k), (5.0 + 0.5 * k, -1.4), (4.5 + 0.5 * k, -3.6)]


def _sum(charts: Iterable[Array]) -> Array:
    return np.sum(list(charts), 0)


def _groove(line: Line, width: float) -> Array:
    """A line of Gaussian profile that fades towards its ends; peak 1."""
    stops = np.array(line)
    at = np.linspace(0, len(stops) - 1, 40)
    path = np.stack([np.interp(at, np.arange(len(stops)), stops[:, k]) for k in (0, 1)], 1)
    pixels = (chart_pixel(path) * 2**_SHARPNESS).astype(np.int32)
    out: Array = np.zeros((CHART_SIZE, CHART_SIZE), np.float32)
    for i, (start, end) in enumerate(pairwise(pixels)):
        depth = float(np.sin(np.pi * (i + 0.5) / 39) ** 0.6)
        cv2.line(out, start.tolist(), end.tolist(), depth, 2, cv2.LINE_AA, _SHARPNESS)
    out = cv2.GaussianBlur(out, (0, 0), width / HALF_WIDTH_CM * 0.5 * CHART_SIZE)
    return out / (out.max() + 1e-9)


def _pair(line: Line, width: float) -> Array:
    return _groove(line, width) + _groove([(-x, y) for x, y in line], width)


def _slopes(height: Array) -> tuple[Array, Array]:
    """Rise per centimetre to the right and upwards."""
    along_u, along_v = CHART_SIZE / (2 * HALF_WIDTH_CM), CHART_SIZE / (2 * HALF_HEIGHT_CM)
    right = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) / 8 * along_u
    up = -cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3) / 8 * along_v
    return right, up


def wear(age: float) -> float:
    """How much of the marks of age shows: none below 0.22, all at 1."""
    return max(0.0, age - 0.22) / 0.78


@dataclass(frozen=True)
class Relief:
    """Height (n,) and slope (n, 2) of the wrinkles at n skin pixels."""

    height: Array
    slope: Array


def relief(face: Face, at: Samples) -> Relief:
    """Age, smile and raised brows each bring their own lines; fine skin is always there."""
    worn = wear(face.age)
    amounts = {
        "age": 1.15 * worn**1.3,
        "smile": 0.75 * max(0.0, face.smile) * (0.45 + 0.75 * worn),
        "raise": 0.5 * face.expression.get("browOuterUp_L", 0.0) * (0.3 + worn),
    }
    fine = 0.5 * (0.35 + 0.6 * worn)
    slope = [sum(k * at[f"{n}_{d}"] for n, k in amounts.items()) + fine * at[f"fine_{d}"] for d in "uv"]
    return Relief(_sum(k * at[n] for n, k in amounts.items()), np.stack(slope, -1))


def albedo(face: Face, at: Samples, height: Array) -> Array:
    """(n, 3) linear RGB of the skin, lips, brows and stubble."""
    worn, skin = wear(face.age), face.skin
    colour = skin.tone * np.exp(_stains(face, at, height, worn))
    dull = 0.10 * worn
    colour = colour * (1 - dull) + dull * colour.mean(1, keepdims=True) * [1.05, 1.0, 0.93]
    lips = skin.lips * (1 - 0.25 * worn) + 0.25 * worn * np.array([0.85, 0.75, 0.75])
    amount = np.clip(at["lips"], 0, 1)[:, None]
    colour = colour * (1 - amount) + colour * lips * amount
    return _stubble(face, at, _brows(face, at, colour))


def _stains(face: Face, at: Samples, height: Array, worn: float) -> Array:
    """(n, 3) logarithm of what tints the even skin: blood, sockets, melanin, spots, depth of grooves."""
    skin = face.skin
    red = skin.blush * (0.5 * at["cheek"] + 0.4 * at["nose"]) + 0.08 * skin.mottle * at["blotch"] * (
        1 + 0.5 * worn
    )
    tints = (
        (red, (0.05, -0.16, -0.13)),
        (-(skin.sockets * 0.22 + 0.18 * worn) * at["socket"], (0.8, 1.0, 0.85)),
        (0.022 * skin.mottle * (1 + 0.6 * worn) * at["mottle"], (0.6, 1.0, 1.0)),
        (0.014 * (1 + worn) * at["pores"], (1.0, 1.0, 1.0)),
        (-0.22 * worn**1.5 * at["spots"], (0.7, 1.0, 1.3)),
        (-skin.freckles * at["freckles"], (0.25, 0.45, 0.6)),
        (np.clip(height, -2, 0), (0.06, 0.10, 0.10)),
    )
    return sum((np.outer(amount, tint) for amount, tint in tints), np.zeros((len(red), 3)))


def _brows(face: Face, at: Samples, colour: Array) -> Array:
    hair = face.hair
    brow = hair.colour * hair.brow_dark * (1 - 0.6 * hair.grey) + 0.6 * hair.grey * _GREY_BROW
    amount = np.clip(at["brow"] * hair.brows, 0, 0.95)[:, None]
    return colour * (1 - amount) + brow * amount


def hair_colour(face: Face) -> Array:
    """(3,) with its share of grey."""
    return face.hair.colour * (1 - face.hair.grey) + face.hair.grey * GREY_HAIR


def _stubble(face: Face, at: Samples, colour: Array) -> Array:
    grain = np.clip(at["beard"] * face.hair.beard * (0.55 + 0.12 * at["pores"]), 0, 0.8)[:, None] * 0.7
    shadow = 0.7 * hair_colour(face) + 0.3 * colour.mean(1, keepdims=True) * 0.5
    return colour * (1 - grain) + shadow * grain
