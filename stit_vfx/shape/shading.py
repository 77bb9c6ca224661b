"""How an edit changes the light on the skin: the large form, and creases that appear or go.

The gain is a ratio of shadings under the light that the crop itself shows. Creases are first of all the
actor's own, deepened or lifted; drawn relief, another for each person, comes where they have none and where
a crop looks like skin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stit_vfx.shape.fill import fill
from stit_vfx.shape.light import LUMA, Light, estimate_light, skin_likelihood
from stit_vfx.shape.model import SKIN, ShapeModel
from stit_vfx.shape.relief import Relief, chart_px, look_up, person_of, relief

if TYPE_CHECKING:
    from stit_vfx.shape.flow import View

Array = np.ndarray

LOOKS = ("age", "smile", "raise", "frown", "masculine")  # about -1..1; below 0 lifts the actor's own creases
LOWEST, HIGHEST = 0.62, 1.30
_FORM_LOWEST, _FORM_HIGHEST = 0.78, 1.14  # highlights must not outshine the plate
_DRAWN = {"age": 6.5, "smile": 0.7, "raise": 0.8, "frown": 0.7}
_OWN_AGE = 1.25  # how much deeper the actor's own creases get at age 1
_OWN_YOUNG = 0.85  # how far they are lifted at age -1
_OWN_FEMININE = 0.2
_WIDTHS_CM = (0.16, 0.35, 0.8)  # of creases: fine lines, wrinkles, folds
_PORE_CM = 0.045  # what is finer stays
_DEEPEST = 0.35  # of log brightness that counts as a crease; more is a shadow or a hair
_EVEN_YOUNG = 0.45  # share of blotches that goes at age -1
_BLOTCH_CM = (0.12, 0.7)
# Light that goes through skin reddens grooves (d'Eon et al. 2007): the gain's exponent by channel.
_BLEED = np.array([0.90, 1.03, 1.07], np.float32)


@dataclass(frozen=True)
class Surface:
    """The skin after the edit, pixel by pixel (S, S): `normal` and `normal_before` (S, S, 3), `place_px` on
    the relief's chart, `skin` bool. `normal_plate` and `skin_plate`: the plate's own state, for finding the
    light. `person` says whose wrinkles are drawn.
    """

    normal: Array
    normal_before: Array
    place_px: Array
    skin: Array
    normal_plate: Array
    place_plate_px: Array
    px_per_cm: float
    person: int

    @classmethod
    def of(cls, model: ShapeModel, before: View, after: View, visible: Array) -> Surface:
        chart = np.full((model.modes.shape[1], 2), -1e4, np.float32)
        chart[: model.skin_count] = model.chart_deg
        place = after.raster.image(chart_px(after.raster.read(chart)), -1e4)
        place_plate = before.raster.image(chart_px(before.raster.read(chart)), -1e4)
        turned_before = _turned(model, before)
        px = after.code.scale
        skin = (after.parts() == SKIN) & visible
        return cls(
            _steady(after.raster.image(after.raster.read(_turned(model, after))), skin, px),
            _steady(after.raster.image(after.raster.read(turned_before)), skin, px),
            place,
            skin,
            _steady(before.raster.image(before.raster.read(turned_before)), before.parts() == SKIN, px),
            place_plate,
            px,
            person_of(before.code.identity),
        )


def _turned(model: ShapeModel, view: View) -> Array:
    return (model.normals(view.vertices) @ view.code.rotation.T).astype(np.float32)


def _steady(normal: Array, mask: Array, px_per_cm: float) -> Array:
    """Unit normals averaged over about a millimetre: light in skin does not see finer form."""
    weight = mask.astype(np.float32)
    total = cv2.GaussianBlur(normal * weight[..., None], (0, 0), max(0.6, 0.12 * px_per_cm))
    return total / np.maximum(np.linalg.norm(total, axis=2, keepdims=True), 1e-6)


def shading_ratio(
    surface: Surface, warped_lin: Array, crop_lin: Array, look: Mapping[str, float]
) -> tuple[Array, float]:
    """Gain (S, S, 3) for the warped crop, and the skin's brightness in the plate."""
    light, likely, luma = _light_and_skin(surface, warped_lin, crop_lin)
    form = np.clip(
        light.shade(surface.normal) / light.shade(surface.normal_before), _FORM_LOWEST, _FORM_HIGHEST
    )
    front = np.clip(surface.normal[..., 2] * 2.5 - 0.3, 0, 1)
    log_gain = np.log(form)[..., None] * np.ones(3, np.float32)
    log_gain = log_gain * (0.35 + 0.65 * likely)[..., None]
    if any(abs(v) > 1e-4 for v in look.values()):
        maps = relief(surface.person)
        skin = likely * look_up(maps.skin, surface.place_px)
        own = _Creases.of(warped_lin, skin, surface.px_per_cm)
        log_gain = log_gain + _own_creases(surface, own, skin, look)[..., None] * _BLEED
        log_gain = log_gain + _drawn(surface, light, maps, skin * (1 - own.there), look)
        log_gain = log_gain + _pigment(surface, warped_lin, maps, likely, look.get("age", 0.0))
        log_gain = log_gain + _features(surface, warped_lin, maps, likely, look)
    log_gain = fill(log_gain * front[..., None], surface.skin)
    return np.clip(np.exp(log_gain), LOWEST, HIGHEST), luma


