"""The workbench of a run: everything the six steps need, opened and checked once.

Nothing here decides pixels. It opens plate, pack and shot folder, knows fingerprints and paths, and refuses
early: a job that cannot end well stops before anything is computed or written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.cache import file_sha256, read_json, write_json
from stit_vfx.errors import (
    DeviceError,
    FrameRangeError,
    JobFieldError,
    PlateError,
    PlateMissingError,
    PlateSizeError,
    UnknownDirectionError,
)
from stit_vfx.events import Cancel, Reporter
from stit_vfx.job import Edit, Job
from stit_vfx.memory import check_memory
from stit_vfx.options import RunOptions
from stit_vfx.packs.terms import not_free
from stit_vfx.shot import Shot, Version

if TYPE_CHECKING:
    from stit_vfx.face.detect import FaceFinder
    from stit_vfx.packs.load import Pack
    from stit_vfx.packs.model import Direction
    from stit_vfx.plate.colour import CodeSpace
    from stit_vfx.plate.exr import Frame
    from stit_vfx.plate.source import Plate
    from stit_vfx.text.direction import TextMove
    from stit_vfx.text.moves import TextMoves
    from stit_vfx.tuned import Tuned


@dataclass
class Bench:
    """One run at work. `job` has every default filled in; `frames` are those this run delivers."""

    job: Job
    plate: Plate
    code: CodeSpace
    pack: Pack
    shot: Shot
    version: Version
    frames: tuple[int, ...]
    device: str
    options: RunOptions
    reporter: Reporter
    cancel: Cancel
    dry: bool = False
    unreadable: dict[int, PlateError] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    texts: Mapping[int, TextMove] = field(default_factory=dict)
    """What the job's texts move, by the edit's place in the job."""
    tuned: Tuned | None = None
    """The shot as it was tuned elsewhere, where the job brings that."""
    tuned_sha256: str = ""

    @property
    def crops_known(self) -> bool:
        """Whether nobody needs to look for the face: its crops are given, and a parser gives the matte."""
        return self.tuned is not None and self.pack.parser is not None

    def refer(self, step: str, key: str) -> str:
        """Remember the key of a step, for the record of what this version uses; returns it."""
        if not self.dry and self.keys.get(step) != key:
            self.keys[step] = key
            self.version.refer([key])
        return key

    def read(self, frame: int) -> Frame:
        """A frame of the plate, after a look at the cancel flag."""
        self.cancel.check()
        return self.plate.read(frame)

    def seen8(self, frame: int) -> np.ndarray:
        """The frame as a face finder sees it: (H, W, 3) uint8 sRGB."""
        return self.code.to_display8(self.read(frame).rgb())

    @cached_property
    def fingerprints(self) -> FingerprintBook:
        return FingerprintBook(self.shot.path / "cache" / "fingerprints.json", self.plate)

    @cached_property
    def finder(self) -> FaceFinder:
        """What finds faces and landmarks on this machine."""
        from stit_vfx.face.detect import make_finder

        return make_finder(self.job.align.finder, self.device)

    @cached_property
    def holdout(self) -> Plate | None:
        """The hold-out matte's sequence, if the job names one."""
        from stit_vfx.plate.source import open_plate

        if self.job.matte.holdout is None:
            return None
        return open_plate(self.job.matte.holdout, colourspace="data", config=self.options.ocio)

    def progress(self, step: str, done: int, total: int, *, frame: int | None = None) -> None:
        """Say how far a step is, and stop here if the user wants it so."""
        self.reporter.progress(step, done, total, frame=frame)
        self.cancel.check()

    def holdout_at(self, frame: int) -> np.ndarray | None:
        """(H, W) float32 of the hold-out matte, 1 where the plate is kept; None without one.

        A single picture holds for every frame. Luminance counts: the mean of its RGB.
        """
        if self.holdout is None:
            return None
        held = self.holdout.read(self._holdout_frame(frame))
        if held.shape != self.plate.shape:
            raise PlateSizeError(
                f"the hold-out is {size_text(held.shape)}, the plate {size_text(self.plate.shape)}",
                where=self.holdout.name,
                frame=frame,
            )
        return np.clip(np.nan_to_num(held.rgb().mean(-1)), 0, 1).astype(np.float32)

    def holdout_fingerprint(self, frame: int) -> str:
        """What the hold-out is on this frame, for content keys."""
        return "" if self.holdout is None else self.holdout.fingerprint(self._holdout_frame(frame))

    def _holdout_frame(self, frame: int) -> int:
        assert self.holdout is not None
        if len(self.holdout.frames) == 1:
            return self.holdout.frames[0]
        if frame not in self.holdout.frames:
            raise PlateMissingError("the hold-out has no such frame", where=self.holdout.name, frame=frame)
        return frame

    def moves_at(self, frame: int) -> list[tuple[Direction, float]]:
        """(Direction, strength) of every edit on a frame; edits at zero are left out."""
        strengths = self.job.strengths_at(frame)
        pairs = ((self._direction(number), strength) for number, strength in enumerate(strengths))
        return [(direction, strength) for direction, strength in pairs if strength != 0]

    def _direction(self, number: int) -> Direction:
        from dataclasses import replace

        if number in self.texts:
            return self.texts[number].direction
        edit = self.job.edits[number]
        direction = self.pack.directions[str(edit.direction)]
        return direction if edit.layers is None else replace(direction, layers=edit.layers)


