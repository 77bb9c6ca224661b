"""How an edit of the shape changes a crop: where each pixel comes from, how its light changes, what is new.

The flow is exact on the face's surface (the same skin before and after) and fades smoothly around it. Skin,
eyes and the mouth's inside move apart from each other, so that lids slide over eyeballs and lips over teeth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from stit_vfx.shape.chart import AZIMUTH_DEG, ELEVATION_DEG
from stit_vfx.shape.code import ShapeCode, crop_affine
from stit_vfx.shape.disc import disc
from stit_vfx.shape.fill import fill
from stit_vfx.shape.lid_skin import closing_lids
from stit_vfx.shape.lids import Lids, lids
from stit_vfx.shape.light import LUMA
from stit_vfx.shape.lips import lips_met, lips_touch
from stit_vfx.shape.model import EYE, SKIN, ShapeModel
from stit_vfx.shape.mouth_flow import between_lips, mouth_picture
from stit_vfx.shape.mouth_memory import MouthMemory
from stit_vfx.shape.parts import Parts
from stit_vfx.shape.ramp import smoothstep
from stit_vfx.shape.raster import Raster, rasterise
from stit_vfx.shape.rims import narrow_rims
from stit_vfx.shape.shading import Surface, shading_ratio
from stit_vfx.shape.throat import nods_up, stiffer
from stit_vfx.shape.turning import eased, head_flow, one_piece, over_neck
from stit_vfx.shape.zones import Zones

Array = np.ndarray

_WORK_PX = 512  # fields are smooth: beyond this they are computed small and enlarged
_FADE_CM = 4.5  # around the head the flow is gone after this
_RISES_CM, _YIELDS_CM = 0.2, 1.6  # skin that rises so far draws the neck out; so near a collar it gives way
_BORDER = 0.06  # share of the crop over which everything fades to nothing at its edge
_SEE_CM = 0.35  # a source point this far behind what the plate shows is hidden there
_SHOWN = 0.42  # of its area: what the camera saw less of is not turned towards it exactly
_STILL_PX = 1e-3  # less is rounding: what does not move keeps its bits


@dataclass(frozen=True)
class Fields:
    """`flow` (S, S, 2) crop px: output pixel p takes the crop from p + flow.

    `ratio` (S, S, 3): gain in linear light there. `revealed` (S, S) 0..1: the edit shows the mouth's inside
    that the plate does not. `mouth_lin` (S, S, 3): a painted mouth for there. `inside` (S, S) 0..1: between
    the lips after the edit. `face` (S, S) bool. `fade` (S, S): 1, and 0 at the crop's edge. `skin` (S, S)
    0..1: firmly on the face's skin. `zones`: places on the plate's face. `turn` (S, S, 2) crop px: the
    flow of what sits on the head. `own` (S, S) 0..1: how far `mouth_lin` is the actor's own. `lid` (S, S)
    0..1 and `lid_lin` (S, S, 3): closing lids, of skin that the plate hides.
    """

    flow: Array
    ratio: Array
    revealed: Array
    mouth_lin: Array
    inside: Array
    face: Array
    fade: Array
    skin: Array
    zones: Zones
    turn: Array
    own: Array
    lid: Array
    lid_lin: Array


@dataclass(frozen=True)
class View:
    """One state of the face in crop px: vertices (V, 3) cm, points (V, 3) px and depth, its raster, and for
    each covered pixel its part.
    """

    code: ShapeCode
    vertices: Array
    points: Array
    raster: Raster
    part: Array

    @classmethod
    def of(cls, model: ShapeModel, code: ShapeCode, size: int) -> View:
        vertices = model.surface(code)
        points = code.project(vertices)
        raster = rasterise(points, model.triangles, (size, size))
        return cls(code, vertices, points, raster, model.parts[raster.corners[:, 0]])

    def parts(self) -> Array:
        """(S, S) part number, -1 off the face."""
        return self.raster.image(self.part.astype(np.float32), -1.0).astype(np.int8)

    def depths(self) -> Array:
        """(S, S) centimetres, far behind off the face."""
        return self.raster.image(self.raster.depth, -1e3)

    def chart_deg(self, model: ShapeModel) -> Array:
        """(S, S, 2) the chart's degrees on the skin, far away elsewhere."""
        chart = np.full((model.modes.shape[1], 2), -1e4, np.float32)
        chart[: model.skin_count] = model.chart_deg
        return self.raster.image(self.raster.read(chart), -1e4)


