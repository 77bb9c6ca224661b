"""NVIDIA's StyleGAN2-ADA snapshots: persistent objects, whose names, tensors and settings are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert.generator import generator_part
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.said import flag, mapping, number, positive, word
from stit_vfx.packs.convert.sizes import is_stylegan2
from stit_vfx.packs.convert.weight import Weight
from stit_vfx.packs.reading import ModelFile, Stranger, module_tensors

# The average of the generator's weights over training makes the better pictures.
PREFERRED = ("G_ema", "G")
PERSISTENT = "torch_utils.persistence"
OTHERS = {
    "SynthesisInput": "a StyleGAN3 generator",
    "SynthesisKernel": "a StyleGAN3 generator",
    "TriPlaneGenerator": "an EG3D generator",
    "EDMPrecond": "a diffusion model (EDM)",
    "VPPrecond": "a diffusion model (EDM)",
    "VEPrecond": "a diffusion model (EDM)",
    "Discriminator": "a discriminator",
}
SKIP_ONLY = "Only StyleGAN2 with skip connections is read"


def parts(file: ModelFile) -> list[Part] | None:
    """The generator of a snapshot; None if the file is none. Raises PackSourceError for other networks."""
    found = _networks(file.root)
    if not found:
        return None
    for name in PREFERRED:
        if name in found:
            notes = () if name == "G_ema" else ("the file has no G_ema; G was taken",)
            return [network_part(found[name], file, what=f"StyleGAN2, NVIDIA snapshot, {name}", notes=notes)]
    name, network = next(iter(found.items()))
    raise PackSourceError(f"has no generator: {name} is {_what(network)}", where=file.path, hint=SKIP_ONLY)


def _networks(root: Any) -> dict[str, Stranger]:
    if is_persistent(root):
        return {"G_ema": root}
    if not isinstance(root, Mapping):
        return {}
    return {str(key): value for key, value in root.items() if is_persistent(value)}


def is_persistent(value: Any) -> bool:
    """Whether this stands for one of NVIDIA's persistent objects."""
    return isinstance(value, Stranger) and value.module == PERSISTENT and isinstance(value.state, Mapping)


def network_part(
    network: Stranger,
    file: ModelFile,
    *,
    what: str,
    kind: str = "stylegan2-nvidia",
    notes: tuple[str, ...] = (),
) -> Part:
    """The generator that one persistent object stands for."""
    stored = module_tensors(network)
    weights = {name: Weight.of(name, tensor) for name, tensor in stored.items()}
    _check_class(network, weights, file)
    _check_settings(network, file)
    return generator_part(
        weights,
        path=file.path,
        sha256=file.sha256,
        kind=kind,
        what=what,
        notes=notes,
        mapping_lr=_mapping_rate(network, file),
        num_fp16_res=sum(flag(block.get("use_fp16")) for block in _blocks(network)),
        conv_clamp=_clamp(network, file),
    )


def _check_class(network: Stranger, weights: Mapping[str, Weight], file: ModelFile) -> None:
    for each in modules(network).values():
        if each.name in OTHERS:
            problem = f"holds {OTHERS[each.name]} ({each.name})"
            raise PackSourceError(problem, where=file.path, hint=SKIP_ONLY)
    if not is_stylegan2(weights):
        raise PackSourceError(f"holds {_what(network)}, no StyleGAN2", where=file.path, hint=SKIP_ONLY)


def _check_settings(network: Stranger, file: ModelFile) -> None:
    """Refuse what would compute something else with the same names of tensors."""
    top, path = mapping(network.state), file.path
    if conditions := int(number(top.get("c_dim"), 0, name="c_dim", path=path)):
        problem = f"holds a generator that is told a class (c_dim {conditions})"
        raise PackSourceError(problem, where=file.path, hint="Only unconditional generators are read")
    channels = number(top.get("img_channels"), 3, name="img_channels", path=path)
    if channels != 3:
        raise PackSourceError(f"makes pictures of {channels:g} channels, not RGB", where=path)
    for block in _blocks(network):
        if (built := word(block.get("architecture"), "skip", name="architecture", path=path)) != "skip":
            raise PackSourceError(f"is built as {built!r}, not 'skip'", where=file.path, hint=SKIP_ONLY)
    for name, each in modules(network).items():
        act = word(each.state.get("activation"), "lrelu", name=f"{name}.activation", path=path)
        if act != "lrelu" and not name.endswith("affine"):
            problem = f"{name} has the activation {act!r} where 'lrelu' is expected"
            raise PackSourceError(problem, where=file.path, hint=SKIP_ONLY)


def _blocks(network: Stranger) -> Iterator[Mapping[str, Any]]:
    """What each resolution's block says of itself."""
    for name, each in modules(network).items():
        place, _, block = name.rpartition(".")
        if place == "synthesis" and block.startswith("b"):
            yield each.state


def _mapping_rate(network: Stranger, file: ModelFile) -> float:
    """The learning rate's factor of the mapping network, which scales what it computes."""
    first = modules(network).get("mapping.fc0")
    gain = None if first is None else first.state.get("bias_gain")
    if gain is None:
        kwargs = mapping(mapping(network.state).get("_init_kwargs"))
        gain = mapping(kwargs.get("mapping_kwargs")).get("lr_multiplier")
    return positive(gain, 0.01, name="lr_multiplier", path=file.path)


def _clamp(network: Stranger, file: ModelFile) -> float | None:
    """The limit of every layer's output; the layers themselves know it best."""
    said = [each.state["conv_clamp"] for each in modules(network).values() if "conv_clamp" in each.state]
    if not said:
        kwargs = mapping(mapping(network.state).get("_init_kwargs"))
        said = [mapping(kwargs.get("synthesis_kwargs")).get("conv_clamp")]
    name = "conv_clamp"
    limits = {None if each is None else positive(each, 1, name=name, path=file.path) for each in said}
    if len(limits) > 1:
        raise PackSourceError("has layers with different conv_clamp", where=file.path, hint=SKIP_ONLY)
    return limits.pop()


def modules(network: Stranger) -> dict[str, Stranger]:
    """The network's modules by dotted name, itself as "" first."""
    return dict(_modules(network, ""))


def _modules(network: Stranger, name: str) -> Iterator[tuple[str, Stranger]]:
    yield name, network
    for key, child in mapping(mapping(network.state).get("_modules")).items():
        if isinstance(child, Stranger) and isinstance(child.state, Mapping):
            yield from _modules(child, f"{name}.{key}" if name else str(key))


def _what(network: Stranger) -> str:
    return OTHERS.get(network.name, f"an object of the class {network.name}")
