"""Places on a face by which labels are judged: where hair is a beard, where frames of glasses must show."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

Array = np.ndarray

# Degrees of the chart. A beard grows below the nose, and ends before the ears, where long hair hangs.
_BEARD_TOP, _BEARD_SIDE, _SOFT = 4.0, 62.0, 9.0
_BRIDGE = (4.5, (12.0, 22.0))  # half its width, from and to
_CHEEK = ((9.0, 30.0), (4.0, 12.0))  # across and up, where the lower rims run


@dataclass(frozen=True)
class Zones:
    """On the plate's face, (S, S) 0..1 each: `beard`, where hair goes with the skin; `frames`, where glasses
    show if there are any.
    """

    beard: Array
    frames: Array

    @classmethod
    def of(cls, place_deg: Array) -> Zones:
        """From chart points (S, S, 2) in degrees, far away off the face."""
        across, up = np.abs(place_deg[..., 0]), place_deg[..., 1]
        on_face = across < 90
        beard = _ramp(_BEARD_TOP - up) * _ramp(_BEARD_SIDE - across) * on_face
        bridge = (across < _BRIDGE[0]) & _within(up, _BRIDGE[1])
        cheek = _within(across, _CHEEK[0]) & _within(up, _CHEEK[1])
        return cls(beard.astype(np.float32), ((bridge | cheek) & on_face).astype(np.float32))

    def enlarged(self, size: int) -> Zones:
        """The same at another size."""
        large = (cv2.resize(getattr(self, f.name), (size, size)) for f in fields(self))
        return Zones(*large)


def _within(values: Array, limits: tuple[float, float]) -> Array:
    return (values > limits[0]) & (values < limits[1])


def _ramp(inside_deg: Array) -> Array:
    x = np.clip(inside_deg / _SOFT, 0, 1)
    return x * x * (3 - 2 * x)
