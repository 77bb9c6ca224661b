"""What a run has written, seen from the host's side."""

from __future__ import annotations

import os
import re

_PADDING = re.compile(r"#+|%0?\d*d")


def any_frame(path: str) -> bool:
    """Is there a file of this name, or of this pattern (`comp.####.exr`)? One frame is enough."""
    folder, name = os.path.split(path)
    padding = list(_PADDING.finditer(name))
    if not padding:
        return os.path.isfile(path)
    head, tail = name[: padding[-1].start()], name[padding[-1].end() :]
    number = re.compile(re.escape(head) + r"-?\d+" + re.escape(tail))
    try:
        return any(number.fullmatch(each) for each in os.listdir(folder))
    except OSError:
        return False
