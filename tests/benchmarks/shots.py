"""Short shots to measure on: real portraits under a small camera move, and synthetic heads that talk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from faces import Portrait

from stit_vfx.demo import HEIGHT, OWNER, WIDTH, Camera, photograph, write_frame
from stit_vfx.face.detect import square_of
from stit_vfx.face.dlib_backend import DlibFinder

Array = np.ndarray

FRAMES = 8
TRUTHS = ("smile=0.5", "age=0.6")
FIRST = 1001
_FACE_PX = 230  # side of a face's square in the plate
_SEED = 31


@dataclass(frozen=True)
class Shot:
    """A plate on disk. `truth`: what an edit should have made of its first frames, where that is known:
    {"direction=strength": pattern}."""

    name: str
    plate: str
    credit: str
    frames: tuple[int, ...] = tuple(range(FIRST, FIRST + FRAMES))
    truth: Mapping[str, str] = field(default_factory=dict)


def portrait_shot(portrait: Portrait, folder: Path, finder: DlibFinder) -> Shot:
    """The portrait through a camera that drifts, zooms and rolls a little."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern = str(folder / f"{portrait.name}.####.exr")
    shot = Shot(portrait.name, pattern, portrait.credit)
    still = portrait.image8.astype(np.float32) / 255
    square = square_of(finder.find(portrait.image8, describe=False)[0].landmarks)
    for frame in shot.frames:
        path = Path(pattern.replace("####", str(frame)))
        if path.exists():
            continue
        turn = 2 * np.pi * (frame - FIRST) / 24
        drift = 0.05 * square.side * np.array([np.sin(turn), 0.5 * np.sin(turn + 1.1)])
        zoom = _FACE_PX / square.side * (1 + 0.03 * np.sin(turn / 2))
        centre = (float(square.centre[0] + drift[0]), float(square.centre[1] + drift[1]))
        camera = Camera(centre, zoom, 0.02 * float(np.sin(turn + 0.4)))
        plate_lin = photograph(still, camera.to_still(), grain_seed=frame)
        write_frame(path, plate_lin, owner=portrait.credit, comments="benchmark camera")
    return shot


def head_names(count: int) -> list[str]:
    """What the drawn heads are called."""
    return [f"head{index}" for index in range(count)]


def talking_head(source: Path, folder: Path, index: int) -> Shot:
    """A face that no network has seen, speaking and turning, with the truths `TRUTHS` of its first frame."""
    from stit_vfx.training.faces import draw

    folder.mkdir(parents=True, exist_ok=True)
    name = f"head{index}"
    face = draw(900_000 + _SEED, index).but(smile=0.0, age=0.3, zoom=0.42, shift=(0.0, 0.03), blur=0.0)
    closed = {k: v for k, v in face.expression.items() if not k.startswith(("jaw", "mouth"))}
    still = face.but(expression=closed, yaw=0.35 * face.yaw, pitch=0.5 * face.pitch)
    plate = str(folder / f"{name}.####.exr")
    truth = {key: str(folder / f"{key}.####.exr") for key in TRUTHS}
    shot = Shot(name, plate, "drawn", truth=truth)
    takes = {
        plate: (still, shot.frames),
        truth["smile=0.5"]: (still.but(smile=0.5), shot.frames[:1]),
        truth["age=0.6"]: (still.aged(0.9, face.hair.grey), shot.frames[:1]),
    }
    for pattern, (take, frames) in takes.items():
        for frame in frames:
            path = Path(pattern.replace("####", str(frame)))
            if not path.exists():
                write_frame(path, _light(_studio(source), _at(take, frame)), owner=OWNER, comments="drawn")
    return shot


@cache
def _studio(source: Path) -> Any:
    from stit_vfx.training.faces import Head, Studio
    from stit_vfx.training.source import FaceSource

    return Studio(Head(FaceSource.load(source)))


def _at(face: Any, frame: int) -> Any:
    """The face as it is on a frame: it speaks, blinks once and turns; on the first frame its lips meet."""
    time = frame - FIRST
    spoken = {**face.expression, "jawOpen": 0.28 * abs(np.sin(time * 0.9)), "mouthFunnel": 0.15 * (time % 3)}
    blink = 0.9 if time == 5 else 0.0
    spoken |= {"eyeBlink_L": blink, "eyeBlink_R": blink}
    return face.but(expression=spoken, yaw=face.yaw + 0.012 * time, pitch=face.pitch + 0.006 * time)


def _light(studio: Any, face: Any) -> Array:
    """(540, 960, 3) ACEScg: the square picture in the middle of a plate."""
    from stit_vfx.demo import REC709_TO_AP1

    code = studio.draw(face, HEIGHT).image
    wide = np.pad(code, ((0, 0), ((WIDTH - HEIGHT) // 2,) * 2, (0, 0)), mode="reflect")
    lin = np.where(wide <= 0.04045, wide / 12.92, ((wide + 0.055) / 1.055) ** 2.4)
    return np.asarray(lin @ REC709_TO_AP1.T, np.float32)
