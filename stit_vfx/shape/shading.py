"""How an edit changes the light on the skin: the large form, and creases that appear or go.

The gain is a ratio of shadings under the light that the crop itself shows. Creases are first of all the
actor's own, deepened or lifted; drawn relief comes on top, where a crop looks like skin.
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
from stit_vfx.shape.relief import chart_px, look_up, relief

if TYPE_CHECKING:
    from stit_vfx.shape.flow import View

Array = np.ndarray

LOOKS = ("age", "smile", "raise", "frown")  # amounts, about -1..1; below 0 lifts the actor's own creases
LOWEST, HIGHEST = 0.62, 1.30
_FORM_LOWEST, _FORM_HIGHEST = 0.78, 1.14  # highlights must not outshine the plate
_DRAWN = {"age": 1.5, "smile": 0.7, "raise": 0.8, "frown": 0.7}
_OWN_AGE = 0.95  # how much deeper the actor's own creases get at age 1
_OWN_YOUNG = 0.75  # how far they are lifted at age -1
_DEEPEST = 0.35  # of log brightness that counts as a crease; more is a shadow or a hair
# Light that goes through skin reddens grooves (d'Eon et al. 2007): the gain's exponent by channel.
_BLEED = np.array([0.90, 1.03, 1.07], np.float32)


@dataclass(frozen=True)
class Surface:
    """The skin after the edit, pixel by pixel (S, S): `normal` and `normal_before` (S, S, 3), `place_px` on
    the relief's chart, `skin` bool. `normal_plate` and `skin_plate`: the plate's own state, for finding the
    light.
    """

    normal: Array
    normal_before: Array
    place_px: Array
    skin: Array
    normal_plate: Array
    place_plate_px: Array
    px_per_cm: float

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
        skin = likely * look_up(relief().skin, surface.place_px)
        log_gain = log_gain + _own_creases(surface, warped_lin, skin, look)[..., None] * _BLEED
        log_gain = log_gain + _drawn(surface, light, skin, look)
        log_gain = log_gain + _pigment(surface, likely, look.get("age", 0.0))
    log_gain = fill(log_gain * front[..., None], surface.skin)
    return np.clip(np.exp(log_gain), LOWEST, HIGHEST), luma


def _light_and_skin(surface: Surface, warped_lin: Array, crop_lin: Array) -> tuple[Light, Array, float]:
    """The light, how skin-like the warped crop is (S, S), and the skin's median brightness."""
    middle = _middle(surface.place_plate_px)
    plate_skin = skin_likelihood(crop_lin, middle, blur_px=0.05 * surface.px_per_cm)
    use = (middle > 0.5) & (plate_skin > 0.3) & (surface.normal_plate[..., 2] > 0.2)
    step = max(1, int(use.sum()) // 20000)
    pick = np.flatnonzero(use)[::step]
    colour = crop_lin.reshape(-1, 3)[pick]
    light = estimate_light(surface.normal_plate.reshape(-1, 3)[pick], colour, plate_skin.ravel()[pick])
    likely = skin_likelihood(warped_lin, _middle(surface.place_px), blur_px=0.12 * surface.px_per_cm)
    return light, likely, float(np.median(colour @ LUMA)) if len(pick) else light.level


def _middle(place_px: Array) -> Array:
    """(S, S) 1 on cheeks, nose and chin, which hair seldom covers."""
    deg_x = np.abs((place_px[..., 0] - look_middle()[0]) / 4.0)
    deg_y = (look_middle()[1] - place_px[..., 1]) / 4.0
    inside = (deg_x < 38) & (deg_y < 13) & (deg_y > -38)
    return (inside & (look_up(relief().skin, place_px) > 0.5)).astype(np.float32)


def look_middle() -> Array:
    """Chart px of (0, 0) degrees."""
    return chart_px(np.zeros(2))


def _own_creases(surface: Surface, warped_lin: Array, skin: Array, look: Mapping[str, float]) -> Array:
    """(S, S) log gain: the crop's own creases deepened (older) or lifted (younger), within creasing skin."""
    age, smile = look.get("age", 0.0), look.get("smile", 0.0)
    folds = look_up(relief().folds, surface.place_px)
    amount = np.where(age > 0, _OWN_AGE * age, _OWN_YOUNG * age) + 0.5 * smile * folds * (smile < 0)
    if not np.any(amount):
        return np.zeros(skin.shape, np.float32)
    luma = np.log(np.maximum(warped_lin @ LUMA, 1e-3))
    px = surface.px_per_cm
    fine = cv2.GaussianBlur(luma, (0, 0), max(0.5, 0.045 * px))
    creases = np.zeros_like(luma)
    for width_cm in (0.25, 0.6):
        creases = creases + 0.5 * (fine - _mean_within(fine, skin, width_cm * px))
    creases = np.clip(creases, -_DEEPEST, _DEEPEST)
    # Bright ridges beside a crease belong to it: they soften with it, but do not grow into glitter.
    creases = np.where(creases > 0, (0.5 if np.mean(amount) < 0 else 0.25) * creases, creases)
    return (amount * creases * skin).astype(np.float32)


def _mean_within(values: Array, weight: Array, sigma: float) -> Array:
    weight = weight.astype(np.float32) + 1e-4
    return cv2.GaussianBlur(values * weight, (0, 0), sigma) / cv2.GaussianBlur(weight, (0, 0), sigma)


def _drawn(surface: Surface, light: Light, skin: Array, look: Mapping[str, float]) -> Array:
    """(S, S, 3) log gain of the drawn relief: the light's answer to its slopes, and less light in its
    grooves.
    """
    maps = relief()
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


def _pigment(surface: Surface, likely: Array, age: float) -> Array:
    """(S, S, 3) log gain: tired eyes, uneven colour and a few spots with age; fresher ones without."""
    if not age:
        return np.zeros((*likely.shape, 3), np.float32)
    maps = relief()
    older = max(age, 0.0)
    socket = look_up(maps.socket, surface.place_px)[..., None] * np.array([0.10, 0.14, 0.12])
    mottle = look_up(maps.mottle, surface.place_px)[..., None] * np.array([0.012, 0.026, 0.026])
    spots = look_up(maps.spots, surface.place_px)[..., None] * np.array([0.10, 0.17, 0.22])
    out = -age * socket + older * mottle - older**1.5 * spots
    return (out * likely[..., None]).astype(np.float32)
