"""Is this machine fit to run the engine? Each check is one line: what was found, and how to mend it.

A check that raises is a FAIL with what it said, so that one broken library does not hide the others.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from stit_vfx._version import __version__
from stit_vfx.atomic import TEMP_PREFIX, atomic_bytes
from stit_vfx.errors import StitError

State = Literal["OK", "WARN", "FAIL"]

LIBRARIES = ("torch", "numpy", "opencv-python", "OpenEXR", "OpenImageIO", "opencolorio", "av", "dlib-bin")
MIN_FREE_GB, MIN_MEMORY_GB, MIN_OPEN_FILES = 10, 4, 256
MAX_CLOCK_SKEW_S = 30


@dataclass(frozen=True)
class Check:
    """What a check found, and in a sentence how to mend it (empty when all is well)."""

    name: str
    state: State
    found: str
    mend: str = ""

    def to_text(self) -> str:
        return f"{self.state:4}  {self.name}: {self.found}" + (f"  -> {self.mend}" if self.mend else "")

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def examine(folder: Path, *, pack_path: tuple[Path, ...] = (), ocio: str | None = None) -> list[Check]:
    """Every check, for output in `folder`. About three seconds, most of it torch."""
    checks: dict[str, Callable[[], Check | list[Check]]] = {
        "versions": _versions,
        "OpenCV": _opencv,
        "torch": _torch,
        "face finder": _face_finder,
        "packs": lambda: _packs(pack_path),
        "OCIO": lambda: _ocio(ocio),
        "storage": lambda: _storage(folder),
        "disk": lambda: _disk(folder),
        "memory": _memory,
        "open files": _open_files,
    }
    found: list[Check] = []
    for name, check in checks.items():
        result = _guarded(name, check)
        found += result if isinstance(result, list) else [result]
    return found


def _guarded(name: str, check: Callable[[], Check | list[Check]]) -> Check | list[Check]:
    try:
        return check()
    except StitError as error:
        return Check(name, "FAIL", error.problem, error.hint or "")
    except Exception as error:
        return Check(name, "FAIL", " ".join(f"{type(error).__name__}: {error}".split())[:200])


def _versions() -> Check:
    python = ".".join(str(part) for part in sys.version_info[:3])
    found, absent = [f"stit_vfx {__version__}", f"Python {python}"], []
    for library in LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            absent.append(library)
    if absent:
        return Check(
            "versions", "FAIL", f"not installed: {', '.join(absent)}", "Run scripts/environment again"
        )
    return Check("versions", "OK", ", ".join(found))


def _opencv() -> Check:
    try:
        cv2 = import_module("cv2")
    except ImportError as error:
        mend = (
            "apt-get install libgl1 libglib2.0-0" if ".so" in str(error) else "Run scripts/environment again"
        )
        return Check("OpenCV", "FAIL", str(error), mend)
    return Check("OpenCV", "OK", cv2.__version__)


def _torch() -> list[Check]:
    import torch

    if not torch.cuda.is_available():
        speed = _matmul_gflops("cpu")
        mend = "A CUDA device makes a shot many times faster; install a CUDA build of torch if there is one"
        return [Check("device", "WARN", f"processor only, {speed:.0f} GFLOP/s", mend)]
    found = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name, speed = torch.cuda.get_device_name(number), _matmul_gflops(f"cuda:{number}")
        memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GB free"
        found.append(Check(f"device cuda:{number}", "OK", f"{name}, {memory}, {speed:.0f} GFLOP/s"))
    return found


def _matmul_gflops(device: str, *, seconds: float = 1.0) -> float:
    import torch

    size = 1024
    matrix = torch.ones(size, size, device=device)
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        # .item() waits for the device, or only the queueing would be timed.
        (matrix @ matrix)[0, 0].item()
        count += 1
    return count * 2 * size**3 / elapsed / 1e9


def _face_finder() -> Check:
    from stit_vfx.face.detect import make_finder
    from stit_vfx.face.fan_weights import NEEDED, missing

    finder = make_finder("auto")
    lacking = {kind: missing(kind) for kind in NEEDED}
    usable = ["builtin", "dlib", *(kind for kind, names in lacking.items() if not names)]
    told = [f"{kind} lacks {', '.join(names)}" for kind, names in lacking.items() if names]
    words = f"{finder.name}; usable: {', '.join(usable)}" + (f" ({'; '.join(told)})" if told else "")
    return Check("face finder", "OK", f"{words}. {finder.licence}")


def _packs(pack_path: tuple[Path, ...]) -> list[Check]:
    from stit_vfx.packs.registry import list_packs, verify_pack

    found = []
    for pack in list_packs(search=pack_path):
        problems = verify_pack(pack)
        state: State = "FAIL" if problems else "OK"
        text = "; ".join(problems) if problems else str(pack)
        found.append(Check(f"pack {pack.name}", state, text, "Copy the pack again" if problems else ""))
    return found or [Check("packs", "FAIL", "none found", "Install stit_vfx again, or give --pack-path")]


def _ocio(config: str | None) -> Check:
    from stit_vfx.plate.colour import load_config

    loaded = load_config(config)
    return Check(
        "OCIO", "OK", f"{loaded.getName()}, scene_linear is {loaded.getRoleColorSpace('scene_linear')}"
    )


def _storage(folder: Path) -> list[Check]:
    """Write, fsync, rename, read back, link and clock, in the folder that output goes to."""
    place = _existing(folder)
    path = place / f"{TEMP_PREFIX}doctor-{os.getpid()}-{os.urandom(4).hex()}"
    link = path.with_name(f"{path.name}-link")
    try:
        before = time.time()
        atomic_bytes(path, b"stit")
        took_ms = 1000 * (time.time() - before)
        if path.read_bytes() != b"stit":
            return [Check("storage", "FAIL", f"{place}: what is read is not what was written")]
        return [
            Check("storage", "OK", f"{place}: write, fsync and rename in {took_ms:.0f} ms"),
            *_link(path, link),
            *_clock(path.stat().st_mtime - before),
        ]
    finally:
        path.unlink(missing_ok=True)
        link.unlink(missing_ok=True)


def _link(path: Path, link: Path) -> list[Check]:
    try:
        os.link(path, link)
    except OSError as error:
        mend = "Start the first task of a new job alone: two that start at once could take the same version"
        return [Check("hard links", "WARN", f"not on this storage ({error.strerror})", mend)]
    return []


def _clock(skew_s: float) -> list[Check]:
    if abs(skew_s) <= MAX_CLOCK_SKEW_S:
        return []
    return [
        Check("clock", "WARN", f"the storage's clock differs by {skew_s:.0f} s", "Set the clocks with NTP")
    ]


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists: `doctor` makes none."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _disk(folder: Path) -> Check:
    import psutil

    free_gb = psutil.disk_usage(str(_existing(folder))).free / 1e9
    if free_gb < MIN_FREE_GB:
        return Check("disk", "WARN", f"{free_gb:.1f} GB free", "A shot of 100 4K frames needs about 20 GB")
    return Check("disk", "OK", f"{free_gb:.0f} GB free")


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free, {cores} cores"
    if memory.available < MIN_MEMORY_GB * 2**30:
        return Check("memory", "WARN", found, "Close other programs, or use --quality draft")
    return Check("memory", "OK", found)


def _open_files() -> Check | list[Check]:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return []
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < MIN_OPEN_FILES:
        return Check("open files", "WARN", f"limit {soft}", f"Run: ulimit -n {MIN_OPEN_FILES}")
    return Check("open files", "OK", f"limit {'none' if soft < 0 else soft}")


def summary(checks: list[Check]) -> dict[str, Any]:
    """The answer for machines: `ok` unless something FAILs."""
    ok = all(check.state != "FAIL" for check in checks)
    return {"ok": ok, "version": __version__, "checks": [check.to_json() for check in checks]}
