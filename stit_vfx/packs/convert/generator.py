"""The end that all StyleGAN2 formats share: from tensors under the pack's names to the generator's part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stit_vfx.gan.ops import FullyConnected, make_filter, normalise_2nd_moment
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.sizes import GeneratorSizes, read_sizes
from stit_vfx.packs.convert.weight import Weight, constant, fitted, shapes_of

WHAT = "a StyleGAN2 generator with skip connections"
# The mean of w: its error is about 1 % of w's own spread.
DRAWN = 16384
SEED = 0
AVERAGE_NOTE = f"the file has no average w; it was computed from {DRAWN} random z"
NOISE_NOTE = "the file has no noise maps; they were drawn from a fixed seed"
NO_NOISE_NOTE = "the generator was made without noise"


def generator_part(
    weights: Mapping[str, Weight],
    *,
    path: Path,
    sha256: str,
    kind: str,
    what: str,
    spoken: Callable[[str], str] = str,
    notes: tuple[str, ...] = (),
    spare: bool = False,
    **known: Any,
) -> Part:
    """The part of a generator whose tensors already have the pack's names.

    spoken  from such a name to the file's, for errors
    known   fields of GeneratorSizes that no shape tells
    What a file may lack without loss is made up for, and a note says so. Raises PackSourceError.
    """
    sizes = replace(read_sizes(shapes_of(weights), path=path, spoken=spoken), **known)
    there, more = _completed(dict(weights), sizes)
    whole = fitted(there, sizes.shapes(), path=path, what=WHAT, spoken=spoken)
    return Part(
        "generator",
        kind,
        f"{what}, {sizes.resolutions[-1]} px",
        whole,
        path,
        sha256,
        settings=sizes.settings(),
        notes=(*notes, *more),
        spare=spare,
    )


def _completed(there: dict[str, Weight], sizes: GeneratorSizes) -> tuple[dict[str, Weight], list[str]]:
    """The tensors with those that the rest implies, and what is to be said about it."""
    notes = []
    wanted = sizes.shapes()
    for name in wanted:
        if name.endswith(".resample_filter"):
            there.setdefault(name, constant(name, make_filter()))
    if not any(name.endswith(".noise_const") for name in there):
        silent = not any(name.endswith(".noise_strength") for name in there)
        notes.append(NO_NOISE_NOTE if silent else NOISE_NOTE)
        there |= _noise(wanted, silent=silent)
    if "mapping.w_avg" not in there:
        notes.append(AVERAGE_NOTE)
        there["mapping.w_avg"] = _average(there, sizes)
    return there, notes


def _noise(wanted: Mapping[str, tuple[int, ...]], *, silent: bool) -> dict[str, Weight]:
    random = torch.Generator().manual_seed(SEED)
    made = {}
    for name, shape in wanted.items():
        if name.endswith(".noise_const"):
            value = torch.zeros(shape) if silent else torch.randn(shape, generator=random)
            made[name] = constant(name, value)
        elif silent and name.endswith(".noise_strength"):
            made[name] = constant(name, torch.zeros(shape))
    return made


def _average(weights: Mapping[str, Weight], sizes: GeneratorSizes) -> Weight:
    """The mean of many mapped z, computed when it is read."""
    layers = {name: weight for name, weight in weights.items() if name.startswith("mapping.")}

    def make() -> Tensor:
        return mean_w({name: weight.read().float() for name, weight in layers.items()}, sizes)

    return Weight("mapping.w_avg", (sizes.w_dim,), torch.float32, make)


@torch.no_grad()
def mean_w(mapping: Mapping[str, Tensor], sizes: GeneratorSizes) -> Tensor:
    """The average w (w_dim,) of a mapping network, from a fixed seed."""
    random = torch.Generator().manual_seed(SEED)
    w = normalise_2nd_moment(torch.randn(DRAWN, sizes.z_dim, generator=random))
    for number in range(sizes.mapping_layers):
        weight, bias = mapping[f"mapping.fc{number}.weight"], mapping[f"mapping.fc{number}.bias"]
        with torch.device("meta"):
            layer = FullyConnected(weight.shape[1], weight.shape[0], act="lrelu", lr=sizes.mapping_lr)
        layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
        w = layer(w)
    return w.mean(0)
