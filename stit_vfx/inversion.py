"""The second step's cache: which codes there are, and how the missing ones are found.

Packs with an encoder ask it once a frame. Without one each frame takes a few hundred updates, so what is
found is kept frame by frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from stit_vfx import keys
from stit_vfx.alignment import Aligned, crop_of, cuts_of, landmarks_of, weights_of
from stit_vfx.bench import Bench
from stit_vfx.cache import Entry, content_key

if TYPE_CHECKING:
    from stit_vfx.packs.model import Code
    from stit_vfx.steps.project import ProjectSettings


def invert_key(bench: Bench, aligned: Aligned) -> str:
    settings, encodes = bench.job.settings_for("invert"), bench.pack.model.encodes
    if not encodes:
        settings = {**settings, "project": project_settings(bench).as_dict()}
    models = keys.part_keys(bench.pack.spec, keys.INVERT if encodes else keys.PROJECT)
    return content_key("invert", settings=settings, upstream=[aligned.key], models=models)


def project_settings(bench: Bench) -> ProjectSettings:
    """How codes are found without an encoder."""
    from stit_vfx.steps.project import ProjectSettings

    return ProjectSettings.of(bench.pack.model.schedule, seed=bench.job.seed)


def find_codes(bench: Bench, aligned: Aligned, entry: Entry) -> dict[str, np.ndarray]:
    """Codes of all frames that have a crop, as arrays; from the cache if they are there."""
    from stit_vfx.steps.invert import codes_to_arrays

    if (arrays := entry.read()) is not None:
        return arrays
    find = _encoded if bench.pack.model.encodes else _projected
    arrays = codes_to_arrays(find(bench, aligned, entry))
    entry.store(arrays)
    entry.drop_checkpoints()
    bench.pack.model.free_encoder()
    return arrays


def _encoded(bench: Bench, aligned: Aligned, _entry: Entry) -> Mapping[int, Code]:
    from stit_vfx.steps.invert import invert_shot

    return invert_shot(
        bench.pack.model,
        frames=aligned.frames,
        landmarks=landmarks_of(aligned),
        weights=weights_of(aligned),
        cuts=cuts_of(aligned),
        quads=np.stack([aligned.quads[frame] for frame in aligned.frames]),
        crop_code=lambda frame: crop_of(bench, aligned, frame).crop_code,
        on_frame=lambda done, frame: bench.progress("invert", done, len(aligned.frames), frame=frame),
    )


def _projected(bench: Bench, aligned: Aligned, entry: Entry) -> Mapping[int, Code]:
    from stit_vfx.steps.invert import codes_from_arrays, codes_to_arrays
    from stit_vfx.steps.project import Projector, project_shot

    def crop(frame: int) -> tuple[np.ndarray, np.ndarray]:
        found = crop_of(bench, aligned, frame)
        return found.crop_code, found.valid

    checkpoint = entry.load_checkpoint()
    return project_shot(
        Projector(bench.pack.model, project_settings(bench), perceptual=bench.pack.perceptual),
        frames=aligned.frames,
        cuts=cuts_of(aligned),
        crop=crop,
        known=None if checkpoint is None else codes_from_arrays(checkpoint[1]),
        on_step=lambda done, total, frame: bench.progress("invert", done, total, frame=frame),
        keep=lambda codes: entry.save_checkpoint(len(codes), codes_to_arrays(codes)),
    )
