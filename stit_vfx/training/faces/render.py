"""Draws a synthetic face: geometry, colour, light, lens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from stit_vfx.training.faces import head as h
from stit_vfx.training.faces.camera import Camera, frame
from stit_vfx.training.faces.hair import Barber, hairline
from stit_vfx.training.faces.light import Array, sh_basis
from stit_vfx.training.faces.props import backdrop, glasses, torso
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
_BUMP = 0.30  # centimetres per unit of wrinkle height
_GREY_TEETH = np.array([0.74, 0.69, 0.59])
_SCLERA = np.array([0.68, 0.64, 0.62])


@dataclass(frozen=True)
class Picture:
    """`image` (S, S, 3) sRGB-coded 0..1, `cover` (S, S) share of a pixel that the person covers."""

    image: Array
    cover: Array
    camera: Camera


@dataclass(frozen=True)
class Pixels:
    """n pixels that show a surface: part, canonical place, normal in camera axes, visible sky, strand."""

    part: Array
    canonical: Array
    normal: Array
    sky: Array
    strand: Array

    def __getitem__(self, keep: Array) -> Pixels:
        return Pixels(
            *(getattr(self, name)[keep] for name in ("part", "canonical", "normal", "sky", "strand"))
        )


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
        light[shown] = self._shade(face, pixels, camera)
        cover = cv2.resize(shown.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        return Picture(develop(light, face, size), cover, self.camera(face, size))

    def build(self, face: Face) -> Surface:
        """Everything in front of the backdrop."""
        points = self.head.points(face.identity, face.controls)
        normals = vertex_normals(points, self.head.triangles)
        neck = points[(self.head.source.neutral[:, 1] < -15) & self.head.source.part("skin")]
        hair = self.barber.grow(face, points, normals)
        body = [] if len(neck) == 0 else [torso(face.setting, neck)]
        return join(
            [self._skull(face, points, normals), *hair, *body, *glasses(face.setting, self.head, points)]
        )

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

    def _shade(self, face: Face, pixels: Pixels, camera: Camera) -> Array:
        """(n, 3) linear light."""
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
        return _lit(face, pixels, colour, normal, gloss, power)


def _interpolate(surface: Surface, hit: Array, weight: Array, camera: Camera) -> Pixels:
    corners = surface.triangles[hit]
    weights = np.stack([1 - weight.sum(1), weight[:, 0], weight[:, 1]], 1)

    def mix(values: Array) -> Array:
        return np.einsum("nk,nk...->n...", weights, values[corners])

    normal = mix(surface.normals) @ camera.rotation.T
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    texture = strand_texture()
    u, v = np.floor(mix(surface.strand)).astype(int).T % len(texture)
    return Pixels(surface.parts[hit], mix(surface.canonical), normal, mix(surface.sky), texture[v, u])


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
}


def _lit(face: Face, pixels: Pixels, colour: Array, normal: Array, gloss: Array, power: Array) -> Array:
    """Irradiance and the key's highlight. Red light spreads under the skin: wrinkles are flatter in red."""
    light = face.light
    sharp = np.clip(sh_basis(normal) @ light.sh, 0.015, None)
    soft = np.clip(sh_basis(pixels.normal) @ light.sh, 0.015, None)
    spread = np.where((pixels.part == h.SKIN)[:, None], [0.25, 0.05, 0.0], 0.0)
    sky = 0.25 + 0.75 * pixels.sky[:, None] ** [0.75, 0.95, 1.0]
    half = light.key + np.array([0, 0, 1])
    half = half / np.linalg.norm(half)
    lobe = np.clip(normal @ half, 0, 1) ** power * np.clip(normal @ light.key + 0.15, 0, 1)
    shine = gloss * lobe * np.where(pixels.part == h.EYE, 1.5, 0.35 * pixels.sky)
    diffuse = colour * (sharp * (1 - spread) + soft * spread) * sky
    return (diffuse + shine[:, None] * light.sh[0].mean() * 0.45) * light.exposure


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