class FingerprintBook:
    """sha256 of the plate's frames; a file whose size and time have not changed is not read again."""

    def __init__(self, path: Path, plate: Plate) -> None:
        self._path, self._plate = path, plate
        self._known: dict[str, Any] = read_json(path) or {}
        self._changed = False

    def of(self, frame: int) -> str:
        """The frame's fingerprint. Movies have no file per frame, so their pixels are hashed."""
        path = self._plate.path(frame)
        if path is None:
            return self._remember(f"frame {frame}", [], frame)
        stat = path.stat()
        return self._remember(str(path), [stat.st_size, stat.st_mtime_ns], frame)

    def _remember(self, name: str, stamp: list[int], frame: int) -> str:
        known = self._known.get(name)
        if not (stamp and isinstance(known, list) and known[:2] == stamp):
            self._known[name] = known = [*stamp, self._plate.fingerprint(frame)]
            self._changed = True
        return str(known[-1])

    def save(self) -> None:
        if self._changed:
            write_json(self._path, self._known)


def open_bench(
    job: Job, *, out: Path, reporter: Reporter, cancel: Cancel, options: RunOptions, dry: bool = False
) -> Bench:
    """Open and check everything a run needs. Raises the error of whatever is wrong, before any work.

    With `dry` nothing is written: shot and version are where they would be.
    """
    from stit_vfx.packs.load import load_pack
    from stit_vfx.plate.colour import CodeSpace
    from stit_vfx.plate.source import open_plate

    device = choose_device(options, reporter)
    plate = open_plate(job.plate, colourspace=job.colourspace, config=options.ocio)
    job = job.with_defaults(frames=plate.frames)
    unreadable = _check_frames(job, plate, options)
    _check_quads(job)
    pack = load_pack(job.pack, device=device, search=options.pack_path)
    _check_edits(job, pack)
    _check_options(job, pack)
    tuned = _tuned(job, pack)
    if plate.colour.guessed:
        reporter.warn(
            "STIT-W302", f"the plate's colour space was guessed: {plate.colour.space} ({plate.colour.why})"
        )
    if not job.consent:
        reporter.warn("STIT-W501")
    if odd_parts := not_free(pack.spec, job):
        reporter.warn("STIT-W201", odd_parts)
    frames = _delivered(job, options)
    check_memory(plate, pack, options, job)
    texts = _text_moves(job, pack, Shot(out / f"{job.shot}.stit", job.shot))
    if odd := [move.advice() for move in texts.moves.values() if move.odd]:
        reporter.warn("STIT-W101", "; ".join(odd))
    shot = Shot(out / f"{job.shot}.stit", job.shot) if dry else Shot.open(out, job.shot)
    version = planned_version(shot, job) if dry else shot.version(job)
    if not dry:
        _keep_texts(texts, version)
    return Bench(
        job=job,
        plate=plate,
        code=CodeSpace.of(plate.colour),
        pack=pack,
        shot=shot,
        version=version,
        frames=frames,
        device=device,
        options=options,
        reporter=reporter,
        cancel=cancel,
        dry=dry,
        unreadable=unreadable,
        texts=texts.moves,
        tuned=tuned,
        tuned_sha256="" if job.tuned is None else file_sha256(Path(job.tuned)),
    )


