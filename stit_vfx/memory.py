"""How much memory a run takes: an upper estimate before it begins, and the room that its caches are given."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import psutil

from stit_vfx.errors import MemoryLimitError

if TYPE_CHECKING:
    from stit_vfx.job import Job
    from stit_vfx.options import RunOptions
    from stit_vfx.packs.load import Pack
    from stit_vfx.plate.source import Plate

# What the libraries alone take once loaded, measured on Linux with torch 2.13.
LIBRARIES_MB = 900
# Per pixel and image, measured at 1024 px: 3.4 GB in all while tuning by one image, 6.1 GB by two.
ACTIVATIONS_MB = 2.7e-3
# The published schedule looks at the whole picture with LPIPS: 4.5 GB in all.
WHOLE_LPIPS_MB = 0.5e-3
# e4e at work on one crop, beside its weights, measured: 110 MB.
ENCODING_MB = 150
# open_clip, its libraries and CLIP ViT-B/32's text half at work, measured likewise.
TEXT_MB = 700
# Crops that the tune step keeps, so that a short shot is read once.
KEPT_MB, KEPT_FRAMES = 256, 48


def kept_frames(resolution: int) -> int:
    """Crops of a generator's size that the tune step keeps; a batch of them at least."""
    return min(max(KEPT_MB * 2**20 // _crop_bytes(resolution), 4), KEPT_FRAMES)


def memory_need_mb(plate: Plate, pack: Pack, job: Job) -> int:
    """An upper estimate of what a run takes, from the size of the plate and of the networks.

    Beyond some tens of frames their number does not matter: frames are streamed.
    """
    height, width = plate.shape
    # A plate in flight: float and double copies of RGB, the matte, and the file's own channels twice.
    plate_mb = height * width * 90 / 2**20
    # Texts are embedded, and crops encoded, by networks that are let go of before anything is tuned.
    text_mb = TEXT_MB if any(edit.text is not None for edit in job.edits) else 0
    return int(
        LIBRARIES_MB + plate_mb + max(_tune_mb(pack, job), text_mb, _weights_mb(pack) + _encoder_mb(pack))
    )


def check_memory(plate: Plate, pack: Pack, options: RunOptions, job: Job) -> None:
    """Raise MemoryLimitError where a run would take more than there is, or than it may."""
    need = memory_need_mb(plate, pack, job)
    free = psutil.virtual_memory().available // 2**20 + psutil.Process().memory_info().rss // 2**20
    limit = min(free, options.memory_limit_mb or free)
    if need > limit:
        raise MemoryLimitError(
            f"the job needs about {need} MB of memory and may use {limit} MB",
            hint="Close other programs, raise --memory-limit, or use a machine with more memory",
        )


def _tune_mb(pack: Pack, job: Job) -> float:
    """Weights, gradients, two Adam moments, a copy to restore from; activations grow with the picture."""
    from stit_vfx.steps.tune import TuneSettings

    settings, side = TuneSettings.of(job, pack.model), pack.model.resolution
    pixel_mb = ACTIVATIONS_MB + (WHOLE_LPIPS_MB if settings.perceptual_px is None else 0)
    images = settings.batch + (settings.locality is not None)
    kept = min(len(job.tune_frames()), kept_frames(side)) * _crop_bytes(side) / 2**20
    return 6 * _weights_mb(pack) + pixel_mb * side**2 * images + kept


def _weights_mb(pack: Pack) -> float:
    return sum(p.numel() * p.element_size() for p in pack.model.network.parameters()) / 2**20


def _encoder_mb(pack: Pack) -> float:
    """The encoder in single precision, however it is stored, and what it takes at work."""
    from stit_vfx.packs.weights import stored_shapes

    if pack.spec.encoder is None:
        return 0.0
    shapes = stored_shapes(pack.folder / pack.spec.encoder.file)
    return sum(4 * prod(shape) for shape in shapes.values()) / 2**20 + ENCODING_MB


def _crop_bytes(resolution: int) -> int:
    """Of a crop and its matte of valid pixels, single precision."""
    return 16 * resolution**2