def change_fields(
    model: ShapeModel,
    before: ShapeCode,
    after: ShapeCode,
    *,
    quad: Array,
    crop_lin: Array,
    look: Mapping[str, float] | None = None,
    whole_head: bool = False,
    seen: Parts | None = None,
    memory: MouthMemory | None = None,
) -> Fields:
    """Fields between two codes (plate px) in the crop (S, S, 3) linear light seen through `quad` (4, 2) plate
    px.

    `look`: amounts of relief, as `shading.LOOKS` names them. `whole_head`: all of the head follows a turn, as
    it should where hair and backdrop are known apart; else the flow fades around the face. `seen`: what the
    crop shows, where that is known; `memory`: what other frames of the shot show of the mouth's inside.
    """
    size = len(crop_lin)
    work = min(size, _WORK_PX)
    small = crop_lin if work == size else cv2.resize(crop_lin, (work, work), interpolation=cv2.INTER_AREA)
    affine = crop_affine(quad, work)
    before, after = before.through(affine), after.through(affine)
    touch = lips_touch(model, before, small)
    codes = lips_met(model, (before, after.lips_touch(touch)), small)
    old, new = (View.of(model, code, work) for code in codes)
    seen = None if seen is None else seen.resized(work)
    fields = _fields(
        model, old, new, small, look or {}, whole_head=whole_head, seen=seen, memory=memory, touch=touch
    )
    return fields if work == size else _enlarged(fields, size)


def warp(image: Array, flow: Array) -> Array:
    """(S, S, C) float32: the image taken from p + flow, cubic, clamped at the edge."""
    y, x = np.mgrid[: len(flow), : flow.shape[1]].astype(np.float32)
    return cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def border_fade(size: int) -> Array:
    """(S, S) 0 at the crop's edge, 1 from a few percent inwards."""
    ramp = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5) / (size * _BORDER)
    ramp = smoothstep(ramp)
    return (ramp[:, None] * ramp[None]).astype(np.float32)


