"""The networks that look at pictures: BiSeNet (parser), ArcFace (identity), LPIPS (perceptual)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import nn

from stit_vfx.errors import PackSourceError
from stit_vfx.gan.arcface import ArcFace
from stit_vfx.gan.bisenet import BiSeNet
from stit_vfx.gan.lpips import CHANNELS, Lpips
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.states import State, states
from stit_vfx.packs.convert.weight import Shape, Weight, fitted
from stit_vfx.packs.reading import ModelFile

# Position in torchvision's `features`, and the slice of the LPIPS trunk that has it under the same number.
TRUNK = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
FIRST = "features.0.weight"
HEAD = re.compile(r"(?:lins\.(\d)|lin(\d))\.model\.1\.weight")


def parser_parts(file: ModelFile) -> list[Part] | None:
    """BiSeNet with 19 classes; None if the file has none."""
    state = _with(file, "cp.resnet.conv1.weight", "ffm.convblk.conv.weight")
    if state is None:
        return None
    what = "a BiSeNet with 19 classes"
    weights = fitted(state, _shapes(BiSeNet), path=file.path, what=what)
    return [
        Part(
            "parser",
            "bisenet",
            "BiSeNet face parser",
            weights,
            file.path,
            file.sha256,
            settings={"arch": "bisenet"},
        )
    ]


def identity_parts(file: ModelFile) -> list[Part] | None:
    """ArcFace on IR-SE50; None if the file has none."""
    state = _with(file, "input_layer.0.weight", "output_layer.3.weight")
    if state is None:
        return None
    weights = fitted(state, _shapes(ArcFace), path=file.path, what="an ArcFace on IR-SE50")
    settings = {"arch": "arcface-ir-se50"}
    return [
        Part(
            "identity",
            "arcface",
            "ArcFace identity, IR-SE50",
            weights,
            file.path,
            file.sha256,
            settings=settings,
        )
    ]


def perceptual_parts(file: ModelFile) -> list[Part] | None:
    """LPIPS on AlexNet, whole, or one of its two halves as they are published; None if it is neither."""
    for state in states(file).values():
        if HEAD.fullmatch(next((name for name in state if HEAD.fullmatch(name)), "")):
            return _lpips(state, file)
        if _is_alexnet(state) or (FIRST in state and "classifier.1.weight" in state):
            return [_trunk(state, file)]
    return None


def _is_alexnet(state: State) -> bool:
    return FIRST in state and state[FIRST].shape == (64, 3, 11, 11)


def _lpips(state: State, file: ModelFile) -> list[Part]:
    kept = {_head(name): weight for name, weight in state.items() if not _is_alias(name, state)}
    heads = {name: weight for name, weight in kept.items() if name.startswith("lin")}
    wanted = {f"lin{n}.model.1.weight": (1, size, 1, 1) for n, size in enumerate(CHANNELS)}
    if {name: weight.shape for name, weight in heads.items()} != wanted:
        _refuse_other_trunk(tuple(weight.shape for weight in heads.values()), file)
    if len(heads) == len(kept):
        weights = fitted(heads, wanted, path=file.path, what="the heads of LPIPS on AlexNet")
        return [_part("perceptual.heads", "lpips", "LPIPS heads for AlexNet", weights, file)]
    weights = fitted(kept, _shapes(Lpips), path=file.path, what="an LPIPS on AlexNet")
    return [_part("perceptual", "lpips-whole", "LPIPS on AlexNet", weights, file)]


def _head(name: str) -> str:
    """A head by its number, whichever of its two names the file has."""
    return re.sub(r"^lins\.(\d)\.", r"lin\1.", name)


def _is_alias(name: str, state: State) -> bool:
    """The same heads again, under a list; and the input's shift and scale, which are part of the method."""
    return name.startswith("scaling_layer.") or (_head(name) != name and _head(name) in state)


def _refuse_other_trunk(shapes: tuple[Shape, ...], file: ModelFile) -> None:
    """Heads for VGG and SqueezeNet have other sizes; a missing head is told as such later."""
    sizes = [shape[1] for shape in shapes if len(shape) == 4]
    if len(sizes) >= len(CHANNELS) and sizes != list(CHANNELS):
        told = ", ".join(str(size) for size in sizes)
        raise PackSourceError(
            f"holds LPIPS heads of {told} channels, which are not AlexNet's",
            where=file.path,
            hint="Bring alex.pth; VGG and SqueezeNet are not read",
        )


def _trunk(state: State, file: ModelFile) -> Part:
    if not _is_alexnet(state):
        size = "x".join(str(side) for side in state[FIRST].shape)
        raise PackSourceError(
            f"holds a classifier whose first kernel is {size}, not AlexNet's 64x3x11x11",
            where=file.path,
            hint="LPIPS here is on AlexNet: bring alexnet-owt-*.pth",
        )
    features = {_trunk_name(name): weight for name, weight in state.items() if name.startswith("features.")}
    wanted = {name: shape for name, shape in _shapes(Lpips).items() if name.startswith("net.")}
    back = {_trunk_name(name): name for name in state}
    names = {f"net.slice{part}.{n}": f"features.{n}" for n, part in TRUNK.items()}

    def spoken(name: str) -> str:
        layer, _, kind = name.rpartition(".")
        return back.get(name, f"{names[layer]}.{kind}")

    weights = fitted(features, wanted, path=file.path, what="AlexNet", spoken=spoken)
    return _part("perceptual.trunk", "alexnet", "AlexNet, the trunk of LPIPS", weights, file)


def _trunk_name(name: str) -> str:
    found = re.fullmatch(r"features\.(\d{1,2})\.(weight|bias)", name)
    if found is None or int(found[1]) not in TRUNK:
        return name
    return f"net.slice{TRUNK[int(found[1])]}.{found[1]}.{found[2]}"


def _part(name: str, kind: str, what: str, weights: Mapping[str, Weight], file: ModelFile) -> Part:
    settings = {"arch": "lpips-alex"}
    return Part(name, kind, what, weights, file.path, file.sha256, settings=settings)


def _with(file: ModelFile, *names: str) -> State | None:
    """The tensors that have all these names."""
    found = (state for state in states(file).values() if all(name in state for name in names))
    return next(found, None)


def _shapes(network: type[nn.Module]) -> dict[str, Shape]:
    with torch.device("meta"):
        made = network()
    return {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
