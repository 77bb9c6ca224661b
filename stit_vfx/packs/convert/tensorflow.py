"""StyleGAN2 snapshots of the TensorFlow days: a tuple (G, D, Gs) of networks with named arrays.

Kernels are stored (h, w, in, out) and dense weights (in, out). The kernels of up-sampling layers are stored
turned by 180 degrees, and the biases of style layers without the 1 that every style starts from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert.generator import generator_part
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.said import mapping, number, positive, word
from stit_vfx.packs.convert.sizes import LARGEST_PX, MOST_LAYERS
from stit_vfx.packs.convert.states import is_tensor
from stit_vfx.packs.convert.weight import Weight, same, without_axes
from stit_vfx.packs.reading import ModelFile, Stranger

NETWORK = "Network"
HINT = "Only StyleGAN2 with skip connections is read"
# Components are prefixes in some files and networks of their own in others.
PREFIX = re.compile(r"^(?:G_mapping|G_synthesis|mapping|synthesis)/")
IGNORED = re.compile(r"^(?:lod|.*/lod|noise_var)$")


def parts(file: ModelFile) -> list[Part] | None:
    """The averaged generator Gs; None if the file is no such tuple. Raises PackSourceError."""
    network = _averaged(file.root)
    if network is None:
        return None
    arrays = dict(_arrays(network))
    _check(network, arrays, file)
    weights = {TARGETS[name][0]: TARGETS[name][1](each) for name, each in arrays.items() if name in TARGETS}
    if unknown := sorted(name for name in arrays if name not in TARGETS and not IGNORED.match(name)):
        raise PackSourceError(f"has {unknown[0]}, which StyleGAN2 does not have", where=file.path, hint=HINT)
    static = _settings(network)
    part = generator_part(
        weights,
        path=file.path,
        sha256=file.sha256,
        kind="stylegan2-nvidia",
        what="StyleGAN2, TensorFlow snapshot, Gs",
        spoken=lambda name: SOURCES.get(name, name),
        mapping_lr=positive(static.get("mapping_lrmul"), 0.01, name="mapping_lrmul", path=file.path),
    )
    return [part]


def _averaged(root: Any) -> Stranger | None:
    """Gs, the last of three; or a network saved alone."""
    if _is_network(root):
        return root
    if isinstance(root, Sequence) and root and all(_is_network(each) for each in root):
        return root[-1]
    return None


def _is_network(value: Any) -> bool:
    named = isinstance(value, Stranger) and value.module.startswith("dnnlib.tflib") and value.name == NETWORK
    return named and isinstance(value.state, Mapping)


def _components(network: Stranger) -> Iterator[Stranger]:
    yield network
    for each in mapping(network.state.get("components")).values():
        if _is_network(each):
            yield from _components(each)


def _arrays(network: Stranger) -> Iterator[tuple[str, Weight]]:
    """All variables under their names inside the component that has them."""
    for each in _components(network):
        variables = each.state.get("variables")
        for pair in variables if isinstance(variables, Sequence) else ():
            if (
                isinstance(pair, Sequence)
                and len(pair) == 2
                and isinstance(pair[0], str)
                and is_tensor(pair[1])
            ):
                yield PREFIX.sub("", pair[0]), Weight.of(pair[0], pair[1])


def _settings(network: Stranger) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for each in _components(network):
        merged |= {str(key): value for key, value in mapping(each.state.get("static_kwargs")).items()}
    return merged


def _check(network: Stranger, arrays: Mapping[str, Weight], file: ModelFile) -> None:
    if any("StyleMod" in name or "ToRGB_lod" in name for name in arrays):
        raise PackSourceError("holds a StyleGAN1 generator", where=file.path, hint=HINT)
    if any("/Skip/" in name for name in arrays):
        raise PackSourceError("is built as 'resnet', not 'skip'", where=file.path, hint=HINT)
    static = _settings(network)
    if labels := int(number(static.get("label_size"), 0, name="label_size", path=file.path)):
        problem = f"holds a generator that is told a class (label_size {labels})"
        raise PackSourceError(problem, where=file.path, hint="Only unconditional generators are read")
    built = word(static.get("architecture"), "skip", name="architecture", path=file.path)
    if built != "skip":
        raise PackSourceError(f"is built as {built!r}, not 'skip'", where=file.path, hint=HINT)


def _dense(weight: Weight) -> Weight:
    return weight.then(lambda each: each.t()) if len(weight.shape) == 2 else weight


def _kernel(weight: Weight) -> Weight:
    return weight.then(lambda each: each.permute(3, 2, 0, 1)) if len(weight.shape) == 4 else weight


def _turned(weight: Weight) -> Weight:
    return _kernel(weight.then(lambda each: each.flip((0, 1)))) if len(weight.shape) == 4 else weight


def _plus_one(weight: Weight) -> Weight:
    return weight.then(lambda each: each + torch.ones((), dtype=each.dtype, device=each.device))


_noise = without_axes(0, 1)
Target = tuple[str, Any]


def _layer(source: str, target: str, kernel: Any) -> Iterator[tuple[str, Target]]:
    yield f"{source}/weight", (f"{target}.weight", kernel)
    yield f"{source}/bias", (f"{target}.bias", same)
    yield f"{source}/mod_weight", (f"{target}.affine.weight", _dense)
    yield f"{source}/mod_bias", (f"{target}.affine.bias", _plus_one)


def _conv(source: str, target: str, number: int, kernel: Any) -> Iterator[tuple[str, Target]]:
    yield from _layer(source, target, kernel)
    yield f"{source}/noise_strength", (f"{target}.noise_strength", same)
    yield f"noise{number}", (f"{target}.noise_const", _noise)


def _targets() -> Iterator[tuple[str, Target]]:
    """Every variable that there can be, with the tensor that it becomes."""
    yield "dlatent_avg", ("mapping.w_avg", same)
    for layer in range(MOST_LAYERS):
        yield f"Dense{layer}/weight", (f"mapping.fc{layer}.weight", _dense)
        yield f"Dense{layer}/bias", (f"mapping.fc{layer}.bias", same)
    yield "4x4/Const/const", ("synthesis.b4.const", without_axes(0))
    yield from _conv("4x4/Conv", "synthesis.b4.conv1", 0, _kernel)
    yield from _layer("4x4/ToRGB", "synthesis.b4.torgb", _kernel)
    for level in range(3, LARGEST_PX.bit_length()):
        source, target = f"{2**level}x{2**level}", f"synthesis.b{2**level}"
        yield from _conv(f"{source}/Conv0_up", f"{target}.conv0", 2 * level - 5, _turned)
        yield from _conv(f"{source}/Conv1", f"{target}.conv1", 2 * level - 4, _kernel)
        yield from _layer(f"{source}/ToRGB", f"{target}.torgb", _kernel)


TARGETS: dict[str, Target] = dict(_targets())
SOURCES = {target: source for source, (target, _) in TARGETS.items()}