def _light_and_skin(surface: Surface, warped_lin: Array, crop_lin: Array) -> tuple[Light, Array, float]:
    """The light, how skin-like the warped crop is (S, S), and the skin's median brightness."""
    light, luma = light_and_luma(surface, crop_lin)
    likely = skin_likelihood(warped_lin, _middle(surface.place_px), blur_px=0.12 * surface.px_per_cm)
    return light, likely, luma


def light_and_luma(surface: Surface, crop_lin: Array) -> tuple[Light, float]:
    """The light that the plate (S, S, 3) shows on its skin, and that skin's median brightness."""
    middle, sure = _middle(surface.place_plate_px), plate_skin(surface, crop_lin)
    use = (middle > 0.5) & (sure > 0.3) & (surface.normal_plate[..., 2] > 0.2)
    step = max(1, int(use.sum()) // 20000)
    pick = np.flatnonzero(use)[::step]
    colour = crop_lin.reshape(-1, 3)[pick]
    light = estimate_light(surface.normal_plate.reshape(-1, 3)[pick], colour, sure.ravel()[pick])
    return light, float(np.median(colour @ LUMA)) if len(pick) else light.level


def plate_skin(surface: Surface, crop_lin: Array) -> Array:
    """(S, S) 0..1: how much each pixel of the plate (S, S, 3) looks like the skin of its cheeks."""
    return skin_likelihood(crop_lin, _middle(surface.place_plate_px), blur_px=0.05 * surface.px_per_cm)


def _middle(place_px: Array) -> Array:
    """(S, S) 1 on cheeks, nose and chin, which hair seldom covers."""
    deg_x = np.abs((place_px[..., 0] - look_middle()[0]) / 4.0)
    deg_y = (look_middle()[1] - place_px[..., 1]) / 4.0
    inside = (deg_x < 38) & (deg_y < 13) & (deg_y > -38)
    return (inside & (look_up(relief().skin, place_px) > 0.5)).astype(np.float32)


def look_middle() -> Array:
    """Chart px of (0, 0) degrees."""
    return chart_px(np.zeros(2))


@dataclass(frozen=True)
class _Creases:
    """What the crop shows of lines in its skin: `relief` (S, S) log brightness against the skin around, only
    where it runs in lines; `there` (S, S) 0..1: so many that none need be drawn.
    """

    relief: Array
    there: Array

    @classmethod
    def of(cls, lin: Array, skin: Array, px_per_cm: float) -> _Creases:
        luma = np.log(np.maximum(lin @ LUMA, 1e-3)).astype(np.float32)
        fine = _mean_within(luma, skin, max(0.5, _PORE_CM * px_per_cm))
        relief_, found = np.zeros_like(luma), np.zeros_like(luma)
        for width_cm in _WIDTHS_CM:
            sigma = max(0.7, 0.3 * width_cm * px_per_cm)
            near = fine - _mean_within(fine, skin, 2.2 * sigma)
            lines = _lines(_mean_within(luma, skin, sigma), sigma, skin)
            relief_ = relief_ + 0.5 * lines * np.clip(near, -_DEEPEST, _DEEPEST)
            found = np.maximum(found, lines * np.clip(-near / 0.10, 0, 1))
        there = np.clip(2.5 * cv2.GaussianBlur(found * skin, (0, 0), 0.22 * px_per_cm), 0, 0.85)
        return cls(np.clip(relief_, -_DEEPEST, _DEEPEST), there)


def _lines(smooth: Array, sigma: float, skin: Array) -> Array:
    """(S, S) 0..1: dark lines about `sigma` wide and their rims; pores and spots, which run nowhere, are not.

    A valley curves across and not along (Hessian; Frangi et al., MICCAI 1998), and keeps its course for a
    while (structure tensor), which grain does not.
    """
    xx, yy, xy = (
        cv2.Sobel(smooth, cv2.CV_32F, dx, dy, ksize=3) * scale
        for dx, dy, scale in ((2, 0, 0.25), (0, 2, 0.25), (1, 1, 0.25))
    )
    middle, apart = 0.5 * (xx + yy), np.sqrt((0.5 * (xx - yy)) ** 2 + xy**2)
    across, along = middle + apart, middle - apart
    valley = sigma**2 * np.maximum(across, 0) * np.clip(1 - np.abs(along) / np.maximum(across, 1e-6), 0, 1)
    weight = skin > 0.5
    usual = float(np.median(valley[weight])) if weight.any() else 0.0
    sharp = np.clip((valley - 1.2 * usual) / (3.0 * usual + 0.012), 0, 1)
    return np.clip(1.6 * cv2.GaussianBlur(sharp * _course(smooth, sigma), (0, 0), 0.9 * sigma), 0, 1)


def _course(smooth: Array, sigma: float) -> Array:
    """(S, S) 0..1: slopes around here, within a few `sigma`, all lie across one line."""
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *d, ksize=3) for d in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.GaussianBlur(p, (0, 0), 2.5 * sigma) for p in (dx * dx, dy * dy, dx * dy))
    one = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / np.maximum(xx + yy, 1e-9)
    return np.clip((one - 0.40) / 0.35, 0, 1)


