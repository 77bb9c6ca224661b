"""Between code space pictures and network tensors: the one place that scales, clips and transposes."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def to_network(crop_code: np.ndarray, size: int, *, device: str | torch.device = "cpu") -> Tensor:
    """Crop (S, S, 3) code to (1, 3, size, size) in [-1, 1]. Clipped here and nowhere else; area averaged."""
    small = resize(np.clip(crop_code, 0, 1), size)
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None].to(device) * 2 - 1


def to_code(images: Tensor) -> np.ndarray:
    """(N, 3, R, R) in [-1, 1] to (N, R, R, 3) float32 code, unclamped."""
    return ((images.detach().float() + 1) / 2).permute(0, 2, 3, 1).cpu().contiguous().numpy()


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """A square picture at another size, float32: area average downwards, bilinear upwards."""
    if picture.shape[0] == size:
        return picture.astype(np.float32)
    how = cv2.INTER_AREA if size < picture.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(picture.astype(np.float32), (size, size), interpolation=how)
