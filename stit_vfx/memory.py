"""How much memory a run takes: an upper estimate before it begins, and the room that its caches are given."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import psutil
import torch

from stit_vfx.errors import MemoryLimitError
from stit_vfx.parallel import MOST_WORKERS

if TYPE_CHECKING:
    from stit_vfx.bench import Bench
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
# Side by side go the frames of generators up to this size: larger ones share out one frame among the cores.
SMALL_PX = 256
# Of each frame in flight beyond the first, per pixel of its crop: layers, labels and pyramids, measured.
CROP_BYTES = 700
PLATE_BYTES = 90


def kept_frames(resolution: int) -> int:
    """Crops of a generator's size that the tune step keeps; a batch of them at least."""
    return min(max(KEPT_MB * 2**20 // _crop_bytes(resolution), 4), KEPT_FRAMES)


def memory_need_mb(plate: Plate, pack: Pack, job: Job) -> int:
    """An upper estimate of what a run takes, from the size of the plate and of the networks.

    Beyond some tens of frames their number does not matter: frames are streamed.
    """
    height, width = plate.shape
    # A plate in flight: float and double copies of RGB, the matte, and the file's own channels twice.
    plate_mb = height * width * PLATE_BYTES / 2**20
    # Texts are embedded, and crops encoded, by networks that are let go of before anything is tuned.
    text_mb = TEXT_MB if any(edit.text is not None for edit in job.edits) else 0
    return int(
        LIBRARIES_MB + plate_mb + max(_tune_mb(pack, job), text_mb, _weights_mb(pack) + _encoder_mb(pack))
    )


def check_memory(plate: Plate, pack: Pack, options: RunOptions, job: Job) -> None:
    """Raise MemoryLimitError where a run would take more than there is, or than it may."""
    need, limit = memory_need_mb(plate, pack, job), _limit_mb(options)
    if need > limit:
        raise MemoryLimitError(
            f"the job needs about {need} MB of memory and may use {limit} MB",
            hint="Close other programs, raise --memory-limit, or use a machine with more memory",
        )


def frames_at_once(bench: Bench) -> int:
    """How many frames to compute side by side; 0: one after the other, each with all threads.

    No number of them changes a bit of the result. As many as there are threads, if memory allows.
    """
    model = bench.pack.model
    if bench.device != "cpu" or model.resolution > SMALL_PX:
        return 0
    height, width = bench.plate.shape
    each_mb = (height * width * PLATE_BYTES + model.crop_size**2 * CROP_BYTES) / 2**20
    each_mb += 5 * _weights_mb(bench.pack) + ACTIVATIONS_MB * model.resolution**2
    room_mb = _limit_mb(bench.options) - memory_need_mb(bench.plate, bench.pack, bench.job)
    threads = bench.options.threads or torch.get_num_threads()
    return min(threads, MOST_WORKERS, 1 + max(int(room_mb / 2 / each_mb), 0))


def _limit_mb(options: RunOptions) -> int:
    free = psutil.virtual_memory().available // 2**20 + psutil.Process().memory_info().rss // 2**20
    return min(free, options.memory_limit_mb or free)


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