def _own_creases(surface: Surface, own: _Creases, skin: Array, look: Mapping[str, float]) -> Array:
    """(S, S) log gain: the crop's own creases deepened (older) or lifted (younger), within creasing skin."""
    age, smile = look.get("age", 0.0), look.get("smile", 0.0)
    folds = look_up(relief(surface.person).folds, surface.place_px)
    amount = np.where(age > 0, _OWN_AGE * age, _OWN_YOUNG * age) + 0.5 * smile * folds * (smile < 0)
    amount = amount + _OWN_FEMININE * min(look.get("masculine", 0.0), 0.0)
    # Bright ridges beside a crease belong to it: they soften with it, but do not grow into glitter.
    bright = np.where(amount < 0, 0.6, 0.25)
    return (amount * np.where(own.relief > 0, bright, 1) * own.relief * skin).astype(np.float32)


def _mean_within(values: Array, weight: Array, sigma: float) -> Array:
    """(S, S) or (S, S, C): Gaussian mean over where the weight (S, S) is."""
    weight = weight.astype(np.float32) + 1e-4
    wide = weight if values.ndim == 2 else weight[..., None]
    total, share = cv2.GaussianBlur(values * wide, (0, 0), sigma), cv2.GaussianBlur(weight, (0, 0), sigma)
    return total / (share if values.ndim == 2 else share[..., None])


