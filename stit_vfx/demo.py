"""The demo shot: a real face under a camera move, made on the spot, and edited with the built-in pack.

The face is scikit-image's `astronaut` (NASA, public domain). It becomes a plate as a camera would have seen
it: scene-linear half floats in ACEScg, grain that differs in every frame, highlights far above 1, a camera
that drifts, zooms and rolls, timecode and frame rate in the header.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stit_vfx.events import Cancel, Reporter
    from stit_vfx.options import RunOptions

FRAMES = tuple(range(1001, 1025))
WIDTH, HEIGHT = 960, 540
OWNER = "STIT VFX demo shot; photograph: NASA, public domain"
EDITS = ({"direction": "age", "strength": 0.6}, {"direction": "smile", "strength": -0.7})

# Rec.709 -> ACEScg (AP1, D60, Bradford); the 3x3 of ACES TB-2014-004 composed with the sRGB primaries.
REC709_TO_AP1 = np.array(
    [
        [0.6130974, 0.3395231, 0.0473795],
        [0.0701937, 0.9163540, 0.0134523],
        [0.0206156, 0.1095698, 0.8698146],
    ]
)
AP1_CHROMATICITIES = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)


@dataclass(frozen=True)
class Camera:
    """Where the demo's camera looks: a similarity from plate px to the still's px."""

    centre: tuple[float, float]
    plate_px_per_still_px: float
    roll_rad: float

    @classmethod
    def at(cls, phase: float) -> Camera:
        """`phase` 0..1 through the shot; a slow drift, a push in and a little roll, all smooth."""
        turn = 2 * np.pi * phase
        return cls(
            centre=(242 + 12 * np.sin(turn), 144 + 6 * np.sin(turn + 1.1)),
            plate_px_per_still_px=2.1 * (1 + 0.035 * np.sin(turn * 0.5)),
            roll_rad=0.022 * np.sin(turn + 0.4),
        )

    def to_still(self) -> np.ndarray:
        """(2, 3) affine from plate px to still px."""
        c, s = np.cos(self.roll_rad), np.sin(self.roll_rad)
        turn = np.array([[c, -s], [s, c]]) / self.plate_px_per_still_px
        middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
        return np.hstack([turn, (np.array(self.centre) - turn @ middle)[:, None]])


def write_plate(folder: Path, *, frames: tuple[int, ...] = FRAMES) -> str:
    """Write the demo plate as half EXRs and return its pattern. Frames already there are left alone.

    The picture of a frame depends on its number only, not on which other frames are asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    still_code = _still_code()
    for frame in frames:
        path = folder / f"demo.{frame:04d}.exr"
        if not path.exists():
            phase = (frame - FRAMES[0]) / (len(FRAMES) - 1)
            plate_lin = photograph(still_code, Camera.at(phase).to_still(), grain_seed=frame)
            write_frame(path, plate_lin, owner=OWNER, comments=f"demo camera, frame {frame}")
    return str(folder / "demo.####.exr")


def _still_code() -> np.ndarray:
    """The still, (512, 512, 3) float32 sRGB code values 0..1."""
    from skimage import data

    return data.astronaut().astype(np.float32) / 255


def _light(code: np.ndarray) -> np.ndarray:
    """sRGB code -> ACEScg light; the brightest whites go far above 1, as a camera would have seen them."""
    lin = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    luma = lin @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    over = np.clip((luma - 0.88) / 0.12, 0, 1)[..., None]
    return (lin * (1 + 14 * over**3)) @ REC709_TO_AP1.T.astype(np.float32)


def photograph(still_code: np.ndarray, to_still: np.ndarray, *, grain_seed: int) -> np.ndarray:
    """One frame of a plate (540, 960, 3) ACEScg light: the still (H, W, 3) sRGB code 0..1 through a camera,
    `to_still` (2, 3) from plate px to its px, with grain.
    """
    import cv2

    # Resampled as code values: a cubic kernel would ring around light of 15.
    seen_code = cv2.warpAffine(
        still_code,
        to_still,
        (WIDTH, HEIGHT),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    seen = _light(np.clip(seen_code, 0, 1))
    rng = np.random.default_rng(grain_seed)
    grain = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 0.7)
    # Photon noise plus a floor: 1.3 % of the light at mid grey.
    return seen + grain * 2.4 * np.sqrt(1.5e-6 + 3.0e-5 * seen)


def write_frame(path: Path, plate_lin: np.ndarray, *, owner: str, comments: str) -> None:
    """Write ACEScg light (H, W, 3) as half EXR at 24 frames per second, whole or not at all."""
    from fractions import Fraction

    import OpenEXR

    from stit_vfx.atomic import atomic_write

    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "chromaticities": AP1_CHROMATICITIES,
        "framesPerSecond": Fraction(24, 1),
        "owner": owner,
        "comments": comments,
    }
    half = plate_lin.astype(np.float16)
    channels = {name: np.ascontiguousarray(half[..., i]) for i, name in enumerate("RGB")}

    def write(target: Path) -> None:
        with OpenEXR.File(header, channels) as file:
            file.write(str(target))

    atomic_write(path, write, suffix=".exr")


def run_demo(
    out: Path, *, reporter: Reporter, cancel: Cancel, options: RunOptions, frames: tuple[int, ...] = FRAMES
) -> Any:
    """Make the demo plate below `out`, edit it, and return the pipeline's RunResult.

    Run again, it resumes: what is on disk and whole is not computed twice.
    """
    from stit_vfx import pipeline
    from stit_vfx.job import Job
    from stit_vfx.plate.sequence import format_frames

    out.mkdir(parents=True, exist_ok=True)
    pattern = write_plate(out / "plates", frames=frames)
    job = Job.from_options(
        shot="demo",
        plate=pattern,
        frames=format_frames(frames),
        edits=list(EDITS),
        pack="builtin",
        consent="public-domain photograph (NASA)",
    )
    return pipeline.run(job, out=out, reporter=reporter, cancel=cancel, options=options)
