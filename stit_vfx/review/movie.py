"""The preview movie: 8-bit, display-referred, for looking at only."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np


def write_movie(path: Path, pictures8: Iterable[np.ndarray], *, fps: float = 24.0) -> int:
    """Write (H, W, 3) uint8 sRGB pictures as an H.264 MP4 and return how many there were.

    The file appears whole or not at all. Odd sizes lose their last row or column: H.264 wants even ones.
    """
    from stit_vfx.atomic import atomic_write

    count = 0

    def write(target: Path) -> None:
        nonlocal count
        count = _encode(target, pictures8, Fraction(fps).limit_denominator(1001))

    atomic_write(path, write, suffix=".mp4")
    return count


def _encode(target: Path, pictures8: Iterable[np.ndarray], rate: Fraction) -> int:
    import av

    count = 0
    with av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "16", "preset": "medium"})
        stream.pix_fmt = "yuv420p"
        # One thread: the same pictures give the same file on every machine.
        stream.codec_context.thread_count = 1
        for picture8 in pictures8:
            even = np.ascontiguousarray(picture8[: picture8.shape[0] // 2 * 2, : picture8.shape[1] // 2 * 2])
            if count == 0:
                stream.height, stream.width = even.shape[:2]
                _tag_rec709(stream.codec_context)
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            for packet in stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")):
                container.mux(packet)
            count += 1
        for packet in stream.encode():
            container.mux(packet)
    return count


def _tag_rec709(context: object) -> None:
    """Say that the picture is Rec.709, so that players do not guess 601 from its size."""
    for name in ("colorspace", "color_primaries", "color_trc"):
        setattr(context, name, 1)
