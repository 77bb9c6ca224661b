"""What the face model knows about one face in one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class ShapeCode:
    """Codes and pose, float64. The camera is scaled orthographic: for a point p in centimetres (x to the
    image's right, y up, z to the camera) the plate has it at `scale * (R p)` with y turned down, plus
    `translation`.

    identity (K,) in standard deviations; expression (E,) amounts, nominally 0..1, order of
    `ShapeModel.expressions`; rotation (3, 3); scale in plate px per centimetre; translation (2,) plate px;
    age 0 as the plate, 1 clearly older. detail (68, 3) centimetres: what the codes cannot say of this face;
    moves the landmarks and the skin around them. form (F,) amounts in the order of `form.FORMS`; None is
    none. touching (E,): what an edit makes of the expression if the lips touch in the plate, whatever the
    code has them do; None is the same.
    """

    identity: Array
    expression: Array
    rotation: Array
    scale: float
    translation: Array
    age: float = 0.0
    detail: Array | None = None
    form: Array | None = None
    touching: Array | None = None

    def but(self, **changes: object) -> ShapeCode:
        """The same code with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def lips_touch(self, share: float) -> ShapeCode:
        """The code for lips that touch in the plate (1), that do not (0), or that hardly do."""
        if self.touching is None or share <= 0:
            return self
        return self.but(expression=self.expression + share * (self.touching - self.expression))

    def project(self, points: Array) -> Array:
        """(V, 3) centimetres to (V, 3): x and y in plate px, depth in centimetres, larger is nearer."""
        turned = points @ self.rotation.T.astype(points.dtype)
        x = self.scale * turned[:, 0] + self.translation[0]
        y = self.translation[1] - self.scale * turned[:, 1]
        return np.stack([x, y, turned[:, 2]], 1)

    def through(self, matrix: Array) -> ShapeCode:
        """The code as seen in another image; `matrix` (3, 3) maps plate px to its px.

        Must be turn, zoom and shift.
        """
        zoom = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        angle = np.arctan2(matrix[1, 0], matrix[0, 0])
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])  # image y is down, the model's is up
        shift = matrix[:2, :2] @ self.translation + matrix[:2, 2]
        return self.but(rotation=turn @ self.rotation, scale=self.scale * zoom, translation=shift)


def crop_affine(quad: Array, size: int) -> Array:
    """(3, 3) plate px to crop px for a quad (NW, SW, SE, NE) that is a square; crop corners at -0.5, size -
    0.5.
    """
    north_west, south_west, _, north_east = np.asarray(quad, np.float64)
    sides = np.stack([north_east - north_west, south_west - north_west], 1) / size
    back = np.eye(3)  # crop px to plate px
    back[:2, :2] = sides
    back[:2, 2] = north_west + sides @ (0.5, 0.5)
    return np.linalg.inv(back)


def rotation_matrix(vector: Array) -> Array:
    """(3, 3) from a rotation vector (3,) in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / max(angle, 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def rotation_vector(rotation: Array) -> Array:
    """(3,) radians, the inverse of `rotation_matrix` for angles below half a turn."""
    axis = 0.5 * np.array(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    sine = float(np.linalg.norm(axis))
    angle = np.arctan2(sine, (np.trace(rotation) - 1) / 2)
    return axis if sine < 1e-12 else axis * angle / sine
