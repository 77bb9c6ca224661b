"""How a run is done, as opposed to what is asked for (`stit_vfx.job`).

Nothing here changes a pixel except `device`, whose kind decides the last bit of a float; so none of it is
part of a job, a version or a content key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OnFrameError = Literal["stop", "skip", "plate"]
EventFormat = Literal["jsonl", "openjd", "text", "none"]

STEPS = ("align", "invert", "tune", "edit", "stitch", "composite")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the person or the farm that runs a job decides.

    device          "auto", "cpu", "cuda" or "cuda:N"
    frames          only these of the job's frames (a farm's chunk); None: all
    step            stop when this step is done; None: go through to the composite
    on_frame_error  "stop"; "skip" writes nothing for the frame; "plate" writes the plate's own pixels
    allow_partial   end with status 0, not 5, when frames were skipped or left as the plate
    pack_path       folders searched for packs before all others
    memory_limit_mb refuse (STIT-E404) rather than grow beyond this; None: no limit
    ocio            OCIO config: a file or `ocio://` name; None: $OCIO, then the built-in one
    threads         processor threads for the networks; None: the library's own choice
    """

    device: str = "auto"
    frames: tuple[int, ...] | None = None
    step: str | None = None
    on_frame_error: OnFrameError = "stop"
    allow_partial: bool = False
    pack_path: tuple[Path, ...] = ()
    memory_limit_mb: int | None = None
    ocio: str | None = None
    threads: int | None = None

    def steps(self) -> tuple[str, ...]:
        """The steps this run goes through, in order."""
        return STEPS if self.step is None else STEPS[: STEPS.index(self.step) + 1]


def threads_from(environment: Mapping[str, str] = os.environ) -> int | None:
    """How many threads a farm has granted: the first whole number of STIT_, CUE_ and SLURM_'s variables."""
    for name in ("STIT_THREADS", "CUE_THREADS", "SLURM_CPUS_PER_TASK"):
        text = environment.get(name, "")
        if text.isdecimal() and int(text) > 0:
            return int(text)
    return None
