"""Hair and beard as fur shells over the skin, and a curtain for long hair; strands come from one texture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from stit_vfx.training.faces.head import BEARD, HAIR, Head, azimuth, chart_pixel, unroll
from stit_vfx.training.faces.light import Array
from stit_vfx.training.faces.raster import Surface, vertex_normals
from stit_vfx.training.faces.sample import Face, Hair
from stit_vfx.training.faces.skin import CHANNELS, SkinCharts

SHELLS, BEARD_SHELLS = 5, 4
_CROWN = np.array([0.0, 13.5, -3.5], np.float32)
_COLUMNS, _ROWS = 73, 26  # of the curtain

# Height of the hairline in centimetres over degrees from the front: forehead, temple, ear, nape.
_LINE_DEG = (0, 18, 33, 47, 58, 66, 74, 84, 98, 112, 125, 180)
_LINE_CM = (9.7, 9.6, 9.3, 7.6, 3.6, 0.4, 1.5, 6.2, 5.5, 0.5, -5.5, -7.5)


def hairline(around: Array, hair: Hair) -> Array:
    """Height (cm) above which hair grows, per azimuth (radians). `side` tilts it to a parting."""
    degrees = np.abs(np.degrees(around))
    height = np.interp(degrees, _LINE_DEG, _LINE_CM)
    height = height + hair.rise * np.interp(degrees, [0, 40, 60, 180], [1, 1, 0.3, 0])
    height = height + hair.recede * np.interp(degrees, [0, 20, 33, 47, 60, 180], [0.8, 1.2, 2.2, 1.6, 0.2, 0])
    front = np.interp(degrees, [0, 45, 65, 180], [1, 1, 0, 0])
    uneven = 0.22 * np.sin(around * 17 + hair.side * 5) + 0.13 * np.sin(around * 41 + hair.sweep * 9)
    return height + front * (0.7 * np.tanh(np.degrees(around) / 14) * hair.side + uneven)


@dataclass(frozen=True)
class Coat:
    """Shells over triangles of the head: per vertex of the head a length, a density -1..1 and a direction."""

    triangles: Array
    length: Array
    density: Array
    lean: Array
    strand: Array
    shells: int
    thin: float
    part: int


@dataclass(frozen=True)
class Barber:
    """Grows hair on one head; what depends only on the neutral head is kept."""

    head: Head
    charts: SkinCharts

    @cached_property
    def _around(self) -> Array:
        return azimuth(self.head.source.neutral)

    @cached_property
    def _from_crown(self) -> Array:
        return self.head.source.neutral - _CROWN

    @cached_property
    def _scalp(self) -> Array:
        """Triangles where hair may grow, with the lowest fringe."""
        skin = self.head.source.triangles_of("skin")
        centre = self.head.source.neutral[skin].mean(1)
        lowest = np.interp(np.abs(np.degrees(azimuth(centre))), _LINE_DEG, _LINE_CM) - 3.2
        ears = self.head.is_ear[skin].any(1)
        return skin[(centre[:, 1] > lowest) & ~ears & (centre[:, 1] > -9.5)]

    @cached_property
    def _beard(self) -> tuple[Array, Array]:
        """Triangles, and (V,) how much beard grows at each vertex."""
        source = self.head.source
        growth = np.zeros(len(source.neutral), np.float32)
        pixels = chart_pixel(unroll(source.neutral[: source.face_end])).astype(np.float32)
        chart = np.ascontiguousarray(self.charts.stack[..., CHANNELS.index("beard")])
        growth[: source.face_end] = cv2.remap(chart, pixels[:, :1], pixels[:, 1:], cv2.INTER_LINEAR)[:, 0]
        triangles = source.triangles_of("skin")
        on = (growth[triangles].mean(1) > 0.02) & (source.neutral[triangles].mean(1)[:, 2] > -1)
        return triangles[on & (triangles < source.face_end).all(1)], growth

    def grow(self, face: Face, points: Array, normals: Array) -> list[Surface]:
        """All hair of a face, over its moved vertices (V, 3)."""
        coats = []
        if not face.hair.bald:
            coats.append(self._short(face.hair, normals))
        if face.hair.beard > 0 and face.hair.beard_length > 0.12:
            coats.append(self._beard_coat(face.hair))
        out = [shell for coat in coats for shell in self._shells(coat, points, normals)]
        if face.hair.fringe > 0 and not face.obstacles.hat:
            out += self._fringe(face.hair, points, normals)
        return [*out, curtain(face.hair, points)] if face.hair.long and not face.hair.bald else out

    def _short(self, hair: Hair, normals: Array) -> Coat:
        above = self.head.source.neutral[:, 1] - hairline(self._around, hair)
        degrees = np.abs(np.degrees(self._around))
        length = (
            hair.length
            * np.clip(above / 3.5 + 0.12, 0.05, 1)
            * (1 - 0.35 * np.clip((degrees - 60) / 60, 0, 1))
        )
        distance = np.linalg.norm(self._from_crown, axis=1)
        turn = np.arctan2(self._from_crown[:, 0] - 1.5 * hair.side, self._from_crown[:, 2])
        strand = np.stack([turn / (2 * np.pi) * 2048, distance * 14], 1)
        strand[:, 0] += hair.curl * 26 * np.sin(distance * 2.6 + 5 * np.sin(turn * 9))
        length = length * (1 + 0.35 * hair.curl * np.sin(distance * 3.1 + turn * 21))
        lean = 0.35 * self._combed(hair, normals)
        return Coat(self._scalp, length, np.clip(above / 1.3, -1, 1), lean, strand, SHELLS, 0.55, HAIR)

    @cached_property
    def _forehead(self) -> tuple[Array, Array, Array, Array]:
        """Azimuth and progress (rows, columns) of a sheet over the forehead, the nearest vertex of the skin
        to each of its points, and triangles."""
        from scipy.spatial import cKDTree

        around, down, triangles = curtain_grid()
        around = around / np.pi * np.radians(64)
        skin = np.flatnonzero(self.head.source.part("skin"))
        heads = self.head.source.neutral[skin]
        flat = np.stack([azimuth(heads) * 9, heads[:, 1]], 1)
        front = heads[:, 2] > -3
        height = 12.2 - 8.1 * down
        place = np.stack([around * 9, height], -1).reshape(-1, 2)
        return around, down, skin[front][cKDTree(flat[front]).query(place)[1]], triangles

    def _fringe(self, hair: Hair, points: Array, normals: Array) -> list[Surface]:
        """Two layers of hair that hang over the forehead, combed to a side, with ragged ends."""
        around, down, nearest, triangles = self._forehead
        end = (
            (1.6 + hair.fringe)
            / 8.1
            * (1 + 0.25 * np.sin(around * 7 + hair.side * 9) * (0.4 + abs(hair.sweep)))
        )
        end = end * np.interp(np.degrees(around) * np.sign(hair.side), [-64, -20, 64], [0.7, 1, 1.5])
        rest = np.clip((down - end) / 0.12, -1, 1).ravel() * 0.55 + 0.42
        gap = np.clip((np.abs(np.degrees(around)) - 52) / 12, 0, 1).ravel()
        slant = around * 9 + 2.2 * hair.side * down
        strand = np.stack([slant.ravel() / 9 / (2 * np.pi) * 2048, down.ravel() * 260], 1)
        strand[:, 0] += hair.curl * 14 * np.sin(down.ravel() * 21 + 3 * around.ravel())
        return [
            Surface(
                points=points[nearest] + normals[nearest] * (0.35 + 0.4 * t),
                normals=normals[nearest],
                canonical=np.full((len(nearest), 3), np.nan, np.float32),
                sky=np.full(len(nearest), 0.75),
                threshold=np.maximum(rest + gap + 0.25 * t, 1e-3),
                strand=strand + np.array([37 * t, 0]),
                triangles=triangles,
                parts=np.full(len(triangles), HAIR, np.int8),
            )
            for t in (0.0, 1.0)
        ]

    def _combed(self, hair: Hair, normals: Array) -> Array:
        """(V, 3) direction of the strands: away from the crown along the skin; at the front, as combed."""
        away = self._from_crown / np.linalg.norm(self._from_crown, axis=1, keepdims=True)
        away = away - normals * (away * normals).sum(1, keepdims=True)
        away[:, 1] -= 0.35
        front = np.clip((65 - np.abs(np.degrees(self._around))) / 30, 0, 1)[:, None]
        return away * (1 - front) + front * (away * hair.sweep + np.array([hair.side * 0.5, 0, 0]))

    def _beard_coat(self, hair: Hair) -> Coat:
        triangles, growth = self._beard
        down = np.zeros_like(self.head.source.neutral)
        down[:, 1] = -0.6
        strand = self.head.source.neutral[:, :2] * [40, 30]
        density = np.clip(growth * 2 - 1 + 0.5 * hair.beard, -1, 1)
        length = hair.beard_length * 1.1 * np.clip(growth, 0, 1)
        return Coat(triangles, length, density, down, strand, BEARD_SHELLS, 0.6, BEARD)

    def _shells(self, coat: Coat, points: Array, normals: Array) -> list[Surface]:
        used, flat = np.unique(coat.triangles, return_inverse=True)
        triangles = flat.reshape(coat.triangles.shape).astype(np.int32)
        density, length = coat.density[used], coat.length[used][:, None]
        jitter = 0.10 * np.sin(used * 12.9898)
        out = []
        for t in np.arange(1, coat.shells + 1) / coat.shells:
            cut = coat.thin * t - 0.45 * np.clip(density, -2, 1) + 0.21 + jitter
            out.append(
                Surface(
                    points=points[used] + length * t * normals[used] + length * t * t * coat.lean[used],
                    normals=normals[used],
                    canonical=self.head.source.neutral[used],
                    sky=np.clip(self.head.sky[used] * (0.45 + 0.55 * t), 0, 1),
                    threshold=np.where(density < -0.95, 2.0, np.maximum(cut, 1e-3)),
                    strand=coat.strand[used],
                    triangles=triangles,
                    parts=np.full(len(triangles), coat.part, np.int8),
                )
            )
        return out


def curtain_grid() -> tuple[Array, Array, Array]:
    """Azimuth (ROWS, COLUMNS), progress 0..1 downwards, and triangles of a closed sheet around the head."""
    around = np.linspace(-np.pi, np.pi, _COLUMNS)
    down = np.linspace(0, 1, _ROWS)
    index = np.arange(_ROWS * _COLUMNS).reshape(_ROWS, _COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.stack([a, b, d, a, d, c], -1).reshape(-1, 3).astype(np.int32)
    grid_around, grid_down = np.meshgrid(around, down)
    return grid_around, grid_down, triangles


def outward(points: Array, triangles: Array) -> Array:
    """Unit normals turned away from the vertical axis."""
    normals = vertex_normals(points.astype(np.float32), triangles)
    flat = points * [1, 0, 1]
    return normals if (normals * flat).sum() > 0 else -normals


def curtain(hair: Hair, points: Array) -> Surface:
    """Long hair: hugs the head down to the ears, then falls, open in front of the face."""
    around, down, triangles = curtain_grid()
    sheet = _curtain_points(hair, points, around, down)
    lean = 0.22 * hair.side * np.clip(1 - down / 0.5, 0, 1)
    gap = np.interp(down, [0, 0.2, 0.3, 0.4, 0.7, 1], [-0.2, 0.35, 0.82, 1.12, 1.25, 1.3])
    gap = gap + hair.opening * np.interp(down, [0.3, 0.4, 0.7, 1], [0.0, 0.18, 0.35, 0.5])
    edge = np.clip(1 - (np.abs(around - lean) - gap) / 0.22, 0.04, 2)
    ends = 0.5 * np.clip((down - 0.85) / 0.15, 0, 1)
    return Surface(
        points=sheet,
        normals=outward(sheet, triangles),
        canonical=np.full_like(sheet, np.nan),
        sky=np.full(len(sheet), 0.8),
        threshold=(edge + ends).ravel(),
        strand=np.stack([around.ravel() / (2 * np.pi) * 2048, down.ravel() * 300], 1),
        triangles=triangles,
        parts=np.full(len(triangles), HAIR, np.int8),
    )


def _curtain_points(hair: Hair, points: Array, around: Array, down: Array) -> Array:
    skull = points[points[:, 1] > 4]
    half_width, depth = np.abs(skull[:, 0]).max() * 0.97, 9.0 + 0.3 * hair.length
    top, end = points[:, 1].max() + 0.55 + 0.35 * hair.length, -6 - 13 * hair.fall
    crown, fall = np.clip(down / 0.4, 0, 1), np.clip((down - 0.4) / 0.6, 0, 1)
    radius = np.sin(crown * np.pi / 2) ** 0.8 * (1 + 0.05 * hair.length + 0.14 * fall)
    height = top - (top - 3.5) * (1 - np.cos(crown * np.pi / 2)) + (end - 3.5) * fall
    waves = 1 + (0.02 + 0.02 * abs(hair.sweep) + 0.05 * hair.curl) * np.sin(
        around * 23 + 3 * hair.side
    ) * np.clip(down - 0.2, 0, 1)
    x = np.sin(around) * radius * (half_width + 0.5 + 0.4 * hair.length) * waves
    z = np.cos(around) * radius * depth * 0.92 * waves - 1.2
    return np.stack([x, height, z], -1).reshape(-1, 3)
