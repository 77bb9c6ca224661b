"""LPIPS: how different two images look.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, version 0.1 on
AlexNet. State-dict names: `net.sliceN.*` and `linN.model.1.weight`, as the published package has them.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

CHANNELS = (64, 192, 384, 256, 256)
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


class AlexNet(nn.Module):
    """The five convolutions of AlexNet, each a slice that ends after its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.slice1 = _slice(("0", nn.Conv2d(3, c[0], 11, 4, 2)), ("1", nn.ReLU()))
        self.slice2 = _slice(
            ("2", nn.MaxPool2d(3, 2)), ("3", nn.Conv2d(c[0], c[1], 5, 1, 2)), ("4", nn.ReLU())
        )
        self.slice3 = _slice(
            ("5", nn.MaxPool2d(3, 2)), ("6", nn.Conv2d(c[1], c[2], 3, 1, 1)), ("7", nn.ReLU())
        )
        self.slice4 = _slice(("8", nn.Conv2d(c[2], c[3], 3, 1, 1)), ("9", nn.ReLU()))
        self.slice5 = _slice(("10", nn.Conv2d(c[3], c[4], 3, 1, 1)), ("11", nn.ReLU()))

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for part in (self.slice1, self.slice2, self.slice3, self.slice4, self.slice5):
            x = part(x)
            found.append(x)
        return found


class Lpips(nn.Module):
    """Weighted squared distance between unit feature vectors, averaged over the image, summed over layers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = AlexNet()
        for i, channels in enumerate(CHANNELS):
            # Position 1 keeps the published names: a dropout, which never acts here, comes first.
            self.add_module(f"lin{i}", _Weights(channels))

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (N, 3, H, W) in [-1, 1] to five maps of unit vectors."""
        shift, scale = (images.new_tensor(each).view(1, 3, 1, 1) for each in (SHIFT, SCALE))
        maps = self.net((images - shift) / scale)
        return tuple(_unit(x) for x in maps)

    def layers(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> list[Tensor]:
        """The distance in each layer, (N,) each, from two results of `features`."""
        pairs = zip(ours, theirs, strict=True)
        return [getattr(self, f"lin{i}")((a - b).square()).mean((1, 2, 3)) for i, (a, b) in enumerate(pairs)]

    def compare(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
        """Distance per image (N,) from two results of `features`."""
        return torch.stack(self.layers(ours, theirs)).sum(0)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance (N,) between images (N, 3, H, W) in [-1, 1]."""
        return self.compare(self.features(a), self.features(b))


class _Weights(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _slice(*layers: tuple[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def _unit(x: Tensor) -> Tensor:
    # torch's own norm has no finite gradient at a zero vector; dead ReLUs make whole columns of them.
    length = (x.square().sum(1, keepdim=True) + torch.finfo(x.dtype).tiny).sqrt()
    return x / (length + 1e-10)
