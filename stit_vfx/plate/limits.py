"""How large a plate may be. A header that claims more is refused before memory is taken for it."""

from __future__ import annotations

import os

from stit_vfx.errors import MachineError

MAX_CHANNELS = 128
DEFAULT_MAX_PIXELS = 16384**2


def max_pixels() -> int:
    """The most pixels a frame may have: STIT_MAX_PIXELS, or 16384 x 16384."""
    said = os.environ.get("STIT_MAX_PIXELS", "")
    if not said:
        return DEFAULT_MAX_PIXELS
    if not said.isdecimal() or int(said) == 0:
        raise MachineError(
            f"STIT_MAX_PIXELS is {said!r}", hint="Set it to a number of pixels, or leave it out"
        )
    return int(said)
