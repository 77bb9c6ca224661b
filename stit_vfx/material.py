"""What the tune and stitch steps are given: crops, codes, maps and masks, all at the generator's size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import lru_cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import torch

from stit_vfx.alignment import Aligned, crop_of, foreground_of
from stit_vfx.bench import Bench
from stit_vfx.memory import kept_frames

if TYPE_CHECKING:
    from stit_vfx.packs.model import Code
    from stit_vfx.pipeline import Edited, Inverted
    from stit_vfx.steps.stitch import Stitcher
    from stit_vfx.steps.tune import TuneFrame


def frame_loader(bench: Bench, aligned: Aligned, inverted: Inverted) -> Callable[[int], TuneFrame]:
    """What the tune step asks for, frame by frame; the last ones asked for are kept."""
    from stit_vfx.steps.image import resize, to_network
    from stit_vfx.steps.tune import TuneFrame

    model = bench.pack.model

    @lru_cache(maxsize=kept_frames(model.resolution))
    def load(frame: int) -> TuneFrame:
        crop, code, quad = crop_of(bench, aligned, frame), inverted.codes[frame], aligned.quads[frame][None]
        maps = model.maps(shapes_of([code]), quad)
        return TuneFrame(
            frame=frame,
            crop=to_network(crop.crop_code, model.resolution)[0],
            valid=torch.from_numpy(resize(crop.valid, model.resolution)),
            ws=torch.from_numpy(code.ws),
            maps=None if maps is None else maps[0].cpu(),
        )

    return load


def stitchers_of(bench: Bench, count: int) -> SimpleQueue[Stitcher]:
    """As many as work at once; all but the first have a network of their own."""
    from stit_vfx.steps.stitch import Stitcher, StitchSettings

    model = bench.pack.model
    settings = StitchSettings.of(bench.job, model)
    stitchers: SimpleQueue[Stitcher] = SimpleQueue()
    for number in range(count):
        network = model.network if number == 0 else deepcopy(model.network)
        stitchers.put(Stitcher(model, settings, network=network))
    return stitchers


def stitch_frame(bench: Bench, aligned: Aligned, inverted: Inverted, edited: Edited, frame: int) -> Any:
    """What the stitch step wants of a frame: target, codes, maps and masks, all at the generator's size."""
    from stit_vfx.steps.image import to_network
    from stit_vfx.steps.stitch import StitchFrame

    model, quad = bench.pack.model, aligned.quads[frame][None]
    crop = crop_of(bench, aligned, frame)
    before = inverted.codes[frame]
    return StitchFrame(
        frame=frame,
        target=to_network(crop.crop_code, model.resolution, device=bench.device)[0],
        before=before,
        after=edited.code,
        maps_before=model.maps(shapes_of([before]), quad),
        maps_after=model.maps(shapes_of([edited.code]), quad),
        foreground=foreground_of(bench, aligned, frame, model.resolution),
    )


def shapes_of(codes: Sequence[Code]) -> list[Any] | None:
    """The shapes of codes, or None for packs without."""
    shapes = [code.shape for code in codes]
    return None if shapes[0] is None else shapes
