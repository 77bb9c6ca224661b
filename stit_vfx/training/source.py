"""The public face model that the built-in pack is trained with: ICT-FaceKit (USC ICT, MIT).

Only training reads it. Its arrays, and tables computed from them, stay out of the package; what is shipped
are weights of networks trained with it. Centimetres; x to the person's left (image right), y up, z forward.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from stit_vfx.errors import PackDamagedError, PackFormatError, PackMissingError

Array = np.ndarray

# Geometry order in FaceXModel, as its README lists it: first vertex of each run and the part it belongs to.
PARTS = ("skin", "socket", "gum", "teeth", "eye", "lash", "unused")
_RUNS = (
    (0, "skin"),
    (11248, "socket"),
    (14062, "gum"),
    (17039, "teeth"),
    (21451, "eye"),
    (22221, "unused"),
    (23021, "eye"),
    (23791, "unused"),
    (25351, "lash"),
)
_FACE_END = 9409  # vertices before this one are the face, the rest of the skin is head and neck

# `idx_to_landmark_verts` of the toolkit: its iBUG-68 points.
# fmt: off
_LANDMARKS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147,
    4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695,
    2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517,
    5966,
)
# fmt: on


@dataclass(frozen=True)
class FaceSource:
    """neutral (V, 3); identity (K, V, 3), one standard deviation each; expression (53, V, 3) at full
    strength.

    `names`: ARKit-style names of the expressions; `triangles` (T, 3) vertex ids; `parts` (V,) index into
    PARTS; `landmarks` (68,) vertex ids, iBUG order; `face_end`: vertices below it are the face's own skin.
    """

    neutral: Array
    identity: Array
    expression: Array
    names: tuple[str, ...]
    triangles: Array
    parts: Array
    landmarks: Array
    face_end: int = _FACE_END

    @classmethod
    def load(cls, path: str | Path, *, modes: int = 50) -> FaceSource:
        """Read an .npz (neu, ID, EX, names, tri) or an ICT-FaceKit checkout (its root or FaceXModel)."""
        place = Path(path)
        if not place.exists():
            raise PackMissingError(
                "the face model is not there", where=place, hint="Give an .npz or an ICT-FaceKit checkout"
            )
        return _from_checkout(cls, place, modes) if place.is_dir() else _from_npz(cls, place, modes)

    def part(self, name: str) -> Array:
        """(V,) bool."""
        return self.parts == PARTS.index(name)

    def triangles_of(self, *names: str) -> Array:
        """(T', 3) triangles all of whose vertices belong to one of the named parts."""
        keep = np.isin(self.parts, [PARTS.index(n) for n in names])
        return self.triangles[keep[self.triangles].all(1)]

    def index(self, name: str) -> int:
        """Row of an expression."""
        return self.names.index(name)

    def vertices(self, identity: Array, expression: Array) -> Array:
        """(V, 3) float32 from identity (k,) and expression (53,)."""
        shape = self.neutral + np.tensordot(identity, self.identity[: len(identity)], 1)
        return (shape + np.tensordot(expression, self.expression, 1)).astype(np.float32)


def _parts(count: int) -> Array:
    parts = np.empty(count, np.int8)
    for first, name in _RUNS:
        parts[first:] = PARTS.index(name)
    return parts


def _from_npz(cls: type[FaceSource], path: Path, modes: int) -> FaceSource:
    try:
        with np.load(path) as data:
            neutral, identity, expression = data["neu"], data["ID"][:modes], data["EX"]
            names, triangles = tuple(str(n) for n in data["names"]), data["tri"]
    except (KeyError, ValueError, OSError) as error:
        raise PackFormatError(
            f"not a face model: {error}", where=path, hint="Expected arrays neu, ID, EX, names, tri"
        ) from error
    return cls(
        neutral.astype(np.float32),
        identity.astype(np.float32),
        expression.astype(np.float32),
        names,
        triangles.astype(np.int32),
        _parts(len(neutral)),
        np.array(_LANDMARKS),
    )


def _from_checkout(cls: type[FaceSource], folder: Path, modes: int) -> FaceSource:
    folder = folder / "FaceXModel" if (folder / "FaceXModel").is_dir() else folder
    info = json.loads(_text(folder / "vertex_indices.json"))
    names = tuple(info["expressions"])
    neutral, triangles = _read_obj(folder / "generic_neutral_mesh.obj")
    identity = [_read_obj(folder / f"identity{k:03d}.obj")[0] - neutral for k in range(modes)]
    expression = [_read_obj(folder / f"{name}.obj")[0] - neutral for name in names]
    return cls(
        neutral,
        np.stack(identity),
        np.stack(expression),
        names,
        triangles,
        _parts(len(neutral)),
        np.array(_LANDMARKS),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise PackDamagedError(
            f"cannot read: {error.strerror}", where=path, hint="Check out ICT-FaceKit again"
        ) from error


def _read_obj(path: Path) -> tuple[Array, Array]:
    """(V, 3) float32 positions and (T, 3) int32 triangles (polygons as fans) of a Wavefront file."""
    points, triangles = [], []
    for line in _text(path).splitlines():
        if line.startswith("v "):
            points.append(line.split()[1:4])
        elif line.startswith("f "):
            corners = [int(c.split("/")[0]) - 1 for c in line.split()[1:]]
            triangles += [(corners[0], b, c) for b, c in pairwise(corners[1:])]
    return np.array(points, np.float32), np.array(triangles, np.int32).reshape(-1, 3)
