"""A StyleGAN2 synthesis that is told the face's geometry, and the encoder that goes with it.

At every resolution the generator also sees maps of the fitted shape (position on the neutral face, normals,
parts), so that shape and expression come from geometry and the rows of w carry appearance. The maps enter
through a small convolution, concatenated to the features before the second modulated convolution.
The encoder predicts one w and an offset per row, as e4e does (Tov et al., "Designing an Encoder for StyleGAN
Image Manipulation", 2021).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stit_vfx.gan.stylegan2 import GeneratorConfig, Noise, SynthesisLayer, ToRGB

_FREQUENCIES = (3.5, 8.0, 18.0)  # radians per unit of position: a lip is about 0.1 high
_SQUEEZED = 32  # channels of the coarsest features that keep their place


@dataclass(frozen=True)
class GeometryConfig:
    """`maps` channels come in: the first `position` of them are the place on the neutral face, about -1..1.

    `cover` is the channel that is 1 on the shape and 0 off it. The encoder looks at pictures `seen` px wide:
    larger ones are averaged down.
    """

    resolution: int = 128
    w_dim: int = 192
    channel_base: int = 3072
    channel_max: int = 192
    injected: int = 24
    maps: int = 10
    position: int = 3
    cover: int = 6
    seen: int = 128

    @property
    def plain(self) -> GeneratorConfig:
        """The same sizes without geometry."""
        return GeneratorConfig(
            self.resolution, w_dim=self.w_dim, channel_base=self.channel_base, channel_max=self.channel_max
        )

    @property
    def encoder_size(self) -> int:
        """Width of what the encoder looks at, in pixels."""
        return min(self.resolution, self.seen)

    @property
    def num_ws(self) -> int:
        return self.plain.num_ws

    @property
    def features(self) -> int:
        """Channels after the Fourier features."""
        return self.maps + 2 * len(_FREQUENCIES) * self.position

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def map_features(maps: Tensor, config: GeometryConfig) -> Tensor:
    """Maps (N, C, R, R) and sines and cosines of the position, 0 off the shape (Tancik et al. 2020)."""
    place = maps[:, : config.position]
    inside = maps[:, config.cover : config.cover + 1]
    waves = [f(place * k) * inside for k in _FREQUENCIES for f in (torch.sin, torch.cos)]
    return torch.cat([maps, *waves], 1)


def map_pyramid(features: Tensor, levels: int) -> list[Tensor]:
    """Coarsest first, each the area average of the next."""
    out = [features]
    for _ in range(levels - 1):
        out.append(F.avg_pool2d(out[-1], 2))
    return out[::-1]


def double(x: Tensor) -> Tensor:
    """Twice the size, bilinear, corners at -0.5."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class GeometryBlock(nn.Module):
    """One resolution: convolution at half the size, bilinear doubling, maps in, convolution, skip image.

    Doubling after the first convolution and its activation costs a third of an up-convolution on a processor.
    """

    def __init__(self, resolution: int, *, config: GeometryConfig) -> None:
        super().__init__()
        plain = config.plain
        inputs, outputs = plain.channels_at(resolution // 2), plain.channels_at(resolution)
        self.conv0 = SynthesisLayer(inputs, outputs, config=plain, resolution=resolution // 2, up=False)
        injected = min(config.injected, outputs // 2)
        self.inject = nn.Conv2d(config.features, injected, 3, padding=1)
        self.conv1 = SynthesisLayer(
            outputs + injected, outputs, config=plain, resolution=resolution, up=False
        )
        self.torgb = ToRGB(outputs, config=plain)

    def forward(
        self, x: Tensor, image: Tensor | None, ws: tuple[Tensor, ...], maps: Tensor, *, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """`ws`: the three rows (N, w_dim) of conv0, conv1 and torgb."""
        x = self.conv0(x, self.conv0.affine(ws[0]), noise)
        x = torch.cat([double(x), F.leaky_relu(self.inject(maps), 0.2)], 1)
        x = self.conv1(x, self.conv1.affine(ws[1]), noise)
        rgb = self.torgb(x, self.torgb.affine(ws[2]))
        return x, rgb if image is None else double(image) + rgb


class GeometrySynthesis(nn.Module):
    """Rows of w (N, num_ws, w_dim) and maps (N, C, R, R) to an image (N, 3, R, R), about [-1, 1], unclamped.

    `w_avg` is the mean w of the encoder over the training faces.
    """

    w_avg: Tensor

    def __init__(self, config: GeometryConfig) -> None:
        super().__init__()
        self.config = config
        plain = config.plain
        outputs = plain.channels_at(4)
        self.const = nn.Parameter(torch.randn(outputs, 4, 4))
        self.conv = SynthesisLayer(outputs, outputs, config=plain, resolution=4, up=False)
        for resolution in plain.resolutions[1:]:
            self.add_module(f"b{resolution}", GeometryBlock(resolution, config=config))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def blocks(self) -> list[GeometryBlock]:
        return [getattr(self, f"b{r}") for r in self.config.plain.resolutions[1:]]

    def forward(self, ws: Tensor, maps: Tensor, noise: Noise = "const") -> Tensor:
        blocks = self.blocks()
        pyramid = map_pyramid(map_features(maps, self.config), len(blocks))
        x = self.const.expand(len(ws), -1, -1, -1)
        x = self.conv(x, self.conv.affine(ws[:, 0]), noise)
        image: Tensor | None = None
        for k, (block, level) in enumerate(zip(blocks, pyramid, strict=True)):
            rows = (ws[:, 1 + 2 * k], ws[:, 2 + 2 * k], ws[:, 3 + 2 * k])
            x, image = block(x, image, rows, level, noise=noise)
        assert image is not None
        return image


class GeometryEncoder(nn.Module):
    """Crop (N, 3, R, R) in [-1, 1] and maps (N, C, R, R) to rows of w (N, num_ws, w_dim).

    Features of all scales are averaged over the face and over the whole crop, so that hair, skin and backdrop
    reach w wherever they are.
    """

    def __init__(self, config: GeometryConfig, *, widths: tuple[int, ...] = (32, 64, 128, 224, 288)) -> None:
        super().__init__()
        self.config = config
        inputs = [3 + config.maps, *widths]
        self.stages = nn.ModuleList(_stage(a, b) for a, b in zip(inputs[:-1], widths, strict=True))
        cells = max(1, config.encoder_size >> len(widths)) ** 2
        pooled = 2 * sum(widths[1:]) + cells * _SQUEEZED
        self.squeeze = nn.Conv2d(widths[-1], _SQUEEZED, 1)
        self.trunk = nn.Sequential(nn.Linear(pooled, 512), nn.SiLU())
        self.base = nn.Linear(512, config.w_dim)
        self.deltas = nn.Linear(512, config.num_ws * config.w_dim)
        nn.init.zeros_(self.deltas.weight)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, crop: Tensor, maps: Tensor) -> Tensor:
        base, deltas = self.split(crop, maps)
        return base[:, None] + deltas

    def split(self, crop: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The w (N, w_dim) and the offsets (N, num_ws, w_dim) apart."""
        if (factor := crop.shape[3] // self.config.encoder_size) > 1:
            crop, maps = (F.avg_pool2d(each, factor) for each in (crop, maps))
        x = torch.cat([crop, maps], 1)
        inside = maps[:, self.config.cover : self.config.cover + 1]
        pooled = []
        for k, stage in enumerate(self.stages):
            x = stage(x)
            if k:
                share = F.adaptive_avg_pool2d(inside, x.shape[2:])
                pooled += [x.mean((2, 3)), _mean_inside(x, share)]
        pooled.append(self.squeeze(x).flatten(1))
        hidden = self.trunk(torch.cat(pooled, 1))
        return self.base(hidden), self.deltas(hidden).view(len(crop), self.config.num_ws, -1)


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    """Half the size: a strided convolution, then one that looks around."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
        nn.GroupNorm(8, outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, groups=2),
        nn.GroupNorm(8, outputs),
        nn.SiLU(),
    )


def _mean_inside(x: Tensor, inside: Tensor) -> Tensor:
    """(N, C) mean weighted by the share of each cell that the face covers."""
    return (x * inside).sum((2, 3)) / (inside.sum((2, 3)) + 1e-3)
