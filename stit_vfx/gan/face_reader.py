"""One small network that reads a crop: where the 68 landmarks are, and what each pixel shows.

A U-Net after Ronneberger et al. 2015; landmarks are expected places under heat maps (Sun et al., "Integral
Human Pose Regression", 2018), which gives them sub-pixel places without a search.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LANDMARKS = 68


@dataclass(frozen=True)
class ReaderConfig:
    """`widths`: channels at a half, a quarter ... of the input's size; `labels`: kinds of pixels."""

    labels: int
    widths: tuple[int, ...] = (24, 48, 96, 144, 192)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `stride` halves the size."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm0 = nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm0(self.conv0(x)))
        return F.relu(self.norm1(self.conv1(y)) + self.skip(x))


class Merge(nn.Module):
    """The coarser map, doubled, beside the finer one, and one convolution over both."""

    def __init__(self, coarse: int, fine: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(coarse + fine, outputs, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        large = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        return F.relu(self.norm(self.conv(torch.cat([large, fine], 1))))


class FaceReader(nn.Module):
    """Crops (N, 3, S, S) in [-1, 1], S a multiple of 32, to landmarks and labels."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        w = config.widths
        self.stem = nn.Conv2d(3, w[0], 5, 2, 2)
        self.down = nn.ModuleList(Residual(a, b, 2) for a, b in pairwise(w))
        self.up = nn.ModuleList(Merge(w[i + 1], w[i], w[i]) for i in reversed(range(len(w) - 1)))
        self.heat = nn.Conv2d(w[1], LANDMARKS, 1)
        self.label = nn.Conv2d(w[0], config.labels, 3, 1, 1)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Heat maps (N, 68, S/4, S/4) and label scores (N, labels, S/2, S/2)."""
        maps = [F.relu(self.stem(crops))]
        for block in self.down:
            maps.append(block(maps[-1]))
        x = maps[-1]
        quarter = x
        for block, fine in zip(self.up, reversed(maps[:-1]), strict=True):
            quarter, x = x, block(x, fine)
        return self.heat(quarter), self.label(x)


def places(heat: Tensor) -> tuple[Tensor, Tensor]:
    """Expected places (N, 68, 2) in -0.5..0.5 of the crop's side, x then y, and their spread (N, 68)."""
    count, marks, height, width = heat.shape
    share = heat.float().flatten(2).softmax(-1).view(count, marks, height, width)
    across = (torch.arange(width, device=heat.device) + 0.5) / width - 0.5
    along = (torch.arange(height, device=heat.device) + 0.5) / height - 0.5
    x, y = (share.sum(2) * across).sum(-1), (share.sum(3) * along).sum(-1)
    spread = (share.sum(2) * across**2).sum(-1) + (share.sum(3) * along**2).sum(-1) - x * x - y * y
    return torch.stack([x, y], -1), spread
