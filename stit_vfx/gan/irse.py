"""The residual body with squeeze-and-excitation that the encoder and the identity network share.

IR-SE50 of ArcFace (Deng et al. 2019; Hu et al. 2018), with the state-dict names of published checkpoints:
`input_layer.*`, `body.K.shortcut_layer.*`, `body.K.res_layer.*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class BodyConfig:
    """Widths and depths of the four groups, each of which halves the size. The defaults are IR-SE50."""

    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    depths: tuple[int, int, int, int] = (3, 4, 14, 3)
    reduction: int = 16

    def last_unit(self, group: int) -> int:
        """Index in the body of the last unit of a group."""
        return sum(self.depths[: group + 1]) - 1


class SqueezeExcite(nn.Module):
    """Scale every channel by what all channels' means say."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))


class Unit(nn.Module):
    """Pre-normalised residual unit; no activation after the sum."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, reduction: int = 16) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module
        if inputs == outputs:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcite(outputs, reduction),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut_layer(x) + self.res_layer(x)


class Body(nn.Module):
    """Stem and units. Base class of the networks, so that their state dicts have no prefix."""

    def __init__(self, config: BodyConfig) -> None:
        super().__init__()
        first = config.widths[0]
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.PReLU(first)
        )
        self.body = nn.Sequential(*_units(config))

    def taps(self, x: Tensor, after: Iterable[int]) -> list[Tensor]:
        """Features after the units of these indices, in order."""
        wanted, found = set(after), []
        x = self.input_layer(x)
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index in wanted:
                found.append(x)
        return found


def _units(config: BodyConfig) -> list[Unit]:
    units, inputs = [], config.widths[0]
    for width, depth in zip(config.widths, config.depths, strict=True):
        for i in range(depth):
            units.append(Unit(inputs, width, stride=2 if i == 0 else 1, reduction=config.reduction))
            inputs = width
    return units