def planned_version(shot: Shot, job: Job) -> Version:
    """The version that a job has, or would get; nothing is written."""
    own = [version for version in shot.versions() if version.job() == job]
    number = max((int(version.name[1:]) for version in shot.versions()), default=0) + 1
    return own[0] if own else Version(shot, f"v{number:03d}")


def choose_device(options: RunOptions, reporter: Reporter | None = None) -> str:
    """`cpu` or `cuda:N`. Raises DeviceError if the device asked for is not there."""
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    wanted = options.device
    if wanted == "auto":
        wanted = "cuda:0" if torch.cuda.is_available() else "cpu"
        if wanted == "cpu" and reporter is not None:
            reporter.warn("STIT-W401")
    if wanted == "cpu":
        return wanted
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise DeviceError(f"no device {wanted!r}", hint="Use auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device {wanted} is not on this machine", hint="Use --device cpu, or another machine"
        )
    return f"cuda:{number or 0}"


def _check_frames(job: Job, plate: Plate, options: RunOptions) -> dict[int, PlateError]:
    """Every frame to read exists, is whole and as large as the others, as far as headers tell.

    Returns the frames that are not, where the run may go on without them.
    """
    wanted = job.read_frames()
    if options.on_frame_error != "stop":
        found = {frame: _checked(plate, (wanted[0], frame)) for frame in wanted}
        return {frame: error for frame, error in found.items() if error is not None}
    if missing := sorted(set(wanted) - set(plate.frames)):
        from stit_vfx.plate.sequence import format_frames

        raise PlateMissingError(
            f"frames {format_frames(missing)} are not there",
            where=plate.name,
            hint="Deliver them, or leave them out of the job's frames",
        )
    plate.check(wanted)
    return {}


def _checked(plate: Plate, frames: tuple[int, ...]) -> PlateError | None:
    try:
        plate.check(frames)
    except PlateError as error:
        return error
    return None


def _check_quads(job: Job) -> None:
    from stit_vfx.face.align import load_quads

    if job.quads is not None:
        load_quads(job.quads)


def _check_edits(job: Job, pack: Pack) -> None:
    for number, edit in enumerate(job.edits):
        if edit.direction is not None:
            _check_direction(number, edit, edit.direction, pack.directions)
        rows = pack.model.num_ws
        if edit.layers and max(edit.layers) >= rows:
            raise JobFieldError(f"edits[{number}].layers: the pack has layers 0 to {rows - 1}")


def _check_direction(number: int, edit: Edit, name: str, known: Mapping[str, Direction]) -> None:
    if name not in known:
        raise UnknownDirectionError(
            f"edits[{number}].direction: the pack has no direction {name!r}",
            hint=_did_you_mean(name, sorted(known)),
        )
    given = [edit.strength or 0.0] if edit.keys is None else list(edit.keys.values())
    low, high = known[name].range
    if odd := [strength for strength in given if not low <= strength <= high]:
        raise JobFieldError(
            f"edits[{number}]: {name} goes from {low:g} to {high:g}, not to {odd[0]:g}",
            hint="stit packs show lists every direction's range",
        )


