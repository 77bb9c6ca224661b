"""StyleGAN2 checkpoints of rosinality's implementation, and all that were fine-tuned from them.

The numbers are NVIDIA's under other names and with more axes of size 1; no kernel is turned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stit_vfx.packs.convert.generator import generator_part
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.sizes import LARGEST_PX, MOST_LAYERS
from stit_vfx.packs.convert.states import State, below, is_tensor, states
from stit_vfx.packs.convert.weight import Weight, same, without_axes
from stit_vfx.packs.reading import ModelFile

MARKS = ("input.input", "conv1.conv.weight", "to_rgb1.conv.weight", "convs.0.conv.weight", "style.1.weight")
# The average over training first; what fine-tuned files call theirs after it.
PREFERRED = ("g_ema", "params_ema", "g", "generator", "state_dict", "params", "model", "")
PREFIXES = ("", "generator.", "g_ema.", "decoder.")


def parts(file: ModelFile) -> list[Part] | None:
    """The generator of a checkpoint, with or without its `g_ema`; None if there is none."""
    found = {place: state for place, each in states(file).items() if (state := named(each)) is not None}
    if not found:
        return None
    order = {name: rank for rank, name in enumerate(PREFERRED)}
    place = min(found, key=lambda each: order.get(each.rpartition(".")[2], len(order)))
    name = place or "the file itself"
    notes = () if place.endswith("g_ema") else (f"the file has no g_ema; {name} was taken",)
    average = latent_average(file.root)
    return [
        decoder_part(found[place], file, average=average, what=f"StyleGAN2, rosinality, {name}", notes=notes)
    ]


def named(state: State) -> State | None:
    """The tensors of a generator among others, or None."""
    for prefix in PREFIXES:
        inner = below(prefix, state)
        if sum(mark in inner for mark in MARKS) > 2:
            return inner
    return None


def decoder_part(
    state: Mapping[str, Weight],
    file: ModelFile,
    *,
    average: Weight | None,
    what: str,
    kind: str = "stylegan2-rosinality",
    notes: tuple[str, ...] = (),
    spare: bool = False,
) -> Part:
    """A generator under rosinality's names. `average` is w_avg (w_dim,), where the file has it."""
    weights = {}
    for name, weight in state.items():
        target, change = TARGETS.get(name, (name, same))
        weights[target] = change(weight)
    if average is not None:
        weights["mapping.w_avg"] = average
    weights |= _filters(weights)
    return generator_part(
        weights,
        path=file.path,
        sha256=file.sha256,
        kind=kind,
        what=what,
        spoken=lambda name: SOURCES.get(name, name),
        notes=notes,
        spare=spare,
    )


def latent_average(root: Any, key: str = "latent_avg") -> Weight | None:
    """The average w beside the tensors: one row, or rows that are all alike."""
    value = root.get(key) if isinstance(root, Mapping) else None
    if not is_tensor(value):
        return None
    weight = Weight.of(key, value)
    if len(weight.shape) == 1:
        return weight
    rows = weight.read() if len(weight.shape) == 2 and weight.shape[0] else None
    if rows is None or not bool((rows == rows[:1]).all()):
        return None
    return Weight.of(key, rows[0].clone())


def _filters(weights: Mapping[str, Weight]) -> dict[str, Weight]:
    """The last block's own up-sampling filter is the first's too, which has no layer to store it."""
    first = weights.get("synthesis.b8.resample_filter")
    return {} if first is None else {"synthesis.b4.resample_filter": first}


def _quarter(weight: Weight) -> Weight:
    """Filters are stored with the factor 4 of up-sampling in them."""
    return weight.then(lambda each: each / 4)


_one = without_axes(0)
_two = without_axes(0, 1)
_rgb = without_axes(0, 2, 3)
Target = tuple[str, Any]


def _layer(source: str, target: str) -> Iterator[tuple[str, Target]]:
    yield f"{source}.conv.weight", (f"{target}.weight", _one)
    yield f"{source}.conv.modulation.weight", (f"{target}.affine.weight", same)
    yield f"{source}.conv.modulation.bias", (f"{target}.affine.bias", same)


def _conv(source: str, target: str, number: int) -> Iterator[tuple[str, Target]]:
    yield from _layer(source, target)
    yield f"{source}.noise.weight", (f"{target}.noise_strength", _one)
    yield f"{source}.activate.bias", (f"{target}.bias", same)
    yield f"{source}.conv.blur.kernel", (f"{target}.resample_filter", _quarter)
    yield f"noises.noise_{number}", (f"{target}.noise_const", _two)


def _targets() -> Iterator[tuple[str, Target]]:
    """Every tensor that there can be, with the pack's name for it."""
    for number in range(MOST_LAYERS):
        yield f"style.{number + 1}.weight", (f"mapping.fc{number}.weight", same)
        yield f"style.{number + 1}.bias", (f"mapping.fc{number}.bias", same)
    yield "input.input", ("synthesis.b4.const", _one)
    yield from _conv("conv1", "synthesis.b4.conv1", 0)
    yield from _layer("to_rgb1", "synthesis.b4.torgb")
    yield "to_rgb1.bias", ("synthesis.b4.torgb.bias", _rgb)
    for level in range(LARGEST_PX.bit_length() - 3):
        target = f"synthesis.b{8 << level}"
        yield from _conv(f"convs.{2 * level}", f"{target}.conv0", 2 * level + 1)
        yield from _conv(f"convs.{2 * level + 1}", f"{target}.conv1", 2 * level + 2)
        yield from _layer(f"to_rgbs.{level}", f"{target}.torgb")
        yield f"to_rgbs.{level}.bias", (f"{target}.torgb.bias", _rgb)
        yield f"to_rgbs.{level}.upsample.kernel", (f"{target}.resample_filter", _quarter)


TARGETS: dict[str, Target] = dict(_targets())
SOURCES = {target: source for source, (target, _) in TARGETS.items()}
