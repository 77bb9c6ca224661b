"""How far a picture is from its target: weighted absolute difference of pixels and of a Laplacian pyramid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stit_vfx.gan.geometry import double
from stit_vfx.shape.maps import CHANNELS, COVER

LEVELS = 5
_FINE, _FINE_GAIN = 3, 1.5  # the three finest bands weigh more: edges of lids, lips and teeth live there
_FACE, _FEATURES = 2.0, 4.0
_FEATURE_CHANNELS = [CHANNELS.index(name) for name in ("mouth", "teeth", "eye")]
_RIM_PX = 2  # lids and lips around eyes and mouth


def pixel_weights(maps: Tensor) -> Tensor:
    """(N, 1, R, R) from conditioning maps: 1, on the face 2, on eyes and mouth 4."""
    features = maps[:, _FEATURE_CHANNELS].amax(1, keepdim=True)
    features = F.max_pool2d(features, 2 * _RIM_PX + 1, stride=1, padding=_RIM_PX)
    face = 1 + (_FACE - 1) * maps[:, COVER : COVER + 1]
    return torch.maximum(face, _FEATURES * features)


def laplacian(x: Tensor, levels: int = LEVELS) -> list[Tensor]:
    """Bands, finest first; the last is what is left, at 1/2^(levels-1) of the size."""
    bands = []
    for _ in range(levels - 1):
        small = F.avg_pool2d(x, 2)
        bands.append(x - double(small))
        x = small
    return [*bands, x]


def picture_loss(ours: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Scalar; `weights` (N, 1, R, R) of `pixel_weights`."""
    difference = ours - target
    total = (difference.abs() * weights).mean()
    for k, band in enumerate(laplacian(difference)):
        gain = _FINE_GAIN if k < _FINE else 1.0
        total = total + gain * (band.abs() * F.avg_pool2d(weights, 2**k)).mean()
    return total


def psnr(ours: Tensor, target: Tensor, mask: Tensor) -> float:
    """Decibels of images in [-1, 1] within a mask (N, 1, R, R), averaged over the images."""
    error = ((ours - target).square() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3))).clamp_min(1)
    return float((10 * torch.log10(4 / error.clamp_min(1e-10))).mean())