def _check_options(job: Job, pack: Pack) -> None:
    """Refuse what this pack's generator cannot do."""
    rows = pack.model.num_ws
    if job.freeze_fine_layers is not None and job.freeze_fine_layers >= rows:
        raise JobFieldError(f"freeze_fine_layers: the pack has layers 0 to {rows - 1}")
    if job.tune.locality and not hasattr(pack.model.network, "mapping"):
        raise JobFieldError(
            f"tune.locality: the generator of pack {pack.name} does not start from z",
            hint="Leave it out, or use a plain StyleGAN2 pack",
        )


def _tuned(job: Job, pack: Pack) -> Tuned | None:
    """The shot as it was tuned elsewhere, checked against the pack and the job's frames."""
    from stit_vfx.gan.stylegan2 import Generator
    from stit_vfx.plate.sequence import format_frames
    from stit_vfx.tuned import check_weights, load_tuned

    if job.tuned is None:
        return None
    tuned, network = load_tuned(job.tuned), pack.model.network
    if not isinstance(network, Generator):
        raise JobFieldError(
            f"tuned: pack {pack.name} knows the face's shape, which a tuned file does not hold",
            hint="Name the pack that this shot was tuned from",
        )
    check_weights(tuned, network, where=job.tuned)
    if tuned.pivots.shape[1:] != (pack.model.num_ws, pack.model.w_dim):
        raise JobFieldError(f"tuned: its pivots are {tuned.pivots.shape[1:]}, not of pack {pack.name}")
    if strangers := tuple(sorted(set(job.read_frames()) - set(tuned.frames))):
        raise FrameRangeError(
            f"it was not tuned to frames {format_frames(strangers)}",
            where=job.tuned,
            hint=f"It has {format_frames(tuple(tuned.frames))}",
        )
    return tuned


def _text_moves(job: Job, pack: Pack, shot: Shot) -> TextMoves:
    """What the job's texts move. An embedding that the shot's cache has is not computed again."""
    from stit_vfx.text.moves import text_moves

    def known(key: str) -> np.ndarray | None:
        arrays = shot.entry("edit", key).read()
        return None if arrays is None else arrays["difference"]

    return text_moves(job.edits, pack, known=known)


def _keep_texts(texts: TextMoves, version: Version) -> None:
    """Embeddings kept in the shot, so that every chunk on a farm has the same bits, and has them at once."""
    for key, difference in texts.differences.items():
        entry = version.shot.entry("edit", key)
        if not entry.is_done():
            entry.store({"difference": difference})
    if texts.differences:
        version.refer(texts.differences)


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"The pack has {', '.join(known)}"


def _delivered(job: Job, options: RunOptions) -> tuple[int, ...]:
    if options.frames is None:
        return job.frame_numbers()
    # A chunk of the first steps may also be made of frames that are only tuned to.
    known = job.read_frames() if options.step in ("align", "invert", "tune") else job.frame_numbers()
    if odd := sorted(set(options.frames) - set(known)):
        raise FrameRangeError(
            f"frame {odd[0]} is not one of the job's frames", hint=f"The job has {job.frames}"
        )
    return tuple(sorted(options.frames))


def check_size(frame: Frame, plate: Plate) -> None:
    """A frame whose header agreed with the others must have the pixels too."""
    if frame.shape != plate.shape:
        raise PlateSizeError(
            f"is {size_text(frame.shape)} and the others are {size_text(plate.shape)}",
            where=frame.path,
            frame=frame.frame,
        )


def size_text(shape: tuple[int, int]) -> str:
    """`960x540` of (540, 960)."""
    return f"{shape[1]}x{shape[0]}"


def quads_fingerprint(job: Job) -> Mapping[str, str]:
    """What is in the job's quad file, for content keys."""
    return {} if job.quads is None else {"quads": file_sha256(Path(job.quads))}
