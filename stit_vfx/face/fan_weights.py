"""FAN's weight files: which is which, whether they are here, and how a user's copies get to their place.

The library would download what it lacks, so it is never constructed before everything is here. What is put
there is rewritten as tensors alone: the library opens one of its files with a loader that runs what it finds.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stit_vfx.atomic import atomic_bytes
from stit_vfx.errors import MissingPartError, PackSourceError

if TYPE_CHECKING:
    from stit_vfx.packs.convert.states import State

# As face_alignment 1.5 calls them.
FILES: Mapping[str, str] = {
    "s3fd": "s3fd-619a316812.pth",
    "2DFAN4": "2DFAN4-11f355bf06.pth.tar",
    "3DFAN4": "3DFAN4-7835d9f11d.pth.tar",
    "depth": "depth-2a464da4ea.pth.tar",
}
# What each kind of finder opens. 3-D landmarks are used as they are seen in the picture, so their depth, and
# the fourth network, is not needed.
NEEDED: Mapping[str, tuple[str, ...]] = {"fan": ("s3fd", "2DFAN4"), "fan-3d": ("s3fd", "3DFAN4")}

LOOKALIKES = "FAN4"
_COUNTER = "num_batches_tracked"

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Installed:
    """A weight file that is where the library looks."""

    kind: str
    path: Path


def weights_folder() -> Path:
    """Torch hub's checkpoint folder by torch's own rule, without torch: $TORCH_HOME, else
    $XDG_CACHE_HOME/torch. Set but empty is the current folder there, so it is here."""
    home = os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return Path(os.path.expanduser(os.environ.get("TORCH_HOME", home)), "hub", "checkpoints")


def weights_path(kind: str) -> Path:
    """Where the library looks for one of `FILES`."""
    return weights_folder() / FILES[kind]


def missing(finder: str) -> list[str]:
    """Names of the files that a finder, "fan" or "fan-3d", lacks on this machine."""
    return [FILES[kind] for kind in NEEDED[finder] if not weights_path(kind).is_file()]


def recognise(shapes: Shapes) -> str | None:
    """Which network tensors of these names and shapes belong to, or None. `check` says whether all fit.

    "s3fd", "depth", or "FAN4" for both landmark networks, which are alike but for their numbers.
    """
    if {"conv1_1.weight", "conv3_3_norm.weight"} <= shapes.keys():
        return "s3fd"
    if {"m0.b1_4.conv1.weight", "l0.weight"} <= shapes.keys():
        return LOOKALIKES
    # A ResNet like many others, but for what it looks at: a picture and 68 heat maps.
    if "layer3.35.conv1.weight" in shapes and tuple(shapes.get("conv1.weight", ()))[1:2] == (71,):
        return "depth"
    return None


def check(kind: str, shapes: Shapes, *, where: Path) -> None:
    """Raise PackSourceError that names the first tensor that does not fit the library's own network."""
    problems = _misfits(LOOKALIKES if kind.endswith(LOOKALIKES) else kind, shapes)
    if problems:
        more = f", and {len(problems) - 1} more like this" if len(problems) > 1 else ""
        hint = "Take the file that face-alignment 1.5 uses; see Face finders in docs/usage.md"
        raise PackSourceError(
            f"is not the {kind} that is used here: it {problems[0]}{more}", where=where, hint=hint
        )


def _misfits(kind: str, shapes: Shapes) -> list[str]:
    """What is missing, left over or of another shape, in words."""
    wanted = network_shapes(kind)
    names = sorted(name for name in {*wanted, *shapes} if not name.endswith(_COUNTER))
    lacking = [f"has no tensor {name}" for name in names if name not in shapes]
    odd = [f"has a tensor that nothing uses, {name}" for name in names if name not in wanted]
    other = [
        f"tensor {name} is {tuple(shapes[name])} where {wanted[name]} is expected"
        for name in names
        if name in shapes and name in wanted and tuple(shapes[name]) != wanted[name]
    ]
    return lacking + odd + other


@cache
def network_shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the library's own network."""
    try:
        import torch
        from face_alignment.detection.sfd.net_s3fd import s3fd
        from face_alignment.models import FAN, ResNetDepth
    except ImportError as error:
        raise MissingPartError(
            f"face_alignment cannot be imported ({error})", hint="Run: pip install face-alignment"
        ) from error
    made: dict[str, Any] = {"s3fd": s3fd, "depth": ResNetDepth}
    with torch.device("meta"):
        network = made[kind]() if kind in made else FAN(4)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def install(path: str | Path, kind: str | None = None) -> Path:
    """Put a weight file where the library looks, and return its place. Doing it again changes nothing.

    kind  one of `FILES`; None: what the file is. The 2-D and the 3-D network cannot be told apart by what is
          in them: then the file's name must begin with 2DFAN or 3DFAN, as the published ones do.
    Raises PackSourceError if it is no such file, or if another one is at its place already.
    """
    path = Path(path)
    found, state = _read(path)
    kind = _which(path, found if kind in (None, LOOKALIKES) else str(kind))
    check(kind, _shapes(state), where=path)
    data, place = _rewritten(kind, state), weights_path(kind)
    if place.is_file() and not _holds(place, state):
        raise PackSourceError(
            f"another file is where {path.name} would go", where=place, hint="Move it away, then try again"
        )
    # Also where the same tensors are in a file that was not written here.
    if not place.is_file() or place.read_bytes() != data:
        atomic_bytes(place, data)
    return place


def install_files(paths: Iterable[str | Path]) -> list[Installed]:
    """Install several files; nothing is written before all of them are known to be right."""
    files = [Path(path) for path in paths]
    kinds = [_which(path, _read(path)[0]) for path in files]
    return [Installed(kind, install(path, kind)) for path, kind in zip(files, kinds, strict=True)]


def _which(path: Path, kind: str) -> str:
    if kind != LOOKALIKES:
        return kind
    for name in ("2DFAN4", "3DFAN4"):
        if path.name.upper().startswith(name[:5]):
            return name
    raise PackSourceError(
        "is FAN's network for 2-D or for 3-D landmarks; they look alike inside",
        where=path,
        hint="Name the file 2DFAN4.pth or 3DFAN4.pth, as its source says",
    )


def _read(path: Path) -> tuple[str, State]:
    from stit_vfx.packs.convert.states import states
    from stit_vfx.packs.reading import read_model_file

    for state in states(read_model_file(path)).values():
        if (kind := recognise(_shapes(state))) is not None:
            check(kind, _shapes(state), where=path)
            return kind, state
    raise PackSourceError(
        "holds none of FAN's networks", where=path, hint=f"They are called {', '.join(FILES.values())}"
    )


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in state.items()}


def _rewritten(kind: str, state: State) -> bytes:
    """The file as the library expects it: its tensors, and for the depth network one level around them."""
    import torch

    tensors = {name: weight.read().clone() for name, weight in state.items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": tensors} if kind == "depth" else tensors, buffer)
    return buffer.getvalue()


def _holds(place: Path, state: State) -> bool:
    """Whether the file at `place` has these very tensors."""
    import torch

    try:
        _, there = _read(place)
    except PackSourceError:
        return False
    return there.keys() == state.keys() and all(
        torch.equal(there[name].read(), weight.read()) for name, weight in state.items()
    )
