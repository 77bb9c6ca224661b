"""What age and expression write into skin, drawn on our chart: creases, spots, shadows under the eyes.

Heights are in centimetres. Everything hangs on the chart's landmarks and is bent by noise, so that no two
lines run parallel and nothing looks ruled; each person has a drawing of their own. Seeded: the same on every
machine.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from stit_vfx.shape.chart import AZIMUTH_DEG, ELEVATION_DEG

Array = np.ndarray
Curve = tuple[tuple[float, float], ...]

PX_PER_DEG = 4.0
_WIDTH = round(2 * AZIMUTH_DEG * PX_PER_DEG)
_HEIGHT = round((ELEVATION_DEG[1] - ELEVATION_DEG[0]) * PX_PER_DEG)
_MISSING = 0.22  # share of the lines of a family (crow's feet, forehead) that one side of a face lacks
_PEOPLE = 4  # drawings kept; one takes 3 MB

# Chart degrees, the face's left half (positive azimuth); mirrored for the right.
_FOREHEAD: tuple[Curve, ...] = (
    ((-25, 33.0), (-15, 33.6), (-6, 32.6), (1, 32.4), (8, 32.8), (17, 33.8), (26, 32.8)),
    ((-19, 36.4), (-8, 36.0), (3, 35.4), (12, 36.2), (22, 36.6)),
    ((-23, 39.4), (-12, 39.6), (-2, 38.8), (9, 39.5), (19, 39.2)),
    ((-13, 42.4), (-3, 41.9), (8, 42.5), (15, 42.2)),
)
_GLABELLA: tuple[Curve, ...] = (
    ((3.4, 23.6), (3.9, 26.0), (3.2, 28.8)),
    ((-4.0, 23.0), (-3.6, 25.2), (-4.3, 27.4)),
)
_CROW: tuple[Curve, ...] = (
    ((26.5, 18.6), (30, 20.2), (33.5, 22.6)),
    ((26.8, 17.2), (31, 17.8), (35.5, 19.0)),
    ((26.4, 15.8), (30.5, 15.0), (35.0, 14.6)),
    ((25.4, 14.2), (29, 12.2), (33.0, 10.8)),
)
_NASOLABIAL: tuple[Curve, ...] = (((8.6, -3.2), (10.6, -7.0), (13.0, -12.0), (15.0, -17.0), (15.8, -22.0)),)
_MARIONETTE: tuple[Curve, ...] = (((14.2, -24.5), (15.6, -28.5), (16.0, -33.0)),)
_UNDER_EYE: tuple[Curve, ...] = (
    ((9.6, 14.8), (12.6, 12.6), (17.0, 11.6), (21.5, 12.6)),
    ((10.2, 12.2), (14.0, 9.6), (19.0, 8.8)),
    ((13.0, 14.2), (17.2, 13.4), (21.8, 14.2)),
)
_LIP_LINES: tuple[Curve, ...] = tuple(((x, -10.6), (1.05 * x, -8.4)) for x in (1.6, 3.9, 6.3, 8.8)) + tuple(
    ((x, -31.0), (1.05 * x, -33.0)) for x in (2.6, 5.6, 8.4)
)
_CHEEK: tuple[Curve, ...] = (((27, 2), (26, -7), (24, -16)), ((31, 0), (30.5, -9), (28, -18)))
_NECK: tuple[Curve, ...] = (
    ((-32, -49), (-10, -51.4), (12, -51), (33, -48.6)),
    ((-30, -53), (0, -55.2), (31, -53.2)),
)
# Outline of the lips from the middle above to the middle below; the brows' line: (azimuths), (elevations).
_LIPS: Curve = (
    *((0, -12.0), (3.3, -11.8), (7.9, -14.4), (12.4, -21.5)),
    *((9.5, -27.0), (5.5, -28.8), (0, -29.4)),
)
_BROW_LINE = ((5.7, 12.0, 19.3, 26.3, 33.2), (26.6, 27.8, 28.5, 28.2, 26.0))


@dataclass(frozen=True)
class Relief:
    """Chart images (H, W) float32.

    Heights in centimetres at full amount: `age`, `smile`, `raise_` (forehead), `frown` (glabella). Amounts
    0..1: `socket`, `spots`, and `mottle` of mean 0. `skin`: 1 where skin may crease, 0 at lids, lips, brows,
    nostrils and off the chart; `folds`: 1 around the folds beside the mouth; `lips`, `brow` and `beard` where
    those are, softly.
    """

    age: Array
    smile: Array
    raise_: Array
    frown: Array
    socket: Array
    spots: Array
    mottle: Array
    skin: Array
    folds: Array
    lips: Array
    brow: Array
    beard: Array


def chart_px(points_deg: Array) -> Array:
    """(..., 2) float32 x, y on the relief images; rows run down from the scalp."""
    x = (points_deg[..., 0] + AZIMUTH_DEG) * PX_PER_DEG - 0.5
    y = (ELEVATION_DEG[1] - points_deg[..., 1]) * PX_PER_DEG - 0.5
    return np.stack([x, y], -1).astype(np.float32)


def look_up(image: Array, place_px: Array) -> Array:
    """(S, S) values of a relief image at chart px (S, S, 2); 0 off the chart."""
    return cv2.remap(
        image, place_px[..., 0], place_px[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )


def around_eyes(place_px: Array) -> Array:
    """(S, S) bool: skin between brows, cheekbones, temples and the bridge of the nose, by its chart px."""
    across = np.abs((place_px[..., 0] + 0.5) / PX_PER_DEG - AZIMUTH_DEG)
    up = ELEVATION_DEG[1] - (place_px[..., 1] + 0.5) / PX_PER_DEG
    return np.asarray((across > 3) & (across < 40) & (up > 5) & (up < 32))


@lru_cache(maxsize=_PEOPLE)
def relief(person: int = 0) -> Relief:
    """The drawing of one person, by a number of theirs (`person_of`). Takes a quarter of a second, once."""
    rng = np.random.default_rng(person)
    bend = _bend(rng)
    forehead = _creases(_FOREHEAD, rng, width_deg=0.5, sided=False, bend=bend)
    glabella = _creases(_GLABELLA, rng, width_deg=0.55, sided=False, bend=bend, missing=0.0)
    crow = _creases(_CROW, rng, width_deg=0.38, bend=bend)
    fold = _creases(_NASOLABIAL, rng, width_deg=1.1, bend=bend, missing=0.0)
    bag = _creases(_UNDER_EYE, rng, width_deg=0.5, bend=bend)
    small = _creases(_LIP_LINES, rng, width_deg=0.33, bend=bend) + _creases(
        _CHEEK, rng, width_deg=0.5, bend=bend
    )
    marionette = _creases(_MARIONETTE, rng, width_deg=0.7, bend=bend, missing=0.0)
    neck = _creases(_NECK, rng, width_deg=0.8, sided=False, bend=bend)
    age = 0.055 * forehead + 0.034 * glabella + 0.046 * crow + 0.06 * fold + 0.045 * marionette
    return Relief(
        age=age + 0.042 * bag + 0.014 * small + 0.05 * neck + 0.013 * _crepe(rng),
        smile=0.075 * fold + 0.028 * crow + 0.02 * bag,
        raise_=0.05 * forehead,
        frown=0.05 * glabella,
        socket=_blobs(((17, 12.6), (6.5, 2.0)), ((8.6, 18), (1.6, 3.4)), ((18, 22.6), (6, 1.6))),
        spots=_spots(rng),
        mottle=0.6 * _noise(rng, 2.2) + 0.4 * _noise(rng, 0.9),
        skin=_creasing_skin(),
        folds=_blobs(((14, -14), (4.0, 8.0)), ((15.5, -28), (3.5, 5.0))),
        lips=_lips(),
        brow=_brows(),
        beard=_beard(),
    )


def person_of(identity: Array) -> int:
    """A number for an identity (K,): the same for all frames of a shot, for they share one identity."""
    return zlib.crc32(np.round(np.asarray(identity, np.float64) * 4).astype(np.int8).tobytes())


def _grid() -> tuple[Array, Array]:
    """Azimuth and elevation (H, W) of the pixels."""
    azimuth = (np.arange(_WIDTH) + 0.5) / PX_PER_DEG - AZIMUTH_DEG
    elevation = ELEVATION_DEG[1] - (np.arange(_HEIGHT) + 0.5) / PX_PER_DEG
    return np.meshgrid(azimuth, elevation)


def _noise(rng: np.random.Generator, sigma_deg: float) -> Array:
    """(H, W) smooth noise of unit spread."""
    field = cv2.GaussianBlur(
        rng.standard_normal((_HEIGHT, _WIDTH)).astype(np.float32), (0, 0), sigma_deg * PX_PER_DEG
    )
    return (field - field.mean()) / field.std()


def _bend(rng: np.random.Generator) -> Array:
    """(H, W, 2) chart px to sample from: what is drawn straight comes out wavering, about 0.6 degrees."""
    here = np.stack(np.meshgrid(np.arange(_WIDTH), np.arange(_HEIGHT)), -1).astype(np.float32)
    waver = [0.55 * _noise(rng, 4.0) + 0.25 * _noise(rng, 1.3) for _ in range(2)]
    return here + np.stack(waver, -1) * PX_PER_DEG


def _creases(
    curves: tuple[Curve, ...],
    rng: np.random.Generator,
    *,
    width_deg: float,
    bend: Array,
    sided: bool = True,
    missing: float = _MISSING,
) -> Array:
    """(H, W): valleys of depth about 1 with soft shoulders along the curves, uneven in depth and bent."""
    canvas = np.zeros((_HEIGHT, _WIDTH), np.float32)
    for curve in curves:
        points = _smooth_curve(np.array(curve, float))
        for side in (1, -1) if sided else (1,):
            own, depth = _wandered(points * [side, 1], rng), rng.uniform(0.45, 1.1)
            there = rng.random() >= missing
            _stroke(canvas, own, rng, depth if there else 0.0)
    sigma = width_deg * PX_PER_DEG
    valley = cv2.GaussianBlur(canvas, (0, 0), sigma) * sigma
    shoulder = cv2.GaussianBlur(canvas, (0, 0), 2.6 * sigma) * sigma
    height = -(valley - 1.1 * shoulder) * 1.6
    return cv2.remap(height, bend[..., 0], bend[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _wandered(points: Array, rng: np.random.Generator) -> Array:
    """The line (n, 2) a little elsewhere, a little turned, and not from end to end."""
    count = len(points)
    first, last = rng.uniform(0, 0.22) * count, (1 - rng.uniform(0, 0.22)) * count
    at = np.linspace(first, last, count)
    part = np.stack([np.interp(at, np.arange(count), points[:, k]) for k in (0, 1)], 1)
    long = float(np.linalg.norm(part[-1] - part[0]))
    away = rng.normal(0, min(0.7, 0.09 * long), 2) + np.linspace(-1, 1, count)[:, None] * rng.normal(
        0, min(0.5, 0.05 * long), 2
    )
    return part + away


def _crepe(rng: np.random.Generator) -> Array:
    """(H, W) the fine net of thin skin below the eyes and on the cheeks: valleys of depth about 1."""
    net = np.zeros((_HEIGHT, _WIDTH), np.float32)
    for along, across in ((2.2, 0.5), (1.2, 0.6)):
        field = cv2.GaussianBlur(
            rng.standard_normal((_HEIGHT, _WIDTH)).astype(np.float32),
            (0, 0),
            along * PX_PER_DEG,
            sigmaY=across * PX_PER_DEG,
        )
        net -= 0.7 * np.exp(-((field / (0.22 * field.std())) ** 2))  # where the noise passes zero
    where = _blobs(((17, 11.0), (7.5, 2.6)), ((29, 12.0), (4.0, 6.0)), ((25, -6), (6.0, 9.0)))
    patchy = np.clip(0.6 + 0.5 * _noise(rng, 5.0), 0, 1.2)
    return cv2.GaussianBlur(net, (0, 0), 0.2 * PX_PER_DEG) * where * patchy


def _smooth_curve(points: Array, count: int = 48) -> Array:
    """(count, 2) along the polyline, its corners rounded."""
    at = np.linspace(0, len(points) - 1, count)
    line = np.stack([np.interp(at, np.arange(len(points)), points[:, k]) for k in (0, 1)], 1)
    width = max(3, count // len(points) | 1)
    padded = np.pad(line, ((width // 2, width // 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, k], np.ones(width) / width, "valid") for k in (0, 1)], 1)


def _stroke(canvas: Array, points_deg: Array, rng: np.random.Generator, depth: float) -> None:
    """Draw a line whose strength fades at both ends and varies on the way."""
    count = len(points_deg)
    ends = np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 0.8
    uneven = depth * np.interp(np.arange(count), np.linspace(0, count, 9), rng.uniform(0.3, 1.0, 9))
    shift = np.round(chart_px(points_deg) * 16).astype(int)
    for k in range(count - 1):
        line = np.zeros_like(canvas)
        a, b = (tuple(int(v) for v in shift[i]) for i in (k, k + 1))
        cv2.line(line, a, b, float(ends[k] * uneven[k]), 1, cv2.LINE_AA, 4)
        np.maximum(canvas, line, out=canvas)


def _blobs(*spots: tuple[tuple[float, float], tuple[float, float]]) -> Array:
    """(H, W) 0..1: soft ellipses (centre, radii) on both sides."""
    azimuth, elevation = _grid()
    out = np.zeros((_HEIGHT, _WIDTH))
    for (x, y), (rx, ry) in spots:
        out = np.maximum(
            out, np.exp(-0.5 * (((np.abs(azimuth) - x) / rx) ** 2 + ((elevation - y) / ry) ** 2))
        )
    return out.astype(np.float32)


def _spots(rng: np.random.Generator) -> Array:
    """(H, W) 0..1: few, small, mostly on temples, cheeks and forehead."""
    small, large = (np.clip((_noise(rng, size) - 2.35) / 0.7, 0, 1) for size in (0.6, 1.0))
    return (np.maximum(small, large) * np.clip(0.4 + 0.6 * _noise(rng, 9.0), 0, 1)).astype(np.float32)


def _lips() -> Array:
    """(H, W) 0..1: the lips and what is between them, soft at the rim."""
    inside: Array = np.zeros((_HEIGHT, _WIDTH), np.float32)
    outline = np.array([*_LIPS, *((-x, y) for x, y in _LIPS[-2:0:-1])])
    cv2.fillPoly(inside, [np.round(chart_px(outline) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(inside, (0, 0), 0.7 * PX_PER_DEG)


def _brows() -> Array:
    azimuth, elevation = _grid()
    middle = np.interp(np.abs(azimuth), *_BROW_LINE)
    side = np.clip((np.abs(azimuth) - 4) / 3, 0, 1) * np.clip((35 - np.abs(azimuth)) / 3, 0, 1)
    return (side * np.exp(-(((elevation - middle) / 3.4) ** 4))).astype(np.float32)


def _beard() -> Array:
    """(H, W) 0..1: jaw, chin and upper lip."""
    azimuth, elevation = _grid()
    line = -20.0 + np.clip((np.abs(azimuth) - 22) * 1.3, 0, 30)
    jaw = np.clip((line - elevation) / 6, 0, 1) * np.clip((elevation + 52) / 8, 0, 1)
    moustache = np.exp(-((azimuth / 13) ** 4) - ((elevation + 12.0) / 3.6) ** 4)
    rim = np.hypot(azimuth / 14.5, (elevation + 20.8) / 8.0)
    away = np.clip((64 - np.abs(azimuth)) / 10, 0, 1) * np.clip((rim - 0.9) / 0.3, 0, 1)
    return (np.maximum(jaw, moustache) * away).astype(np.float32)


def _creasing_skin() -> Array:
    azimuth, elevation = _grid()
    lips = np.hypot(azimuth / 13.4, (elevation + 20.8) / 9.6)
    out = np.clip((lips - 1.0) / 0.12, 0, 1)
    eyes = np.hypot((np.abs(azimuth) - 17.2) / 8.6, (elevation - 17.5) / 3.1)
    out = out * np.clip((eyes - 1.0) / 0.25, 0, 1)
    brow = np.exp(-(((np.abs(azimuth) - 19) / 16) ** 6) - ((elevation - 27.0) / 3.0) ** 4)
    nostril = np.exp(-((azimuth / 8.5) ** 6) - ((elevation + 4.0) / 3.2) ** 4)
    out = out * (1 - 0.9 * brow) * (1 - nostril)
    edge = np.minimum(AZIMUTH_DEG - np.abs(azimuth), elevation - ELEVATION_DEG[0])
    edge = np.minimum(edge, ELEVATION_DEG[1] - elevation)
    return (out * np.clip(edge / 8.0, 0, 1)).astype(np.float32)
