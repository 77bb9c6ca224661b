"""What StyleCLIP's global directions need: fs3.npy and S_mean_std as the style basis, CLIP's text half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from stit_vfx.errors import PackSourceError
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.sizes import GeneratorSizes
from stit_vfx.packs.convert.states import State, is_tensor, states
from stit_vfx.packs.convert.weight import Weight
from stit_vfx.packs.reading import ModelFile
from stit_vfx.text.clip import PREFIXES, TextSizes, text_state

# More rows than any generator has rows of w: a direction has up to 20.
FEWEST_ROWS = 64
STD_NOTE = (
    "text edits will move each channel by its own spread, as StyleCLIP does; the published STIT did not"
)
GELU_NOTE = "OpenAI's activation (QuickGELU) is assumed; LAION's networks, which need another, would be wrong"


def basis_parts(file: ModelFile) -> list[Part] | None:
    """fs3.npy, one row per convolution's channel; or S_mean_std; None for anything else."""
    if is_tensor(file.root):
        return _basis(Weight.of(file.path.name, file.root), file)
    return _spread(file)


def _basis(weight: Weight, file: ModelFile) -> list[Part] | None:
    shape = weight.shape
    if (
        len(shape) != 2
        or shape[0] < FEWEST_ROWS
        or shape[1] < FEWEST_ROWS
        or not weight.dtype.is_floating_point
    ):
        return None
    what = f"StyleCLIP basis, {shape[0]} channels"
    part = Part("style_basis.basis", "fs3", what, {"basis": weight}, file.path, file.sha256)
    return [part]


def _spread(file: ModelFile) -> list[Part] | None:
    """The second of two lists of one array per style vector."""
    if not (_is_pair(file.root) and all(_are_vectors(each) for each in file.root)):
        return None
    means, spreads = ([Weight.of("S_mean_std", each) for each in half] for half in file.root)
    if [each.shape for each in means] != [each.shape for each in spreads]:
        problem = "its means and its standard deviations differ in number or size"
        raise PackSourceError(problem, where=file.path, hint="The file is not whole")
    std = torch.cat([each.read().float() for each in spreads])
    if not bool(torch.isfinite(std).all()) or bool((std < 0).any()):
        raise PackSourceError("has standard deviations below zero or not finite", where=file.path)
    what = f"StyleCLIP spread, {len(std)} channels"
    weights = {"std": Weight.of("S_mean_std", std)}
    return [Part("style_basis.std", "s-mean-std", what, weights, file.path, file.sha256, notes=(STD_NOTE,))]


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 2


def _are_vectors(value: Any) -> bool:
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return listed and len(value) > 1 and all(is_tensor(each) and len(each.shape) == 1 for each in value)


def check_basis(part: Part, sizes: GeneratorSizes | None, generator: str) -> None:
    """Raise PackSourceError, naming both files, if fs3 or S_mean_std are of another generator."""
    layers = [] if sizes is None else sizes.conv_inputs()
    if part.name.endswith(".basis"):
        kind, there = "convolution channels", part.weights["basis"].shape[0]
        wanted = sum(channels for is_conv, channels in layers if is_conv)
    else:
        kind, there = "style channels", part.weights["std"].shape[0]
        wanted = sum(channels for _, channels in layers)
    if there != wanted:
        raise PackSourceError(
            f"speaks of {there} {kind}, and the generator of {generator} has {wanted or 'no style space'}",
            where=part.source,
            hint="Bring the file that was measured with this generator",
        )


def text_parts(file: ModelFile) -> list[Part] | None:
    """CLIP's text half, from a whole CLIP; None if there is none."""
    state = next((each for each in states(file).values() if _is_clip(each)), None)
    if state is None:
        return None
    try:
        tensors = text_state(state)
    except PackSourceError as error:
        raise PackSourceError(error.problem, where=file.path, hint=error.hint) from None
    sizes = TextSizes.of({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    openai = file.container == "torchscript" or "input_resolution" in state
    return [
        Part(
            "text",
            "clip",
            f"CLIP's text half, {sizes.layers} layers",
            {name: Weight.of(name, tensor) for name, tensor in tensors.items()},
            file.path,
            file.sha256,
            settings={"arch": "clip-text", "layers": sizes.layers, "heads": sizes.heads, "quick_gelu": True},
            notes=() if openai else (GELU_NOTE,),
        )
    ]


def _is_clip(state: State) -> bool:
    return any(f"{prefix}token_embedding.weight" in state for prefix in PREFIXES)
