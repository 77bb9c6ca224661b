"""The real command line over a pipeline that does nothing, or something bad, as $FAKE says. Not a test.

python fake_engine.py ARGS...      FAKE='{"seconds": 0.1, "noise": true, "at_1002": "segv"}'
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from stit_vfx.errors import NoFaceError

FAKE = json.loads(os.environ.get("FAKE", "{}"))


@dataclass(frozen=True)
class RunResult:
    exit_status: int
    version: str
    outputs: list[dict[str, Any]]
    measured: dict[str, Any] = field(default_factory=dict)


class Plan:
    def to_json(self) -> dict[str, Any]:
        return {"frames": 3}

    def to_text(self) -> str:
        return "3 frames to do"


def misbehave(how: str | None) -> None:
    match how:
        case "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "no face":
            raise NoFaceError("no face found", frame=1002, hint="Give --face")
        case "bug":
            raise KeyError("a bug")
        case "disk full":
            raise OSError(errno.ENOSPC, "No space left on device", "a.exr")
        case "memory":
            raise MemoryError
        case "libGL":
            raise ImportError("libGL.so.1: cannot open shared object file", name="cv2")


def run(job: Any, *, out: Path, reporter: Any, cancel: Any, options: Any) -> RunResult:
    frames = options.frames or job.frame_numbers()
    reporter.stage("stitch", "start", total=len(frames))
    for done, frame in enumerate(frames, 1):
        if FAKE.get("noise"):
            print("noise from Python")
            ctypes.CDLL(None).puts(b"noise from C")
            ctypes.CDLL(None).fflush(None)
        misbehave(FAKE.get(f"at_{frame}"))
        until = time.monotonic() + FAKE.get("seconds", 0)
        while time.monotonic() < until:
            cancel.check()
            time.sleep(0.01)
        reporter.progress("stitch", done, len(frames), frame=frame)
        reporter.frame(frame, "ok")
    outputs = [{"kind": "comp", "path": str(out / "comp.####.exr"), "frames": job.frames}]
    return RunResult(FAKE.get("exit", 0), "v001", outputs, {"direction": job.edits[0].direction})


def plan(job: Any, *, out: Path, options: Any) -> Plan:
    return Plan()


if __name__ == "__main__":
    for function in (run, plan):
        name = {"run": "stit_vfx.pipeline", "plan": "stit_vfx.plan"}[function.__name__]
        sys.modules[name] = ModuleType(name)
        setattr(sys.modules[name], function.__name__, function)

    from stit_vfx.cli import main

    main()
