"""Shots through the engine, as `stit run` would, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from shots import Shot

from stit_vfx.events import Cancel, Reporter
from stit_vfx.job import Job
from stit_vfx.options import RunOptions
from stit_vfx.plate.exr import read_exr

if TYPE_CHECKING:
    from stit_vfx.alignment import Aligned
    from stit_vfx.bench import Bench
    from stit_vfx.face.detect import FaceFinder
    from stit_vfx.pipeline import Inverted

Array = np.ndarray


@dataclass(frozen=True)
class Effort:
    """How much work goes into a shot: a smaller effort is quicker, and a little worse."""

    tune_steps: int | None = None
    stitch_clips: bool = True
    stitch_stills: bool = True

    @property
    def name(self) -> str:
        return {FULL: "full", PLAIN: "stills are not stitched", QUICK: "quick"}.get(self, str(self))


FULL, PLAIN, QUICK = Effort(), Effort(stitch_stills=False), Effort(48, False, False)


@dataclass(frozen=True)
class Cooked:
    """Frames of a plate and of its edit: code (T, H, W, 3) float32, 8-bit (T, H, W, 3), matte (T, H, W)."""

    plate_code: Array
    edit_code: Array
    plate8: Array
    edit8: Array
    matte: Array


@dataclass(frozen=True)
class _Tuned:
    """A shot up to the tune step; the pack of its bench holds the tuned weights."""

    bench: Bench
    aligned: Aligned
    inverted: Inverted
    key: str
    pictures: Mapping[str, Array]


class Kitchen:
    """One shot: opened, aligned, inverted and tuned once, then edited as often as one likes.

    An edit does what `stit run` does, from the edit step to the frames on disk, and no more: no review
    products, no measurements of the engine's own, and nothing is loaded twice. Nothing is opened before it is
    needed. Several processes may work in the same folder.
    """

    def __init__(self, shot: Shot, out: Path, *, effort: Effort, pack: str, finder: FaceFinder) -> None:
        """`finder`: who finds faces for the engine; loading one for each shot would be waste."""
        self.shot, self.out, self.effort, self.pack, self.finder = shot, out, effort, pack, finder

    def reconstructions(self) -> Mapping[str, Array]:
        """The first frame's crop as the generator sees it, and its picture after invert and after tune:
        {"crop", "invert", "tune"}, each (R, R, 3) code."""
        return self._tuned.pictures

    def cook(self, edits: Mapping[str, float], frames: Sequence[int] | None = None) -> Cooked:
        """Edit some frames of the shot (None: all); what has been done before is read from the disk."""
        from stit_vfx import pipeline

        ready, wanted = self._tuned, tuple(frames or self.shot.frames)
        stitch = self.effort.stitch_clips if len(wanted) > 1 else self.effort.stitch_stills
        job = self._job(edits, stitch=stitch).with_defaults(frames=ready.bench.plate.frames)
        version = ready.bench.shot.version(job)
        bench = replace(ready.bench, job=job, version=version, frames=wanted, keys={})
        aligned, inverted = ready.aligned, ready.inverted
        edited = pipeline.edit(bench, inverted)
        stitched = pipeline.stitch(bench, aligned, inverted, edited, ready.key)
        pipeline.composite(bench, aligned, inverted, edited, stitched)
        return self._read(version.comp_path, version.matte_path, wanted)

    def plate8(self, frames: Sequence[int]) -> list[Array]:
        """The plate's frames, (H, W, 3) uint8 sRGB."""
        return [self._plate[frame][1] for frame in frames]

    def _read(
        self, comp: Callable[[int], Path], matte: Callable[[int], Path], frames: Sequence[int]
    ) -> Cooked:
        space = self._tuned.bench.code
        after = [read_exr(comp(frame), frame).rgb() for frame in frames]
        return Cooked(
            plate_code=np.stack([self._plate[frame][0] for frame in frames]),
            edit_code=np.stack([space.encode(light) for light in after]),
            plate8=np.stack([self._plate[frame][1] for frame in frames]),
            edit8=np.stack([space.to_display8(light) for light in after]),
            matte=np.stack([read_exr(matte(frame), frame).rgb()[..., 0] for frame in frames]),
        )

    @cached_property
    def _plate(self) -> dict[int, tuple[Array, Array]]:
        """Code and 8-bit picture of every frame."""
        bench = self._tuned.bench
        light = {frame: bench.plate.read(frame).rgb() for frame in self.shot.frames}
        return {frame: (bench.code.encode(rgb), bench.code.to_display8(rgb)) for frame, rgb in light.items()}

    @cached_property
    def _tuned(self) -> _Tuned:
        from stit_vfx import pipeline
        from stit_vfx.bench import open_bench

        cancel = Cancel()
        bench = open_bench(
            self._job({"smile": 0.8}, stitch=False),
            out=self.out,
            reporter=Reporter("none", cancel=cancel),
            cancel=cancel,
            options=RunOptions(),
        )
        bench.finder = self.finder
        aligned = pipeline.align(bench)
        inverted = pipeline.invert(bench, aligned)
        pictures = {"crop": self._crop(bench, aligned), "invert": self._picture(bench, aligned, inverted)}
        key = pipeline.tune(bench, aligned, inverted)
        inverted = pipeline.hold_fine_layers(bench, inverted)
        pictures["tune"] = self._picture(bench, aligned, inverted)
        return _Tuned(bench, aligned, inverted, key, pictures)

    def _crop(self, bench: Bench, aligned: Aligned) -> Array:
        from stit_vfx.alignment import crop_of
        from stit_vfx.steps.image import resize

        crop = crop_of(bench, aligned, self.shot.frames[0])
        return resize(crop.crop_code, bench.pack.model.resolution)

    def _picture(self, bench: Bench, aligned: Aligned, inverted: Inverted) -> Array:
        """The first frame as the generator draws it now."""
        import torch

        from stit_vfx.steps.image import to_code

        frame, model = self.shot.frames[0], bench.pack.model
        code = inverted.codes[frame]
        maps = model.maps(None if code.shape is None else [code.shape], aligned.quads[frame][None])
        with torch.no_grad():
            ws = torch.from_numpy(np.asarray(code.ws, np.float32))[None]
            return np.asarray(to_code(model.synthesize(ws, maps))[0])

    def _job(self, edits: Mapping[str, float], *, stitch: bool) -> Job:
        tune = {} if self.effort.tune_steps is None else {"steps": self.effort.tune_steps}
        return Job.from_options(
            shot=self.shot.name,
            plate=self.shot.plate,
            pack=self.pack,
            edits=[{"direction": name, "strength": strength} for name, strength in edits.items()],
            tune=tune,
            stitch={"enabled": stitch},
            consent="benchmark",
        )
