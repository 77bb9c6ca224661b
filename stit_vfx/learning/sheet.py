"""A sheet to judge directions by: strengths in columns, samples in rows.

Plain generators render codes. A picture of a face goes the whole way instead, through the pipeline as
`stit preview` does, with every pack: what is on the sheet is what a run would deliver, as a draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from stit_vfx.errors import JobError, JobFieldError, UnknownDirectionError
from stit_vfx.events import Cancel, Reporter
from stit_vfx.gan.stylegan2 import Generator
from stit_vfx.learning.drawing import as_8bit, picture_plate
from stit_vfx.learning.ruler import render
from stit_vfx.options import RunOptions
from stit_vfx.packs.model import Direction
from stit_vfx.plate.colour import CodeSpace
from stit_vfx.review.sheet import picture_grid, write_png

if TYPE_CHECKING:
    from stit_vfx.job import Job
    from stit_vfx.packs.load import Pack

COLUMNS = 5
FACE_PX = 192


@dataclass(frozen=True, eq=False)
class Shown:
    """One row's face: rows of w, or a picture of a face, and what to call it."""

    name: str
    ws: np.ndarray | None = None
    image: Path | None = None


def preview_sheet(
    pack: Pack,
    names: Sequence[str],
    faces: Sequence[Shown],
    target: Path,
    *,
    strengths: Sequence[float] | None = None,
    reporter: Reporter,
    options: RunOptions,
) -> Path:
    """Write the sheet: for each direction, a row of pictures for each face.

    strengths  default: five from -1 to 1, within the direction's range
    Raises UnknownDirectionError, and JobFieldError for a strength beyond a direction's range.
    """
    columns = {name: strengths_of(_direction(pack, name), strengths) for name in names}
    total = sum(len(each) for each in columns.values()) * len(faces)
    rows: list[list[tuple[str, np.ndarray]]] = []
    reporter.stage("preview", "start", total=total)
    with TemporaryDirectory(prefix="stit-directions-") as folder:
        desk = _Desk(pack, Path(folder), options, reporter.cancel)
        for name, face in product(names, faces):
            rows.append([])
            for strength in columns[name]:
                reporter.cancel.check()
                label = f"{face.name}  {name} {strength:+g}" if strength else face.name
                rows[-1].append((label, desk.picture8(face, name, strength)))
                reporter.progress("preview", sum(map(len, rows)), total)
    title = f"{pack.name}: {', '.join(names)}"
    write_png(target, picture_grid(rows, title=title, notes=[_note(pack, name) for name in names]))
    return target


def strengths_of(direction: Direction, asked: Sequence[float] | None) -> tuple[float, ...]:
    """The strengths of a direction's columns."""
    low, high = direction.range
    if asked is None:
        return tuple(float(s) for s in np.linspace(max(low, -1), min(high, 1), COLUMNS).round(3) + 0.0)
    if odd := [strength for strength in asked if not low <= strength <= high]:
        raise JobFieldError(f"--strengths: {direction.name} goes from {low:g} to {high:g}, not to {odd[0]:g}")
    return tuple(asked)


def _direction(pack: Pack, name: str) -> Direction:
    if name not in pack.directions:
        raise UnknownDirectionError(
            f"pack {pack.name} has no direction {name!r}",
            hint=f"The pack has {', '.join(sorted(pack.directions))}",
        )
    return pack.directions[name]


def _note(pack: Pack, name: str) -> str:
    measured = pack.spec.directions[name].measured
    scores = [f"{key} {measured[key]:.2f}" for key in ("roc_auc", "r2") if measured.get(key) is not None]
    told = [pack.directions[name].title, *scores]
    return f"{name}: {', '.join(word for word in told if word)}".rstrip(": ")


@dataclass(frozen=True, eq=False)
class _Desk:
    """Where the sheet's pictures are made. `work`: a folder for the shots of single pictures."""

    pack: Pack
    work: Path
    options: RunOptions
    cancel: Cancel

    def picture8(self, face: Shown, name: str, strength: float) -> np.ndarray:
        """A face at a strength, (H, FACE_PX, 3) uint8."""
        if face.image is not None:
            return _sized(self._delivered8(face.image, name, strength))
        if face.ws is None or not isinstance(self.pack.model.network, Generator):
            raise JobError(f"pack {self.pack.name} draws no faces of its own", hint="Give --image")
        return _sized(as_8bit(render(self.pack.model, face.ws, self.pack.directions[name], strength)))

    def _delivered8(self, image: Path, name: str, strength: float) -> np.ndarray:
        """The face of a picture after a draft run, cut out at the plate's own pixels, (H, W, 3) uint8.

        All strengths of a picture are versions of one shot, which is aligned and tuned once.
        """
        from stit_vfx.pipeline import run
        from stit_vfx.plate.exr import read_exr
        from stit_vfx.shot import Shot

        plate, frame = picture_plate(image, ocio=self.options.ocio)
        job = _job(self.pack, image, frame, name, strength)
        options = replace(self.options, frames=None, step=None)
        quiet = Reporter("none", cancel=self.cancel)
        result = run(job, out=self.work, reporter=quiet, cancel=self.cancel, options=options)
        version = Shot.at(self.work / f"{job.shot}.stit").find_version(result.version)
        quad = np.array(version.records()[frame]["meta"]["quad"])
        comp8 = CodeSpace.of(plate.colour).to_display8(read_exr(version.comp_path(frame), frame).rgb())
        (x0, y0), (x1, y1) = quad.min(0).round().astype(int), quad.max(0).round().astype(int)
        return comp8[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]


def _job(pack: Pack, image: Path, frame: int, name: str, strength: float) -> Job:
    from stit_vfx.job import Job

    return Job.from_options(
        plate=str(image),
        shot=f"face-{sha256(str(image).encode()).hexdigest()[:12]}",
        pack=str(pack.folder),
        frames=str(frame),
        edits=[{"direction": name, "strength": strength}],
        tune={"frames": str(frame), "schedule": "default"},
        quality="draft",
    )


def _sized(picture8: np.ndarray) -> np.ndarray:
    from PIL import Image

    size = (FACE_PX, round(FACE_PX * picture8.shape[0] / picture8.shape[1]))
    return np.asarray(Image.fromarray(picture8).resize(size, Image.Resampling.LANCZOS))
