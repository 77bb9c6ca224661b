"""How large a StyleGAN2 generator is, read off its tensors, and the tensors that one of that size has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert.weight import Shape
from stit_vfx.packs.schema import PlainGenerator

LARGEST_PX = 2048
MOST_LAYERS = 64
_CHANNEL_KEYS = ("conv1.bias", "conv0.bias", "conv1.weight")


@dataclass(frozen=True, kw_only=True)
class GeneratorSizes:
    """`channels` by resolution, from 4 px up. The rest as in pack.json."""

    z_dim: int
    w_dim: int
    mapping_layers: int
    channels: tuple[int, ...]
    mapping_lr: float = 0.01
    num_fp16_res: int = 0
    conv_clamp: float | None = None

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> GeneratorSizes:
        """From what `settings` gives."""
        plain: Any = {key: tuple(each) if isinstance(each, list) else each for key, each in settings.items()}
        return cls.of_section(PlainGenerator(file="generator.safetensors", **plain))

    @classmethod
    def of_section(cls, section: PlainGenerator) -> GeneratorSizes:
        """From a pack's `generator` section."""
        pixels = [2**k for k in range(2, section.resolution.bit_length())]
        rule = tuple(min(section.channel_base // r, section.channel_max) for r in pixels)
        return cls(
            z_dim=section.z_dim,
            w_dim=section.w_dim,
            mapping_layers=section.mapping_layers,
            channels=section.channels or rule,
            mapping_lr=section.mapping_lr,
            num_fp16_res=section.num_fp16_res,
            conv_clamp=section.conv_clamp,
        )

    @property
    def resolutions(self) -> tuple[int, ...]:
        return tuple(4 << level for level in range(len(self.channels)))

    @property
    def num_ws(self) -> int:
        return 2 * len(self.channels)

    def conv_inputs(self) -> list[tuple[bool, int]]:
        """Whether each layer in the order of the style vectors is a convolution, and its input channels."""
        layers = [(True, self.channels[0]), (False, self.channels[0])]
        for before, here in zip(self.channels, self.channels[1:], strict=False):
            layers += [(True, before), (True, here), (False, here)]
        return layers

    def settings(self) -> dict[str, Any]:
        """The `generator` section of pack.json, without its file."""
        known = {
            "arch": "stylegan2",
            "resolution": self.resolutions[-1],
            "num_ws": self.num_ws,
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "mapping_layers": self.mapping_layers,
            "mapping_lr": self.mapping_lr,
            "num_fp16_res": self.num_fp16_res,
            "conv_clamp": self.conv_clamp,
        }
        return known | self._channel_rule()

    def _channel_rule(self) -> dict[str, Any]:
        """`channel_base` and `channel_max` where they say it all; else the table."""
        largest = max(self.channels)
        base = self.channels[-1] * self.resolutions[-1]
        if all(min(base // r, largest) == c for r, c in zip(self.resolutions, self.channels, strict=True)):
            return {"channel_base": base, "channel_max": largest}
        return {"channels": list(self.channels)}

    def shapes(self) -> dict[str, Shape]:
        """Every tensor of the generator and its shape."""
        wanted: dict[str, Shape] = {"mapping.w_avg": (self.w_dim,)}
        for layer in range(self.mapping_layers):
            inputs = self.z_dim if layer == 0 else self.w_dim
            wanted[f"mapping.fc{layer}.weight"] = (self.w_dim, inputs)
            wanted[f"mapping.fc{layer}.bias"] = (self.w_dim,)
        wanted["synthesis.b4.const"] = (self.channels[0], 4, 4)
        for level, (resolution, outputs) in enumerate(zip(self.resolutions, self.channels, strict=True)):
            before = None if level == 0 else self.channels[level - 1]
            wanted |= self._block(f"synthesis.b{resolution}.", resolution, before, outputs)
        return wanted

    def _block(self, prefix: str, resolution: int, inputs: int | None, outputs: int) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {f"{prefix}resample_filter": (4, 4)}
        convs = {"conv1": outputs} if inputs is None else {"conv0": inputs, "conv1": outputs}
        for name, entering in convs.items():
            layer = self._layer(entering, (outputs, entering, 3, 3), outputs)
            layer |= {"noise_strength": (), "noise_const": (resolution, resolution)}
            layer["resample_filter"] = (4, 4)
            shapes |= {f"{prefix}{name}.{key}": shape for key, shape in layer.items()}
        torgb = self._layer(outputs, (3, outputs, 1, 1), 3)
        return shapes | {f"{prefix}torgb.{key}": shape for key, shape in torgb.items()}

    def _layer(self, inputs: int, weight: Shape, outputs: int) -> dict[str, Shape]:
        affine: dict[str, Shape] = {"affine.weight": (inputs, self.w_dim), "affine.bias": (inputs,)}
        return affine | {"weight": weight, "bias": (outputs,)}


def read_sizes(shapes: Mapping[str, Shape], *, path: Path, spoken: Any = str) -> GeneratorSizes:
    """Sizes from shapes under the pack's own names of tensors.

    spoken  from such a name to the file's, for errors
    Raises PackSourceError where the tensors that tell the sizes are not there.
    """
    pixels = {int(found[1]) for name in shapes if (found := re.match(r"synthesis\.b(\d{1,5})\.", name))}
    largest = max(pixels, default=0)
    if not 8 <= largest <= LARGEST_PX or largest & (largest - 1):
        raise PackSourceError(f"has layers for {largest} px where 8 to {LARGEST_PX} are read", where=path)
    layers = {int(found[1]) for name in shapes if (found := re.match(r"mapping\.fc(\d{1,3})\.", name))}
    first = shapes.get("mapping.fc0.weight")
    if first is None or len(first) != 2 or not all(first) or max(layers) >= MOST_LAYERS:
        raise PackSourceError(
            f"has no {spoken('mapping.fc0.weight')}, the first layer from z to w",
            where=path,
            hint="A generator without its mapping network is not read",
        )
    levels = [4 << level for level in range(largest.bit_length() - 2)]
    channels = tuple(_channels(resolution, shapes, path, spoken) for resolution in levels)
    return GeneratorSizes(z_dim=first[1], w_dim=first[0], mapping_layers=max(layers) + 1, channels=channels)


def _channels(resolution: int, shapes: Mapping[str, Shape], path: Path, spoken: Any) -> int:
    prefix = f"synthesis.b{resolution}."
    for key in _CHANNEL_KEYS:
        if (shape := shapes.get(prefix + key)) and shape[0]:
            return shape[0]
    raise PackSourceError(f"has no {spoken(prefix + 'conv1.bias')}", where=path, hint="The file is not whole")


def is_stylegan2(names: Sequence[str] | Mapping[str, Any]) -> bool:
    """Whether names are those of a StyleGAN2 generator, even one that misses some."""
    return (
        sum(key in names for key in ("synthesis.b4.const", "mapping.w_avg", "synthesis.b8.conv0.weight")) > 1
    )
