"""What the shot shows of the inside of the actor's mouth, in the shot's cache: once for all frames.

It is made from all frames that are read, whichever are to be delivered, so that every chunk of a farm has the
same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stit_vfx import keys
from stit_vfx.alignment import Aligned, crop_of
from stit_vfx.bench import Bench
from stit_vfx.cache import content_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stit_vfx.packs.geometry import GeometryModel
    from stit_vfx.packs.model import Code
    from stit_vfx.shape.mouth_memory import MouthMemory

MOST_LOOKS = 16  # the widest open mouths, each from another part of the shot; about a fifth of a second each
OPEN_CM = 0.25


def mouth_key(bench: Bench, inverted_key: str) -> str:
    """The key of the memory; empty for packs and put-backs that need none."""
    if _model(bench) is None or bench.job.putback != "detail":
        return ""
    models = keys.part_keys(bench.pack.spec, keys.COMPOSITE)
    return content_key("mouth", settings={"most": MOST_LOOKS}, upstream=[inverted_key], models=models)


def mouth_of(
    bench: Bench, aligned: Aligned, codes: Mapping[int, Code], inverted_key: str
) -> MouthMemory | None:
    """The memory, from the cache or the crops; None where no frame shows anything."""
    from stit_vfx.shape.mouth_memory import MouthMemory, remember

    model, key = _model(bench), mouth_key(bench, inverted_key)
    if model is None or not key:
        return None
    entry = bench.shot.entry("mouth", bench.refer("mouth", key))
    if (arrays := entry.read()) is None:
        chosen = frames_to_look_at({frame: model.openness(code) for frame, code in codes.items()})
        looks = []
        for frame in chosen:
            bench.cancel.check()
            crop = crop_of(bench, aligned, frame).crop_code
            looks.append(model.look(codes[frame], quad=aligned.quads[frame], crop_code=crop))
        memory = remember([each for each in looks if each is not None])
        arrays = {"none": np.zeros(1, np.float32)} if memory is None else memory.to_arrays()
        entry.store(arrays, meta={"frames": list(chosen)})
    return None if "none" in arrays else MouthMemory.from_arrays(arrays)


def frames_to_look_at(openness_cm: Mapping[int, float]) -> tuple[int, ...]:
    """The frame with the widest open mouth of each of at most `MOST_LOOKS` equal parts of the open ones."""
    wide = sorted(frame for frame, gap in openness_cm.items() if gap > OPEN_CM)
    parts = np.array_split(np.array(wide, int), min(MOST_LOOKS, max(len(wide), 1)))
    return tuple(max((int(f) for f in part), key=lambda f: openness_cm[f]) for part in parts if len(part))


def _model(bench: Bench) -> GeometryModel | None:
    from stit_vfx.packs.geometry import GeometryModel

    return bench.pack.model if isinstance(bench.pack.model, GeometryModel) else None
