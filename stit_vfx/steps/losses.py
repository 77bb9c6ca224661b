"""What the tune and stitch steps bring down. Images are (N, 3, H, W) in [-1, 1], results one number."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stit_vfx.packs.model import Perceptual

# Beyond this size a perceptual network on a processor costs more than the generator does.
PERCEPTUAL_PX = 256
LEVELS = 4


def masked_distance(a: Tensor, b: Tensor, mask: Tensor, *, l1: bool = False) -> Tensor:
    """Published stitching distance: summed over three channels, divided by the one-channel mask's area.

    Three times a mean, and fractional mask pixels count squared; published thresholds are in these units.
    An empty mask gives 0.
    """
    difference = (a - b) * mask
    total = difference.abs().sum() if l1 else difference.square().sum()
    return total / mask.sum().clamp_min(1.0)


def pyramid_distance(difference: Tensor, levels: int = LEVELS) -> Tensor:
    """Mean absolute difference in each band of a Laplacian pyramid, summed; the finest bands weigh most.

    A plain mean square lets fine detail blur first; this does not. The pyramid is linear, so it is built of
    the difference alone.
    """
    total = difference.new_zeros(())
    for _ in range(levels):
        coarse = F.avg_pool2d(difference, 2)
        band = difference - F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        total = total + band.abs().mean()
        difference = coarse
    return total + difference.abs().mean()


def seen_by(perceptual: Perceptual, images: Tensor, limit_px: int | None) -> tuple[Tensor, ...]:
    """Features of images, area averaged down to `limit_px` first if they are larger."""
    if limit_px is not None and images.shape[-1] > limit_px:
        images = F.interpolate(images, (limit_px, limit_px), mode="area")
    return perceptual.features(images)


def numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    """Losses as plain numbers; waits for the device once."""
    values = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
    return dict(zip(losses, values, strict=True))