def _drawn(surface: Surface, light: Light, maps: Relief, skin: Array, look: Mapping[str, float]) -> Array:
    """(S, S, 3) log gain of the drawn relief: the light's answer to its slopes, and less light in its
    grooves.
    """
    drawings = {"age": maps.age, "smile": maps.smile, "raise": maps.raise_, "frown": maps.frown}
    height = sum(
        _DRAWN[name] * max(0.0, look.get(name, 0.0)) * drawings[name] for name in drawings
    ) + np.zeros(maps.age.shape, np.float32)
    if not height.any():
        return np.zeros((*skin.shape, 3), np.float32)
    here = look_up(height.astype(np.float32), surface.place_px)
    slope = np.stack([cv2.Sobel(here, cv2.CV_32F, *d, ksize=3) / 8 for d in ((1, 0), (0, 1))], -1)
    slope = np.clip(slope * surface.px_per_cm, -0.6, 0.6) * skin[..., None]
    tilted = surface.normal - np.stack([slope[..., 0], -slope[..., 1], np.zeros_like(here)], -1)
    tilted /= np.maximum(np.linalg.norm(tilted, axis=2, keepdims=True), 1e-6)
    answer = np.log(light.shade(tilted) / light.shade(surface.normal))
    groove = 4.0 * np.clip(here, -0.06, 0.01) * skin
    return ((answer + groove)[..., None] * _BLEED).astype(np.float32)


def _pigment(surface: Surface, lin: Array, maps: Relief, likely: Array, age: float) -> Array:
    """(S, S, 3) log gain: tired eyes, uneven colour and a few spots with age; fresher and more even skin
    without.
    """
    if not age:
        return np.zeros((*likely.shape, 3), np.float32)
    older = max(age, 0.0)
    socket = look_up(maps.socket, surface.place_px)[..., None] * np.array([0.10, 0.14, 0.12])
    mottle = look_up(maps.mottle, surface.place_px)[..., None] * np.array([0.010, 0.020, 0.020])
    spots = look_up(maps.spots, surface.place_px)[..., None] * np.array([0.06, 0.10, 0.13])
    out = -age * socket + older * mottle - older**1.5 * spots
    if age < 0:
        skin = likely * look_up(maps.skin, surface.place_px)
        out = out + age * _EVEN_YOUNG * _blotches(lin, skin, surface.px_per_cm) * skin[..., None]
    return (out * likely[..., None]).astype(np.float32)


def _blotches(lin: Array, skin: Array, px_per_cm: float) -> Array:
    """(S, S, 3) log light of spots and blotches against the skin around them; pores are finer, form
    is wider."""
    log = np.log(np.maximum(lin, 1e-3)).astype(np.float32)
    small, wide = (_mean_within(log, skin, max(0.6, s * px_per_cm)) for s in _BLOTCH_CM)
    return np.clip(small - wide, -0.15, 0.10)


def _features(surface: Surface, lin: Array, maps: Relief, likely: Array, look: Mapping[str, float]) -> Array:
    """(S, S, 3) log gain of lips, brows and the beard's shadow. Small: make-up would be another edit."""
    masculine, age = look.get("masculine", 0.0), look.get("age", 0.0)
    paler = 0.5 * max(masculine, 0.0) + 0.6 * max(age, 0.0) + 0.7 * min(masculine, 0.0) + 0.3 * min(age, 0.0)
    lips, brow, beard = (look_up(m, surface.place_px) for m in (maps.lips, maps.brow, maps.beard))
    out = paler * lips[..., None] * np.array([-0.02, 0.10, 0.05])
    if masculine:
        luma = np.log(np.maximum(lin @ LUMA, 1e-3)).astype(np.float32)
        around = _mean_within(luma, likely, 0.6 * surface.px_per_cm)
        hairs = np.clip((around - luma - 0.15) / 0.6, 0, 1) * brow
        out = out - 0.28 * masculine * hairs[..., None]
        shadow = np.where(masculine > 0, 1.0, 0.4) * masculine * beard * likely
        out = out - shadow[..., None] * np.array([0.14, 0.115, 0.075])
    return np.asarray(out, np.float32)
