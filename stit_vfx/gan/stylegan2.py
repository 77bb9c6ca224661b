"""StyleGAN2, the generator of plain packs.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, in the configuration with skip
connections. State-dict names are those of published checkpoints: `mapping.fc0.weight`, `mapping.w_avg`,
`synthesis.b8.conv0.affine.weight` and so on. Noise maps are buffers; everything else trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from stit_vfx.gan.ops import (
    FullyConnected,
    bias_act,
    make_filter,
    modulated_conv2d,
    normalise_2nd_moment,
    upsample2d,
)

Noise = Literal["const", "none", "random"]


@dataclass(frozen=True)
class GeneratorConfig:
    """Size of a generator. The defaults are config-f; `channel_base // resolution` channels, at most `_max`.

    `channels`, from 4 px up, takes the place of that rule where a generator follows none. `mapping_lr` is the
    rate of the mapping's layers, which scales their stored weights. The finest `num_fp16_res` resolutions may
    run in half precision, then `conv_clamp` should be set (256 is usual); it also acts in single precision.
    """

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_lr: float = 0.01
    channel_base: int = 32768
    channel_max: int = 512
    channels: tuple[int, ...] | None = None
    num_fp16_res: int = 0
    conv_clamp: float | None = None

    @property
    def resolutions(self) -> tuple[int, ...]:
        return tuple(2**k for k in range(2, self.resolution.bit_length()))

    @property
    def num_ws(self) -> int:
        return 2 * len(self.resolutions)

    def channels_at(self, resolution: int) -> int:
        if self.channels is not None:
            return self.channels[self.resolutions.index(resolution)]
        return min(self.channel_base // resolution, self.channel_max)

    def half(self, resolution: int) -> bool:
        """Whether this resolution runs in half precision, where that is asked for."""
        finest = self.resolution.bit_length() - 1
        return resolution >= max(8, 2 ** (finest + 1 - self.num_fp16_res))


class Mapping(nn.Module):
    """z to w: normalise, then fully connected layers that learn slower than the rest."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.layers, self.num_ws = config.mapping_layers, config.num_ws
        for i in range(self.layers):
            inputs = config.z_dim if i == 0 else config.w_dim
            self.add_module(f"fc{i}", FullyConnected(inputs, config.w_dim, act="lrelu", lr=config.mapping_lr))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, *, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """(N, z_dim) to (N, num_ws, w_dim), the first `cutoff` rows pulled to the average by `psi`."""
        w = normalise_2nd_moment(z)
        for i in range(self.layers):
            w = getattr(self, f"fc{i}")(w)
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if psi == 1.0:
            return ws
        rows = slice(None, cutoff)
        return torch.cat([self.w_avg.lerp(ws[:, rows], psi), ws[:, ws[:, rows].shape[1] :]], 1)


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU. `up` doubles the size."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, *, config: GeneratorConfig, resolution: int, up: bool
    ) -> None:
        super().__init__()
        self.up, self.clamp = up, config.conv_clamp
        self.affine = FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", make_filter())

    def forward(self, x: Tensor, styles: Tensor, noise: Noise) -> Tensor:
        y = modulated_conv2d(x, self.weight, styles, up_taps=self.resample_filter if self.up else None)
        if noise != "none":
            y = y + (self._noise(y, noise) * self.noise_strength).to(y.dtype)
        return bias_act(y, self.bias, act="lrelu", clamp=self.clamp)

    def _noise(self, like: Tensor, noise: Noise) -> Tensor:
        if noise == "const":
            return self.noise_const
        return torch.randn(like.shape[0], 1, *like.shape[2:], device=like.device)


class ToRGB(nn.Module):
    """1x1 modulated convolution to an image, without demodulation."""

    def __init__(self, inputs: int, *, config: GeneratorConfig) -> None:
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        gain = self.weight[0].numel() ** -0.5
        y = modulated_conv2d(x, self.weight, styles * gain, demodulate=False)
        return bias_act(y, self.bias, clamp=self.clamp)


