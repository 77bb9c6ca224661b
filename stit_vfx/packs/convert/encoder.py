"""e4e and pSp checkpoints: the encoder, and the generator that it was trained with as a spare one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from stit_vfx.errors import PackSourceError
from stit_vfx.gan.e4e import Encoder, EncoderConfig
from stit_vfx.gan.irse import BodyConfig
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.rosinality import decoder_part, latent_average, named
from stit_vfx.packs.convert.said import flag, word
from stit_vfx.packs.convert.states import State, below, fields, is_tensor, states
from stit_vfx.packs.convert.weight import Shape, Weight, constant, fitted, shapes_of
from stit_vfx.packs.reading import ModelFile

PREFIX = "encoder."
KINDS = {"Encoder4Editing": "e4e", "GradualStyleEncoder": "psp"}
NAMES = {"e4e": "e4e", "psp": "pSp"}
# Widths that tell the four groups of the body apart are not always there; these numbers of units do too.
KNOWN_DEPTHS = {24: (3, 4, 14, 3), 49: (3, 13, 30, 3), 16: (3, 4, 6, 3)}
MARKS = ("input_layer.0.weight", "styles.0.linear.weight", "latlayer1.weight")


@dataclass(frozen=True)
class Options:
    """What the checkpoint says about itself."""

    arch: str
    from_average: bool
    notes: tuple[str, ...]


def parts(file: ModelFile) -> list[Part] | None:
    """Encoder and spare generator; None if there is no such encoder. Raises PackSourceError."""
    found = {place: each for place, each in states(file).items() if _is_encoder(each)}
    if not found:
        return None
    place = min(found, key=lambda each: each != "state_dict")
    whole = found[place]
    state = below(PREFIX, whole) or whole
    options = _options(file)
    encoder = _encoder(state, file, options)
    decoder = named(below("decoder.", whole))
    if decoder is None:
        return [encoder]
    kind, name = f"{options.arch}-decoder", NAMES[options.arch]
    average = latent_average(file.root)
    what = f"StyleGAN2, beside the {name} encoder"
    return [
        encoder,
        decoder_part(decoder, file, average=average, what=what, kind=kind, spare=True),
    ]


def _is_encoder(state: State) -> bool:
    return any(all(prefix + mark in state for mark in MARKS[:2]) for prefix in (PREFIX, ""))


def _options(file: ModelFile) -> Options:
    root = file.root if isinstance(file.root, Mapping) else {}
    said = fields(root.get("opts"))
    named_kind = word(said.get("encoder_type"), "", name="encoder_type", path=file.path)
    if named_kind and named_kind not in KINDS:
        raise PackSourceError(
            f"holds an encoder of the kind {named_kind}",
            where=file.path,
            hint=f"{' and '.join(KINDS)} are read",
        )
    notes = []
    if not named_kind:
        notes.append("the file does not say which encoder it is; e4e was assumed")
    start = said.get("start_from_latent_avg")
    if start is None:
        notes.append("the file does not say whether rows start from the average; they do where it has one")
    return Options(KINDS.get(named_kind, "e4e"), start is None or flag(start), tuple(notes))


def _encoder(state: State, file: ModelFile, options: Options) -> Part:
    name = NAMES[options.arch]
    config = _config(shapes_of(state), file)
    with torch.device("meta"):
        network = Encoder(config)
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items() if key != "latent_avg"}
    # The file's own prefix belongs into errors.
    weights = fitted(
        state, wanted, path=file.path, what=f"an {name} encoder", spoken=lambda key: PREFIX + key
    )
    weights["latent_avg"] = _average(file, config, options)
    return Part(
        "encoder",
        options.arch,
        f"{name} encoder, {config.num_ws} rows",
        weights,
        file.path,
        file.sha256,
        settings=_settings(config, options.arch),
        notes=options.notes,
    )


def _settings(config: EncoderConfig, arch: str) -> dict[str, Any]:
    body = config.body
    sizes = {"widths": list(body.widths), "depths": list(body.depths), "reduction": body.reduction}
    return {"arch": arch, **sizes}


def _config(shapes: Mapping[str, Shape], file: ModelFile) -> EncoderConfig:
    """Sizes of the encoder, from the shapes of its tensors."""
    rows = {int(found[1]) for name in shapes if (found := re.match(r"styles\.(\d{1,3})\.", name))}
    body = _body(shapes, file)
    linear = shapes["styles.0.linear.weight"]
    if len(linear) != 2 or not all(linear) or max(rows) > 63:
        raise PackSourceError("styles.0.linear.weight is no linear layer", where=file.path)
    return EncoderConfig(max(rows) + 1, linear[0], body)


def _body(shapes: Mapping[str, Shape], file: ModelFile) -> BodyConfig:
    kernels = {
        int(found[1]): shape
        for name, shape in shapes.items()
        if (found := re.fullmatch(r"body\.(\d{1,3})\.res_layer\.1\.weight", name)) and len(shape) == 4
    }
    count = max(kernels, default=-1) + 1
    if set(kernels) != set(range(count)) or not count:
        missing = next((unit for unit in range(count) if unit not in kernels), 0)
        raise PackSourceError(f"has no {PREFIX}body.{missing}.res_layer.1.weight", where=file.path)
    widths = [kernels[unit][0] for unit in range(count)]
    depths = KNOWN_DEPTHS.get(count) or _groups(widths)
    if depths is None:
        problem = f"has a body of {count} units whose four groups cannot be told apart"
        raise PackSourceError(problem, where=file.path, hint="IR-SE50 is the published one, with 24")
    if not all(widths):
        raise PackSourceError("has a body without channels", where=file.path)
    firsts = [sum(depths[:group]) for group in range(4)]
    squeeze = next(iter(shapes.get("body.0.res_layer.5.fc1.weight", ())), 0)
    reduction = widths[0] // squeeze if squeeze else 16
    chosen = [widths[first] for first in firsts]
    return BodyConfig((chosen[0], chosen[1], chosen[2], chosen[3]), depths, max(min(reduction, *chosen), 1))


def _groups(widths: list[int]) -> tuple[int, int, int, int] | None:
    """Lengths of the four groups, where each is wider or narrower than the one before."""
    changes = [0, *(unit + 1 for unit, (a, b) in enumerate(pairwise(widths)) if a != b), len(widths)]
    lengths = [b - a for a, b in pairwise(changes)]
    return (lengths[0], lengths[1], lengths[2], lengths[3]) if len(lengths) == 4 else None


def _average(file: ModelFile, config: EncoderConfig, options: Options) -> Weight:
    """What the rows start from, (num_ws, w_dim); zero where they start from nothing."""
    shape = (config.num_ws, config.w_dim)
    if not options.from_average:
        return constant("latent_avg", torch.zeros(shape))
    value = file.root.get("latent_avg") if isinstance(file.root, Mapping) else None
    if not is_tensor(value):
        raise PackSourceError(
            "has no latent_avg, which its rows start from",
            where=file.path,
            hint="Use the checkpoint as it was published",
        )
    stored = Weight.of("latent_avg", value)
    if stored.shape not in (shape, (1, config.w_dim), (config.w_dim,)):
        told = f"latent_avg is {stored.shape} where {shape} is expected"
        raise PackSourceError(told, where=file.path)

    def spread(average: Tensor) -> Tensor:
        return average.expand(shape)

    return stored.then(spread)
