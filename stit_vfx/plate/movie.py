"""Movie plates, read through FFmpeg (PyAV). Frames are counted from 1 in the order they are shown."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation

from stit_vfx.errors import PlateDamagedError, PlateMissingError, PlateSizeError, PlateUnsupportedError
from stit_vfx.plate.limits import max_pixels
from stit_vfx.plate.stills import Picture

KEPT_FRAMES = 4
HD_LINES = 720

# Tagged transfer curve (ITU-T H.273) -> OCIO alias. Tagged Rec.709 is seen on a Rec.1886 monitor, gamma 2.4.
_CURVES = {1: "g24_rec709_tx", 6: "g24_rec709_tx", 8: "lin_rec709", 13: "srgb_tx"}
_HDR = {16: "PQ", 18: "HLG"}
# Tagged matrix (ITU-T H.273) -> swscale's name of it.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
# The same bits on every processor, and chroma that is not blocky.
_SCALER = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


class MovieReader:
    """Frames of a movie by number, as exact as if each were a file.

    Reading forwards decodes every frame once; going back by more than a few starts again from the beginning,
    since seeking lands beside the frame in many files. Memory does not grow with the movie.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise PlateMissingError("there is no such file", where=path)
        self._path = path
        self._kept: dict[int, np.ndarray] = {}
        self._next = 1
        self._decoder: Generator[np.ndarray] | None = None
        self._lock = Lock()
        with closing(self._open()) as container:
            self._probe(container)
        self.shape: tuple[int, int] = self._stored(1).shape[:2]

    def _open(self) -> Any:
        try:
            return av.open(str(self._path))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def _probe(self, container: Any) -> None:
        """Rate, curve and number of frames, from the index and the packets; nothing is decoded."""
        if not container.streams.video:
            raise PlateUnsupportedError("there is no picture in this movie", where=self._path)
        stream = container.streams.video[0]
        if stream.width * stream.height > max_pixels():
            raise PlateSizeError(f"{stream.width}x{stream.height} pixels are too many", where=self._path)
        curve = int(stream.codec_context.color_trc)
        if curve in _HDR:
            self.tag: str | None = f"Rec.2100 {_HDR[curve]}"
        else:
            self.tag = _CURVES.get(curve)
        self.rate = stream.average_rate
        self.bits = max((part.bits for part in stream.format.components), default=8)
        try:
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
        except av.FFmpegError as error:
            raise self._damaged(error) from error
        self.count = len(packets)
        if not packets:
            raise PlateDamagedError("there are no frames in this movie", where=self._path)

    def read(self, frame: int) -> Picture:
        """One frame (H, W, 3), full range, upright."""
        stored = self._stored(frame)
        return Picture(stored.astype(np.float32) / np.float32(np.iinfo(stored.dtype).max), self.bits)

    def stored_bytes(self, frame: int) -> bytes:
        """The decoded pixels of a frame, for a fingerprint."""
        return np.ascontiguousarray(self._stored(frame)).tobytes()

    def _stored(self, frame: int) -> np.ndarray:
        with self._lock:  # one decoder, which frames side by side take turns at
            return self._kept_or_decoded(frame)

    def _kept_or_decoded(self, frame: int) -> np.ndarray:
        if frame in self._kept:
            return self._kept[frame]
        if self._decoder is None or frame < self._next:
            self._restart()
        assert self._decoder is not None
        try:
            for stored in self._decoder:
                self._keep(stored)
                if self._next > frame:
                    return stored
        except (av.FFmpegError, ValueError) as error:
            raise self._damaged(error, frame) from error
        raise PlateDamagedError("the movie ends before this frame", where=self._path, frame=frame)

    def _restart(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
        self._kept.clear()
        self._decoder, self._next = self._decode(), 1

    def _keep(self, stored: np.ndarray) -> None:
        self._kept[self._next] = stored
        self._kept.pop(self._next - KEPT_FRAMES, None)
        self._next += 1

    def _decode(self) -> Generator[np.ndarray]:
        with closing(self._open()) as container:
            for picture in container.decode(video=0):
                yield self._as_rgb(picture)

    def _as_rgb(self, picture: Any) -> np.ndarray:
        """(H, W, 3) uint8, or uint16 for deeper movies."""
        rgb = picture.reformat(
            format="rgb24" if self.bits <= 8 else "rgb48le",
            src_colorspace=self._matrix(picture),
            dst_colorspace=Colorspace.ITU709,
            interpolation=_SCALER,
            threads=1,
        )
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), round(picture.rotation / 90)))

    def _matrix(self, picture: Any) -> Colorspace:
        """How the movie makes RGB of its luma and chroma. Untagged: by size, as players do."""
        assumed = Colorspace.ITU709 if picture.height >= HD_LINES else Colorspace.ITU601
        return _MATRICES.get(int(picture.colorspace), assumed)

    def _damaged(self, error: Exception, frame: int | None = None) -> PlateDamagedError:
        said = " ".join(str(error).split())[:160]
        return PlateDamagedError(f"it cannot be decoded: {said}", where=self._path, frame=frame)