class Block(nn.Module):
    """One resolution: up-convolution (not at 4), convolution, and the image so far plus this block's."""

    resample_filter: Tensor

    def __init__(self, resolution: int, *, config: GeneratorConfig) -> None:
        super().__init__()
        outputs = config.channels_at(resolution)
        self.first = resolution == 4
        self.register_buffer("resample_filter", make_filter())
        if self.first:
            self.const = nn.Parameter(torch.randn(outputs, 4, 4))
        else:
            inputs = config.channels_at(resolution // 2)
            self.conv0 = SynthesisLayer(inputs, outputs, config=config, resolution=resolution, up=True)
        self.conv1 = SynthesisLayer(outputs, outputs, config=config, resolution=resolution, up=False)
        self.torgb = ToRGB(outputs, config=config)

    def layers(self) -> list[SynthesisLayer | ToRGB]:
        """In the order of the style vectors."""
        return [self.conv1, self.torgb] if self.first else [self.conv0, self.conv1, self.torgb]

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        styles: list[Tensor],
        *,
        noise: Noise,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        if x is None:
            x = self.const.expand(styles[0].shape[0], -1, -1, -1)
        x = x.to(dtype, memory_format=torch.channels_last)
        if not self.first:
            x = self.conv0(x, styles[0], noise)
        x = self.conv1(x, styles[-2], noise)
        rgb = self.torgb(x, styles[-1]).float()
        return x, rgb if image is None else upsample2d(image, self.resample_filter) + rgb


class Synthesis(nn.Module):
    """Rows of w to an image, by way of style vectors."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for resolution in config.resolutions:
            self.add_module(f"b{resolution}", Block(resolution, config=config))

    def blocks(self) -> list[tuple[int, Block]]:
        return [(r, getattr(self, f"b{r}")) for r in self.config.resolutions]

    def style_layers(self) -> list[SynthesisLayer | ToRGB]:
        """b4.conv1, b4.torgb, then conv0, conv1, torgb of every block."""
        return [layer for _, block in self.blocks() for layer in block.layers()]

    def style_sizes(self) -> list[int]:
        """Channels of each style vector; 26 vectors and 9088 channels at 1024."""
        return [layer.weight.shape[1] for layer in self.style_layers()]

    def style_rows(self) -> list[int]:
        """The row of W+ that each style vector is made from.

        The toRGB of a block shares its row with the next block's conv0.
        """
        rows: list[int] = []
        row = 0
        for _, block in self.blocks():
            convs = len(block.layers()) - 1
            rows += range(row, row + convs + 1)
            row += convs
        return rows

    def channel_rows(self) -> np.ndarray:
        """(style channels,): the row of W+ that each one is made from."""
        return np.repeat(self.style_rows(), self.style_sizes())

    def styles(self, ws: Tensor) -> list[Tensor]:
        """The style vectors (N, channels) that rows `ws` (N, num_ws, w_dim) ask for."""
        ws = ws.float()
        layers = zip(self.style_layers(), self.style_rows(), strict=True)
        return [layer.affine(ws[:, row]) for layer, row in layers]

    def render(self, styles: list[Tensor], *, noise: Noise = "const", half: bool = False) -> Tensor:
        """Style vectors to the image (N, 3, R, R), float32. `half` uses the configured mixed precision."""
        x: Tensor | None = None
        image: Tensor | None = None
        left = list(styles)
        for resolution, block in self.blocks():
            count = len(block.layers())
            own, left = left[:count], left[count:]
            dtype = torch.float16 if half and self.config.half(resolution) else torch.float32
            x, image = block(x, image, own, noise=noise, dtype=dtype)
        assert image is not None
        return image

    def forward(
        self, ws: Tensor, *, noise: Noise = "const", style: Tensor | None = None, half: bool = False
    ) -> Tensor:
        """Rows (N, num_ws, w_dim) to the image; `style` (N, channels) is added to all style vectors."""
        styles = self.styles(ws)
        if style is not None:
            styles = [a + b for a, b in zip(styles, style.split(self.style_sizes(), 1), strict=True)]
        return self.render(styles, noise=noise, half=half)


class Generator(nn.Module):
    """Mapping and synthesis under the names of published checkpoints."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