def _fields(
    model: ShapeModel,
    before: View,
    after: View,
    crop_lin: Array,
    look: Mapping[str, float],
    *,
    whole_head: bool,
    seen: Parts | None,
    memory: MouthMemory | None,
    touch: float,
) -> Fields:
    size, px_per_cm = len(crop_lin), after.code.scale
    parts, face = after.parts(), after.raster.mask
    exact, visible = _correspondence(before, after)
    # What was seen nearly edge-on (below a jaw that rises, beside a head that turns) would become streaks.
    certain = (parts == SKIN) & visible & _firm(model, after) & (_facing(model, before, after) > _SHOWN)
    flow, turn = _skin_flow(before, after, exact, certain, crop_lin, whole_head=whole_head, seen=seen)
    chart_deg = after.chart_deg(model)
    if turn.any():
        where = {"face": face, "chart_deg": chart_deg, "cloth": _cloth(seen, face)}
        flow = narrow_rims(flow, crop_lin, **where, px_per_cm=px_per_cm)
    eyes = _eyes(model, before, after, flow, exact, crop_lin, seen, chart_deg[..., 0])
    flow = eyes.flow
    surfaces = {"flow": flow, "exact": exact, "visible": visible}
    between = between_lips(model, before, after, **surfaces, crop_lin=crop_lin, seen=seen, touch=touch)
    flow = between.flow
    fade = border_fade(size)
    flow = flow * fade[..., None]
    flow[np.abs(flow).max(2) < _STILL_PX] = 0
    turn = turn * fade[..., None]
    warped = warp(crop_lin, flow)
    surface = Surface.of(model, before, after, visible)
    ratio, skin_luma = shading_ratio(surface, warped, crop_lin, look)
    firm = fade * _soft_inside(certain, 0.2 * px_per_cm)
    ratio = 1 + (ratio - 1) * firm[..., None]
    shown = (before.parts() == SKIN) * (1.0 if seen is None else seen.of("skin"))
    lid = closing_lids(eyes, surface, parts == EYE, shown, crop_lin, warped * ratio)
    ratio = ratio * np.exp(lid.lash * fade)[..., None]
    pictures = {"warped_lin": warped, "crop_lin": crop_lin}
    mouth, own = mouth_picture(
        model, before, after, between, **pictures, skin_luma=skin_luma, seen=seen, memory=memory
    )
    soft = max(0.6, 0.035 * px_per_cm)
    return Fields(
        flow.astype(np.float32),
        ratio.astype(np.float32),
        np.minimum(2 * cv2.GaussianBlur(between.revealed, (0, 0), soft), 1) * fade,
        mouth,
        cv2.GaussianBlur(between.inside.astype(np.float32), (0, 0), soft),
        face,
        fade,
        firm.astype(np.float32),
        Zones.of(before.chart_deg(model), before.code),
        turn.astype(np.float32),
        own,
        lid.cover * fade,
        lid.lin,
    )


def _eyes(
    model: ShapeModel,
    before: View,
    after: View,
    flow: Array,
    exact: Array,
    crop_lin: Array,
    seen: Parts | None,
    azimuth_deg: Array,
) -> Lids:
    """Lids that slide over eyeballs, which go where they go `exact`ly; `azimuth_deg` (S, S) of the chart."""
    eye = after.parts() == EYE
    eye_flow = fill(exact, eye) if eye.any() else flow
    curves = [view.points[model.lid_curves, :2] for view in (before, after)]
    return lids(
        flow,
        eye_flow,
        *curves,
        px_per_cm=after.code.scale,
        eye=None if seen is None else seen.of("eye"),
        luma=_log_luma(crop_lin),
        azimuth_deg=azimuth_deg,
    )


def _cloth(seen: Parts | None, like: Array) -> Array:
    """(S, S) 0..1: clothes, none where nothing is known of them."""
    return np.zeros(like.shape) if seen is None else seen.of("cloth")


def _log_luma(lin: Array) -> Array:
    """(S, S) log light of a picture (S, S, 3)."""
    return np.asarray(np.log(np.maximum(lin @ LUMA, 1e-3)))


def _skin_flow(
    before: View,
    after: View,
    exact: Array,
    certain: Array,
    crop_lin: Array,
    *,
    whole_head: bool,
    seen: Parts | None,
) -> tuple[Array, Array]:
    """(S, S, 2) px twice: where skin comes from, `exact` where that is `certain` and continued around it; and
    how much of it is the head's turn.
    """
    turn = np.zeros_like(exact)
    turned = whole_head and not np.array_equal(before.code.rotation, after.code.rotation)
    if turned:
        certain = one_piece(certain)
        turn = head_flow(before.code, after.code, after.depths(), certain)
    flow = fill(exact - turn, certain)
    flow *= _reach(after.raster.mask | before.raster.mask, after.code.scale)[..., None]
    flow = np.where(certain[..., None], exact, turn + flow)
    if not whole_head:
        return flow, turn
    cloth = _cloth(seen, certain)
    if turned:
        flow = eased(flow, certain, after.code.scale)
        if not (up := nods_up(before.code, after.code)):
            return over_neck(flow, turn, after.code, certain, cloth)
        skin, hair = over_neck(flow, turn, after.code, certain, cloth)
        return stiffer(skin, _log_luma(crop_lin), certain, after.code, up), hair
    # Skin that drops goes over a neck or a collar; what rises draws the neck out.
    drawn, _ = over_neck(flow, turn, after.code, certain, cloth, yields_cm=_YIELDS_CM)
    rises = smoothstep(flow[..., 1:] / (_RISES_CM * after.code.scale))
    return flow + rises * (drawn - flow), turn


