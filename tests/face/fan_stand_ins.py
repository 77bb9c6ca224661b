"""Stand-ins for the two networks of FAN that know the landmarks; the rest of the library is real."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

HEAT = 64
STRIDES = (4, 8, 16, 32, 64, 128)


def ramp_picture(width: int, height: int) -> np.ndarray:
    """Red tells the column and green the row, so that a crop says where in the picture it was cut."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.rint(np.arange(width) * 255 / (width - 1))
    picture[..., 1] = np.rint(np.arange(height) * 255 / (height - 1))[:, None]
    return picture


def read_line(colours: np.ndarray, length: int) -> Any:
    """Frame px = slope * picture px + start, from colours 0..1 of a ramp, without the repeats at its ends."""
    inside = (colours > 0.02) & (colours < 0.98)
    return np.polyfit(np.nonzero(inside)[0], colours[inside] * (length - 1), 1)


class Scene:
    """Two faces of known landmarks (68, 2) in pixels of the frame, which drift apart as `frame` goes on."""

    def __init__(self, template: np.ndarray, *, width: int = 640, height: int = 360) -> None:
        self.width, self.height, self.frame = width, height, 0
        middle = (template - template.mean(0)) / np.ptp(template, axis=0).max()
        zoom = width / 640
        self._faces = [
            middle * size * zoom + np.array(at) * zoom
            for size, at in ((106.3, (150.4, 160.7)), (127, (420, 190)))
        ]

    @property
    def picture(self) -> np.ndarray:
        return ramp_picture(self.width, self.height)

    def faces(self) -> list[np.ndarray]:
        step = np.array([1.37, 0.61]) * self.frame
        return [self._faces[0] - step, self._faces[1] + step]

    def boxes(self) -> np.ndarray:
        """(2, 4), as a detector draws them: from the brows to the chin, a bit wider than the landmarks."""
        return np.array(
            [[*face.min(0) - 0.1 * np.ptp(face), *face.max(0) + 0.1 * np.ptp(face)] for face in self.faces()]
        )


class KnownBoxes(nn.Module):
    """In place of S3FD: its twelve maps, with one sure cell for each face and a weaker one beside it."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene = scene

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        from face_alignment.detection.sfd.bbox import encode

        height, width = pictures.shape[2:]
        out = []
        for stride in STRIDES:
            rows, columns = -(-height // stride), -(-width // stride)
            scores = torch.full((1, 2, rows, columns), -9.0)
            scores[:, 0] = 9.0
            out += [scores, torch.zeros(1, 4, rows, columns)]
        # Mirrored to BGR, and less the mean colour of the pictures that it learnt from.
        seen = (pictures[0].double().numpy() + np.array([104, 117, 123])[:, None, None]) / 255
        across = read_line(np.median(seen[2], 0), self.scene.width)
        down = read_line(np.median(seen[1], 1), self.scene.height)
        boxes = (self.scene.boxes() - [across[1], down[1]] * 2) / np.array([across[0], down[0]] * 2)
        for box in boxes:
            middle = (box[:2] + box[2:]) / 2
            if not (0 < middle[0] < width and 0 < middle[1] < height):
                continue
            level = int(np.argmin([abs(np.log(4 * s / (box[2] - box[0]))) for s in STRIDES]))
            stride = STRIDES[level]
            column, row = (int((box[k] + box[k + 2]) / 2 / stride) for k in (0, 1))
            for near, logit in ((0, 4.0), (-1, 2.0)):
                prior = [
                    stride / 2 + (column + near) * stride,
                    stride / 2 + row * stride,
                    4.0 * stride,
                    4.0 * stride,
                ]
                told = encode(box[None], np.array([prior]), [0.1, 0.2])[0]
                out[2 * level][0, :, row, column + near] = torch.tensor([-logit, logit])
                out[2 * level + 1][0, :, row, column + near] = torch.from_numpy(told).float()
        return out


class KnownHeat(nn.Module):
    """In place of FAN: Gaussians at the known landmarks of the face in the middle of each crop.

    Where the crop was cut, and whether it is mirrored, is read from the colours of the ramp in it. The points
    of a mirrored face have the names of the other side, as a network gives them.
    """

    def __init__(self, scene: Scene, sigma: float = 1.7) -> None:
        super().__init__()
        self.scene, self.sigma = scene, sigma

    def forward(self, crops: torch.Tensor) -> list[torch.Tensor]:
        maps = torch.stack([self._maps(crop.double().cpu().numpy()) for crop in crops])
        return [torch.zeros_like(maps), maps]

    def _maps(self, crop: np.ndarray) -> torch.Tensor:
        from face_alignment.utils import shuffle_lr

        across = read_line(np.median(crop[0], 0), self.scene.width)
        down = read_line(np.median(crop[1], 1), self.scene.height)
        middle = [across[0] * 127.5 + across[1], down[0] * 127.5 + down[1]]
        face = min(self.scene.faces(), key=lambda each: float(np.hypot(*(each.mean(0) - middle))))
        at = np.stack([(face[:, 0] - across[1]) / across[0], (face[:, 1] - down[1]) / down[0]], 1)
        at = (at + 0.5) / 4 - 0.5
        rows, columns = np.mgrid[:HEAT, :HEAT]
        heat = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * self.sigma**2)) for x, y in at]
        maps = torch.from_numpy(np.stack(heat).astype(np.float32))
        return shuffle_lr(maps) if across[0] < 0 else maps
