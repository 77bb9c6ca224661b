"""Movie plates, read through FFmpeg (PyAV). Frames are counted from 1 in the order they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stit_vfx.errors import PlateDamagedError, PlateMissingError

if TYPE_CHECKING:
    from stit_vfx.plate.source import Picture

KEPT_FRAMES = 8


class MovieReader:
    """Frames by number. Reading forwards decodes once; going back starts again, since seeking is not exact."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise PlateMissingError("no such file", where=path, hint="Check the plate's path")
        self._path = path
        self._kept: dict[int, Picture] = {}
        self._decoder: Any = None
        self._next = 1
        self._probe()

    def _probe(self) -> None:
        import av

        try:
            with av.open(str(self._path)) as container:
                stream = container.streams.video[0]
                self.shape = (int(stream.height), int(stream.width))
                self.fps = float(stream.average_rate) if stream.average_rate else None
                self.count = sum(1 for _ in container.decode(stream))
                self.bits = max((part.bits for part in stream.format.components), default=8)
        except (av.FFmpegError, IndexError, ValueError) as error:
            raise self._damaged(error) from error
        # Transfer curves of movies are seldom tagged and often wrongly: a display picture is assumed.
        self.space: str | None = None

    def read(self, frame: int) -> Picture:
        """One frame (H, W, 3), full range, 0..1."""
        import av

        if frame in self._kept:
            return self._kept[frame]
        if self._decoder is None or frame < self._next:
            self._decoder, self._next = self._decode(), 1
        try:
            for picture in self._decoder:
                number, self._next = self._next, self._next + 1
                self._keep(number, picture)
                if number == frame:
                    return picture
        except (av.FFmpegError, ValueError) as error:
            raise self._damaged(error, frame) from error
        raise PlateDamagedError("ends before this frame", where=self._path, frame=frame, hint="Copy it again")

    def _decode(self) -> Any:
        import av

        from stit_vfx.plate.source import Picture

        deep = self.bits > 8
        with av.open(str(self._path)) as container:
            for frame in container.decode(video=0):
                pixels = frame.to_ndarray(format="rgb48le" if deep else "rgb24")
                yield Picture(pixels.astype(np.float32) / (65535 if deep else 255), self.bits)

    def _keep(self, number: int, picture: Picture) -> None:
        self._kept[number] = picture
        self._kept.pop(number - KEPT_FRAMES, None)

    def _damaged(self, error: Exception, frame: int | None = None) -> PlateDamagedError:
        said = " ".join(str(error).split())[:120]
        return PlateDamagedError(
            f"cannot be decoded ({said})", where=self._path, frame=frame, hint="Check the movie in a player"
        )
