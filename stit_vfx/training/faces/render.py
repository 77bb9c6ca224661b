"""Draws a synthetic face: geometry, colour, light, lens."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import cv2
import numpy as np

from stit_vfx.shape.parts import LABELS
from stit_vfx.training.faces import head as h
from stit_vfx.training.faces.camera import Camera, frame
from stit_vfx.training.faces.hair import Barber, hairline
from stit_vfx.training.faces.light import Array, directional, sh_basis
from stit_vfx.training.faces.obstacles import obstacles
from stit_vfx.training.faces.props import backdrop, glasses, lenses, torso
from stit_vfx.training.faces.raster import Surface, gather, join, rasterise, vertex_normals
from stit_vfx.training.faces.sample import Face
from stit_vfx.training.faces.skin import (
    Relief,
    Samples,
    SkinCharts,
    albedo,
    hair_colour,
    paint_charts,
    relief,
)
from stit_vfx.training.faces.strands import strand_texture

SUPERSAMPLING = 2
_LABEL_OF_PART = {
    **{h.SKIN: 1, h.SOCKET: 3, h.GUM: 5, h.TEETH: 5, h.EYE: 3, h.LASH: 3, h.HAIR: 6, h.BEARD: 6},
    **{h.TORSO: 9, h.FRAME: 8, h.HAT: 10, h.HAND: 11, h.THING: 12},
}
_SHADOW_PX, _SHADOW_BIAS_CM, _SHADOW_REACH_CM = 360, 0.45, 21.0
_BUMP = 0.30  # centimetres per unit of wrinkle height
_GREY_TEETH = np.array([0.74, 0.69, 0.59])
_SCLERA = np.array([0.68, 0.64, 0.62])


@dataclass(frozen=True)
class Picture:
    """`image` (S, S, 3) sRGB-coded 0..1, `cover` (S, S) share of a pixel that the person covers.

    `label` (S, S) uint8, index into LABELS; `landmarks` (68, 2) px of the picture, seen or not.
    """

    image: Array
    cover: Array
    camera: Camera
    label: Array
    landmarks: Array


@dataclass(frozen=True)
class Pixels:
    """n pixels that show a surface: part, canonical place, normal in camera axes, visible sky, strand, and
    where in space it is."""

    part: Array
    canonical: Array
    normal: Array
    sky: Array
    strand: Array
    place: Array

    def __getitem__(self, keep: Array) -> Pixels:
        return Pixels(*(getattr(self, each.name)[keep] for each in fields(self)))


@dataclass(frozen=True)
class Studio:
    """Draws faces of one source."""

    head: h.Head

    @cached_property
    def charts(self) -> SkinCharts:
        return paint_charts(self.head)

    @cached_property
    def barber(self) -> Barber:
        return Barber(self.head, self.charts)

    def camera(self, face: Face, size: int) -> Camera:
        """The crop does not move with the expression."""
        at_rest = self.head.points(face.identity, {})[self.head.source.landmarks]
        return frame(face, at_rest, size)

    def draw(self, face: Face, size: int = 128) -> Picture:
        """About 0.07 s at 128 px on one core."""
        large = size * SUPERSAMPLING
        camera = self.camera(face, large)
        surface = self.build(face)
        position = np.ascontiguousarray(camera.project(surface.points), np.float32)
        _, hit, weight = rasterise(
            position, surface.triangles, surface.threshold, surface.strand, strand_texture(), large
        )
        shown = hit >= 0
        pixels = _interpolate(surface, hit[shown], weight[shown], camera)
        light = backdrop(face.setting.backdrop_seed, large)
        sun = sunlit(surface, pixels.place, camera.rotation.T @ face.light.key) if face.light.hard else None
        light[shown] = self._shade(face, pixels, camera, sun)
        label = np.zeros((large, large), np.uint8)
        label[shown] = self.labels(face, pixels)
        points = self.head.points(face.identity, face.controls)
        light, label = self._through_lenses(face, camera, points, light, label)
        cover = cv2.resize(shown.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        final = self.camera(face, size)
        marks = final.project(points[self.head.source.landmarks])[:, :2]
        return Picture(develop(light, face, size), cover, final, _majority(label, size), marks)

    def labels(self, face: Face, pixels: Pixels) -> Array:
        """(n,) index into LABELS."""
        found = np.zeros(len(pixels.part), np.uint8)
        for part, label in _LABEL_OF_PART.items():
            found[pixels.part == part] = label
        skin = np.flatnonzero(pixels.part == h.SKIN)
        place = pixels.canonical[skin]
        xy = h.chart_pixel(h.unroll(place))
        at = Samples(gather(self.charts.stack, xy[:, 0], xy[:, 1]))
        found[skin[at["brow"] * face.hair.brows > 0.3]] = LABELS.index("brow")
        found[skin[at["lips"] > 0.5]] = LABELS.index("lips")
        jaw = self.head.landmarks[:17]
        edge = np.interp(h.azimuth(place), h.azimuth(jaw), jaw[:, 1] - 0.5, left=-3.0, right=-3.0)
        found[skin[place[:, 1] < edge]] = LABELS.index("neck")
        return found

    def _through_lenses(
        self, face: Face, camera: Camera, points: Array, light: Array, label: Array
    ) -> tuple[Array, Array]:
        """Tinted glass over the eyes, with a soft reflection; dark glass counts as glasses."""
        setting = face.setting
        for outline in lenses(setting, self.head, points):
            corners = np.rint(camera.project(outline)[:, :2] * 16).astype(np.int32)
            mask = cv2.fillPoly(np.zeros(label.shape, np.float32), [corners], 1.0, cv2.LINE_AA, 4)
            mask[~np.isin(label, _BEHIND_GLASS)] = 0
            tall = np.linspace(1, -0.5, len(mask), dtype=np.float32)[:, None].clip(0)
            glare = setting.glare * face.light.sh[0].mean() * 0.3 * tall
            seen = light * (1 - setting.tint) + glare[..., None]
            light = light * (1 - mask[..., None]) + seen * mask[..., None]
            if setting.tint > 0.5:
                label = np.where(mask > 0.5, LABELS.index("glasses"), label).astype(np.uint8)
        return light, label

    def build(self, face: Face) -> Surface:
        """Everything in front of the backdrop."""
        points = self.head.points(face.identity, face.controls)
        normals = vertex_normals(points, self.head.triangles)
        neck = points[(self.head.source.neutral[:, 1] < -15) & self.head.source.part("skin")]
        hair = self.barber.grow(face, points, normals)
        body = [] if len(neck) == 0 else [torso(face.setting, neck)]
        worn = glasses(face.setting, self.head, points)
        hiding = obstacles(face.obstacles, points, points[self.head.source.landmarks[8]])
        return join([self._skull(face, points, normals), *hair, *body, *worn, *hiding])

    def _skull(self, face: Face, points: Array, normals: Array) -> Surface:
        source = self.head.source
        threshold = np.full(len(points), -1.0, np.float32)
        lashes = source.part("lash")
        x, y = source.neutral[lashes, 0], source.neutral[lashes, 1]
        upper = y > 3.05 + 0.28 * np.abs(np.abs(x) - 3.1)
        threshold[lashes] = np.where(upper, 1 - face.lashes, 1 - 0.1 * face.lashes)
        return Surface(
            points=points,
            normals=normals,
            canonical=source.neutral,
            sky=self.head.sky,
            threshold=threshold,
            strand=source.neutral[:, :2] * np.array([70, 3], np.float32),
            triangles=self.head.triangles,
            parts=self.head.triangle_parts,
        )

    def _shade(self, face: Face, pixels: Pixels, camera: Camera, sun: Array | None) -> Array:
        """(n, 3) linear light; `sun` (n,) is how much of the main light arrives."""
        colour, gloss, power = (
            np.zeros((len(pixels.part), 3)),
            np.zeros(len(pixels.part)),
            np.full(len(pixels.part), 20.0),
        )
        normal = pixels.normal.copy()
        skin = pixels.part == h.SKIN
        here = pixels[skin]
        xy = h.chart_pixel(h.unroll(here.canonical))
        at = Samples(gather(self.charts.stack, xy[:, 0], xy[:, 1]))
        lines = relief(face, at)
        colour[skin] = _scalp_shadow(face, here, albedo(face, at, lines.height))
        normal[skin] = _bump(here.normal, lines, camera.rotation)
        gloss[skin] = face.skin.gloss * (
            0.5 + 0.5 * np.clip(at["nose"], 0, 1) + 0.6 * np.clip(at["lips"], 0, 1)
        )
        for part, paint in _PAINTS.items():
            where = pixels.part == part
            colour[where] = paint(face, pixels[where])
        gloss[pixels.part == h.EYE], power[pixels.part == h.EYE] = 1.2, 160.0
        gloss[pixels.part == h.HAIR], power[pixels.part == h.HAIR] = 0.18, 8.0
        gloss[pixels.part == h.FRAME] = 0.5
        gloss[pixels.part == h.HAND] = 0.6 * face.skin.gloss
        gloss[pixels.part == h.THING] = 0.4
        return _lit(face, pixels, colour, normal, gloss, power, sun)


def sunlit(surface: Surface, place: Array, key: Array) -> Array:
    """(n,) 0..1: how much of a small lamp's light reaches points (n, 3). `key` in the model's axes."""
    across = np.cross(key, [0.1, 1.0, 0.2])
    across /= np.linalg.norm(across)
    frame, size = np.stack([across, np.cross(key, across), key]), _SHADOW_PX
    zoom, centre = size / (2 * _SHADOW_REACH_CM), np.array([0, 2.0, 0]) @ frame.T

    def seen(points: Array) -> Array:
        turned = (points @ frame.T - centre) * [zoom, zoom, 1] + [size / 2, size / 2, 0]
        return np.ascontiguousarray(turned, np.float32)

    depth, _, _ = rasterise(
        seen(surface.points), surface.triangles, surface.threshold, surface.strand, strand_texture(), size
    )
    view = seen(place)
    total = np.zeros(len(place), np.float32)
    spots = [(dx, dy) for dx in (-1.2, 0, 1.2) for dy in (-1.2, 0, 1.2)]
    for dx, dy in spots:
        x = np.clip(np.rint(view[:, 0] + dx), 0, size - 1).astype(int)
        y = np.clip(np.rint(view[:, 1] + dy), 0, size - 1).astype(int)
        total += view[:, 2] > depth[y, x] - _SHADOW_BIAS_CM
    return total / len(spots)


def _majority(label: Array, size: int) -> Array:
    """(size, size): the most frequent label under each pixel, of a larger picture of labels."""
    step = len(label) // size
    blocks = label.reshape(size, step, size, step).transpose(0, 2, 1, 3).reshape(size, size, -1)
    votes = (blocks[..., None] == np.arange(len(LABELS), dtype=np.uint8)).sum(2)
    return votes.argmax(-1).astype(np.uint8)


def _interpolate(surface: Surface, hit: Array, weight: Array, camera: Camera) -> Pixels:
    corners = surface.triangles[hit]
    weights = np.stack([1 - weight.sum(1), weight[:, 0], weight[:, 1]], 1)

    def mix(values: Array) -> Array:
        return np.einsum("nk,nk...->n...", weights, values[corners])

    normal = mix(surface.normals) @ camera.rotation.T
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    texture = strand_texture()
    u, v = np.floor(mix(surface.strand)).astype(int).T % len(texture)
    place = mix(surface.points)
    sky = np.maximum(mix(surface.sky), 0)  # a rounding below nothing is no number to the power of light
    return Pixels(surface.parts[hit], mix(surface.canonical), normal, sky, texture[v, u], place)


def _bump(normal: Array, lines: Relief, rotation: Array) -> Array:
    tilted = normal - _BUMP * (
        np.outer(lines.slope[:, 0], rotation[:, 0]) + np.outer(lines.slope[:, 1], rotation[:, 1])
    )
    return tilted / (np.linalg.norm(tilted, axis=1, keepdims=True) + 1e-9)


def _scalp_shadow(face: Face, pixels: Pixels, colour: Array) -> Array:
    """Roots darken the skin under the hair, so that no bare scalp shows between strands."""
    if face.hair.bald:
        return colour
    above = pixels.canonical[:, 1] - hairline(h.azimuth(pixels.canonical), face.hair)
    amount = 0.85 * np.clip(above / 1.2 + 0.1, 0, 1)[:, None]
    return colour * (1 - amount) + 0.7 * hair_colour(face) * amount


def _teeth(face: Face, pixels: Pixels) -> Array:
    return np.outer(_mouth_depth(pixels) ** 1.3, _GREY_TEETH * (1 - 0.12 * face.age))


def _gums(face: Face, pixels: Pixels) -> Array:
    return np.outer(_mouth_depth(pixels), [0.55, 0.23, 0.22])


def _mouth_depth(pixels: Pixels) -> Array:
    """Less light reaches the back of the mouth."""
    return np.clip((pixels.canonical[:, 2] - 6.8) / 3.2, 0.12, 1)


def _socket(face: Face, pixels: Pixels) -> Array:
    return np.tile([0.24, 0.07, 0.06], (len(pixels.part), 1))


def _eye(face: Face, pixels: Pixels) -> Array:
    """Iris and pupil by distance from the optical axis of the eye at rest, the white redder outwards."""
    x, y = np.abs(pixels.canonical[:, 0]) - 3.19, pixels.canonical[:, 1] - 3.62
    radius = np.hypot(x, y)[:, None]
    white = _SCLERA * np.exp(-0.10 * (radius / 1.4) ** 2 * [0.5, 1.5, 1.5])
    inside, pupil = np.clip((0.70 - radius) / 0.06, 0, 1), np.clip((0.30 - radius) / 0.05, 0, 1)
    rim = np.exp(-(((radius - 0.66) / 0.07) ** 2))
    colour = white * (1 - inside) + face.iris * (0.55 + 0.75 * radius / 0.7) * inside
    colour = colour * (1 - 0.7 * rim) * (1 - pupil) + 0.015 * pupil
    return colour * np.clip(0.55 - 0.9 * (y[:, None] - 0.53), 0.45, 1)


def _hair(face: Face, pixels: Pixels) -> Array:
    return np.outer(0.45 + 0.95 * pixels.strand, hair_colour(face))


def _beard(face: Face, pixels: Pixels) -> Array:
    return np.outer(0.43 + 0.68 * pixels.strand, hair_colour(face))


_PAINTS = {
    h.SOCKET: _socket,
    h.GUM: _gums,
    h.TEETH: _teeth,
    h.EYE: _eye,
    h.LASH: lambda face, pixels: np.full((len(pixels.part), 3), 0.02),
    h.HAIR: _hair,
    h.BEARD: _beard,
    h.TORSO: lambda face, pixels: np.tile(face.setting.cloth, (len(pixels.part), 1)),
    h.FRAME: lambda face, pixels: np.tile(face.setting.glasses_colour, (len(pixels.part), 1)),
    h.HAT: lambda face, pixels: np.outer(0.8 + 0.3 * pixels.strand, face.obstacles.hat_colour),
    h.HAND: lambda face, pixels: np.tile(face.skin.tone * [1.06, 0.97, 0.95], (len(pixels.part), 1)),
    h.THING: lambda face, pixels: np.tile(_thing_colour(face), (len(pixels.part), 1)),
}
_BEHIND_GLASS = [LABELS.index(name) for name in ("skin", "brow", "eye", "lips")]


def _thing_colour(face: Face) -> Array:
    rng = np.random.default_rng(face.obstacles.thing)
    return np.asarray(rng.random() ** 2 * (0.3 + 0.7 * rng.random(3)) + 0.01)


def _lit(
    face: Face,
    pixels: Pixels,
    colour: Array,
    normal: Array,
    gloss: Array,
    power: Array,
    sun: Array | None,
) -> Array:
    """Irradiance and the key's highlight. Red light spreads under the skin: wrinkles are flatter in red."""
    light = face.light
    sharp, soft = (_irradiance(face, each, sun) for each in (normal, pixels.normal))
    spread = np.where((pixels.part == h.SKIN)[:, None], [0.25, 0.05, 0.0], 0.0)
    sky = 0.25 + 0.75 * pixels.sky[:, None] ** [0.75, 0.95, 1.0]
    half = light.key + np.array([0, 0, 1])
    half = half / np.linalg.norm(half)
    lobe = np.clip(normal @ half, 0, 1) ** power * np.clip(normal @ light.key + 0.15, 0, 1)
    if sun is not None:
        lobe = lobe * (1 - light.hard + light.hard * sun)
    shine = gloss * lobe * np.where(pixels.part == h.EYE, 1.5, 0.35 * pixels.sky)
    diffuse = colour * (sharp * (1 - spread) + soft * spread) * sky
    return (diffuse + shine[:, None] * light.sh[0].mean() * 0.45) * light.exposure


def _irradiance(face: Face, normal: Array, sun: Array | None) -> Array:
    """(n, 3) on surfaces of these normals: all light softly, or the main one partly from a point."""
    light = face.light
    total = sh_basis(normal) @ light.sh
    if sun is not None:
        smooth = sh_basis(normal) @ directional(light.key, light.key_colour)
        point = np.outer(np.clip(normal @ light.key, 0, None) * sun, light.key_colour)
        total = total + light.hard * (point - smooth)
    return np.clip(total, 0.015, None)


def develop(light: Array, face: Face, size: int) -> Array:
    """(size, size, 3) sRGB-coded from supersampled linear light: shoulder, area average, blur and grain."""
    light = np.clip(light * 1.05, 0, None)
    light = np.where(light > 0.8, 0.8 + 0.2 * np.tanh((light - 0.8) / 0.2), light)
    small = cv2.resize(light.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    if face.blur > 0.2:
        small = cv2.GaussianBlur(small, (0, 0), face.blur)
    coded = np.clip(small, 0, 1) ** (1 / 2.2)
    noise = np.random.default_rng(face.noise_seed).standard_normal(coded.shape, np.float32)
    return np.clip(coded + noise * face.grain, 0, 1).astype(np.float32)
