"""e4e and pSp: from a crop to rows of w.

pSp: Richardson et al., "Encoding in Style", 2021: a row for each layer. e4e: Tov et al., "Designing an
Encoder for StyleGAN Image Manipulation", 2021: the same network, whose first row is a base for all layers and
whose other rows are small offsets to it. State-dict names are those of the published checkpoints' `encoder.`
part, plus `latent_avg`, which is zero for encoders that do not start from the average.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stit_vfx.gan.irse import Body, BodyConfig
from stit_vfx.gan.ops import FullyConnected

INPUT_SIZE = 256


@dataclass(frozen=True)
class EncoderConfig:
    """`num_ws` rows of `w_dim`; `body` narrows the trunk. The defaults are the published network at 1024."""

    num_ws: int = 18
    w_dim: int = 512
    body: BodyConfig = field(default_factory=BodyConfig)
    arch: Literal["e4e", "psp"] = "e4e"


class StyleHead(nn.Module):
    """Halve a feature map down to one vector: strided convolutions, then a linear layer."""

    def __init__(self, inputs: int, outputs: int, *, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(size.bit_length() - 1):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.01)]
            inputs = outputs
        self.convs = nn.Sequential(*layers)
        self.linear = FullyConnected(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class Encoder(Body):
    """Coarse rows read the coarsest features (16 px), middle rows 32 px, fine rows 64 px."""

    latent_avg: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config.body)
        self.config = config
        _, fine, middle, coarse = config.body.widths
        sizes = [16 << _level(i) for i in range(config.num_ws)]
        self.styles = nn.ModuleList(StyleHead(coarse, config.w_dim, size=size) for size in sizes)
        self.latlayer1 = nn.Conv2d(middle, coarse, 1)
        self.latlayer2 = nn.Conv2d(fine, coarse, 1)
        self.register_buffer("latent_avg", torch.zeros(config.num_ws, config.w_dim))

    def forward(self, crops: Tensor, *, stage: int | None = None) -> Tensor:
        """Crops (N, 3, H, W) in [-1, 1] to (N, num_ws, w_dim).

        Crops of another size are resized to 256 with an antialiased bilinear filter; published pivots made
        with older image libraries, which did not antialias, differ a little. Only the first `stage` offsets
        of an e4e are added if it is given, as during its progressive training.
        """
        features = self._pyramid(resize(crops))
        rows = [
            head(features[_level(i)]) for i, head in enumerate(self.styles) if stage is None or i <= stage
        ]
        if self.config.arch == "e4e":
            base, *offsets = rows
            rows = [base, *(base + offset for offset in offsets)]
            rows += [base] * (self.config.num_ws - len(rows))
        return torch.stack(rows, 1) + self.latent_avg

    def _pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        body = self.config.body
        fine, middle, coarse = self.taps(x, [body.last_unit(group) for group in (1, 2, 3)])
        p2 = upsample_add(coarse, self.latlayer1(middle))
        return coarse, p2, upsample_add(p2, self.latlayer2(fine))


def _level(row: int) -> int:
    """Which level of the pyramid a row reads: 0 the coarsest."""
    return 0 if row < 3 else 1 if row < 7 else 2


def upsample_add(coarse: Tensor, fine: Tensor) -> Tensor:
    """`coarse` stretched corner to corner over `fine`, plus `fine`."""
    return F.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=True) + fine


def resize(crops: Tensor, size: int = INPUT_SIZE) -> Tensor:
    """To (N, 3, size, size), half-pixel centres, antialiased."""
    if crops.shape[-1] == size and crops.shape[-2] == size:
        return crops
    return F.interpolate(crops, (size, size), mode="bilinear", antialias=True)
