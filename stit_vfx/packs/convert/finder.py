"""Weights of the FAN face finder, which belong to no pack: they go where its library looks for them."""

from __future__ import annotations

from stit_vfx.face import fan_weights
from stit_vfx.packs.convert.part import Part
from stit_vfx.packs.convert.states import states
from stit_vfx.packs.convert.weight import shapes_of
from stit_vfx.packs.reading import ModelFile

PREFIX = "finder."


def parts(file: ModelFile) -> list[Part] | None:
    """One of the finder's networks, checked whole; None if it is none of them.

    The networks for 2-D and for 3-D landmarks differ in nothing but their numbers: there the file's name
    tells, when it is installed.
    """
    for state in states(file).values():
        if (kind := fan_weights.recognise(shapes_of(state))) is not None:
            fan_weights.check(kind, shapes_of(state), where=file.path)
            what = f"face finder FAN, {kind}"
            return [Part(f"{PREFIX}{kind}", "fan", what, state, file.path, file.sha256)]
    return None