def _correspondence(before: View, after: View) -> tuple[Array, Array]:
    """Flow (S, S, 2) that is exact on the surface, and (S, S) bool: the plate shows that surface point."""
    raster = after.raster
    height, width = raster.shape
    moved = raster.read(
        before.points - after.points
    )  # differences, so that what stays moves by exactly nothing
    here = np.stack([raster.pixels % width, raster.pixels // width, raster.depth], 1)
    source = here + moved
    x, y = np.clip(np.rint(source[:, :2]).astype(int), 0, [width - 1, height - 1]).T
    seen = source[:, 2] > before.depths()[y, x] - _SEE_CM
    facing = (source[:, :2] >= 0).all(1) & (source[:, 0] < width) & (source[:, 1] < height)
    return raster.image(moved[:, :2]), raster.image((seen & facing).astype(np.float32)) > 0.5


def _firm(model: ShapeModel, after: View) -> Array:
    """(S, S) bool: skin away from the chart's edge and not seen edge-on, where it can be relied on."""
    chart = np.zeros((model.modes.shape[1], 2), np.float32)
    chart[: model.skin_count] = model.chart_deg
    azimuth, elevation = after.raster.read(chart).T
    front = after.raster.read(model.normals(after.vertices)) @ after.code.rotation[2].astype(np.float32)
    low, high = ELEVATION_DEG
    firm = (
        (np.abs(azimuth) < AZIMUTH_DEG - 10) & (elevation > low + 14) & (elevation < high - 6) & (front > 0.2)
    )
    mask = after.raster.image(firm.astype(np.float32))
    round_ = disc(2)
    return cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, round_), cv2.MORPH_OPEN, round_) > 0.5


def _facing(model: ShapeModel, before: View, after: View) -> Array:
    """(S, S) how much a surface that is seen after the change faced the camera before it; 0 off the face."""
    front = model.normals(before.vertices) @ before.code.rotation[2].astype(np.float32)
    return after.raster.image(after.raster.read(front))


def _soft_inside(mask: Array, sigma: float) -> Array:
    """(S, S) 1 inside the mask, falling smoothly to 0 before its edge."""
    return np.clip(2 * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(sigma, 0.5)) - 1, 0, 1)


def _reach(head: Array, px_per_cm: float) -> Array:
    """(S, S) 1 on the head, falling to 0 around it."""
    away = cv2.distanceTransform((~head).astype(np.uint8), cv2.DIST_L2, 5) / px_per_cm
    return smoothstep(1 - away / _FADE_CM)


def _enlarged(fields: Fields, size: int) -> Fields:
    grow = size / len(fields.flow)

    def up(image: Array) -> Array:
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)

    near = cv2.resize(fields.flow, (size, size), interpolation=cv2.INTER_NEAREST)
    smooth = up(fields.flow)
    turn = up(fields.turn) * np.float32(grow)
    torn = np.abs(smooth - near).max(2, keepdims=True) > 1.0  # between lids, between lips: never in between
    return Fields(
        np.where(torn, near, smooth) * np.float32(grow),
        up(fields.ratio),
        up(fields.revealed),
        up(fields.mouth_lin),
        up(fields.inside),
        up(fields.face.astype(np.float32)) > 0.5,
        up(fields.fade),
        up(fields.skin),
        fields.zones.enlarged(size),
        turn,
        up(fields.own),
        up(fields.lid),
        up(fields.lid_lin),
    )
