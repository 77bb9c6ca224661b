"""How different two pictures look to a network that knows faces.

The arithmetic of R. Zhang, P. Isola, A. Efros, E. Shechtman, O. Wang, "The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric", 2018 (LPIPS), with all its weights one, which they measured as well; on the
features of the network with which the built-in pack reads crops. Its numbers are comparable with one another
only, and not with published LPIPS.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stit_vfx.gan.face_reader import FaceReader
from stit_vfx.packs.reader import CropReader

Array = np.ndarray


def distance(ours: Array, theirs: Array) -> float:
    """Of two crops of a face (S, S, 3), code 0..1: 0 where equal, 2 at most.

    Both are seen at the size that the network was trained at; what is finer than its pixels does not count.
    """
    reader = _reader()
    pairs = zip(*(_depths(reader.network, _seen(each, reader.size)) for each in (ours, theirs)), strict=True)
    return float(np.mean([(a - b).square().sum(1).mean().item() for a, b in pairs]))


def _seen(crop_code: Array, size: int) -> Tensor:
    """(1, 3, size, size) in -1..1."""
    picture = np.clip(crop_code, 0, 1).astype(np.float32)
    if len(picture) != size:
        way = cv2.INTER_AREA if len(picture) > size else cv2.INTER_LINEAR
        picture = cv2.resize(picture, (size, size), interpolation=way)
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None] * 2 - 1


@torch.inference_mode()
def _depths(network: FaceReader, crop: Tensor) -> list[Tensor]:
    """Features at a half, a quarter ... of the crop's size, each pixel's a vector of length one, or zero."""
    maps = [F.relu(network.stem(crop))]
    for block in network.down:
        maps.append(block(maps[-1]))
    return [F.normalize(each, dim=1, eps=1e-10) for each in maps]


@cache
def _reader() -> CropReader:
    return CropReader.own()[0]
