"""One frame, quick: how an edit will look, before anyone waits for the shot."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from stit_vfx.errors import FrameRangeError
from stit_vfx.events import Reporter
from stit_vfx.options import RunOptions

if TYPE_CHECKING:
    from stit_vfx.job import Job


def preview(job: Job, frame: int, target: Path, options: RunOptions, *, reporter: Reporter) -> Path:
    """Edit one frame as a draft, tuned to that frame alone, and write plate and edit as a PNG.

    No version is made and nothing of the shot's folder is touched. Raises FrameRangeError for a frame that
    the job does not have.
    """
    from stit_vfx.pipeline import run
    from stit_vfx.review.version import SHEET_NAME
    from stit_vfx.shot import Shot

    if job.frames is not None and frame not in job.frame_numbers():
        raise FrameRangeError(f"frame {frame} is not one of the job's", hint=f"The job has {job.frames}")
    alone = job.replace({**_drafted(job, frame), **_face_here(job, frame, options, reporter)})
    with TemporaryDirectory(prefix="stit-preview-") as folder:
        result = run(alone, out=Path(folder), reporter=reporter, cancel=reporter.cancel, options=options)
        shot = Shot.at(Path(folder) / f"{job.shot}.stit")
        picture = shot.find_version(result.version).preview_path(SHEET_NAME).read_bytes()
    from stit_vfx.atomic import atomic_bytes

    atomic_bytes(target, picture)
    return target


def _face_here(job: Job, frame: int, options: RunOptions, reporter: Reporter) -> dict[str, Any]:
    """The picked face as this frame has it: one frame alone does not know where a face of another went."""
    face = job.face
    picked = face.id is not None or ((face.point or face.box) is not None and face.frame != frame)
    if not picked or job.quads is not None:
        return {}
    from stit_vfx.survey import face_on

    box = face_on(job, frame, reporter=reporter, cancel=reporter.cancel, options=options)
    return {"face": {"box": list(box), "frame": frame}}


def _drafted(job: Job, frame: int) -> dict[str, Any]:
    """What of the job is done otherwise. The published schedule's numbers mean hours; they are not kept."""
    tune: dict[str, Any] = {"frames": str(frame), "schedule": "default"}
    stitch: dict[str, Any] = {}
    if job.tune.schedule == "paper":
        tune |= {"steps": None, "lr": None, "locality": False}
        stitch = {"steps": None, "threshold": None}
    return {"frames": str(frame), "tune": tune, "stitch": stitch, "quality": "draft"}
