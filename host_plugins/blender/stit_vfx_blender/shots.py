"""A shot's folder on disk, as far as the panel is concerned: how large its cache is, and away with it."""

from __future__ import annotations

import os
import shutil

CACHE = "cache"


def is_shot(folder: str) -> bool:
    """Whether this is a shot's folder of the engine's: `<name>.stit` with a `shot.json`."""
    return folder.endswith(".stit") and os.path.isfile(os.path.join(folder, "shot.json"))


def cache_bytes(folder: str) -> int:
    """Bytes in a shot's cache."""
    total = 0
    for place, _folders, names in os.walk(os.path.join(folder, CACHE)):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue  # a run may be at work in there
    return total


def clear_cache(folder: str) -> int:
    """Remove a shot's cache and give the bytes freed; results and jobs stay. Raises OSError, ValueError.

    The next cook computes everything again.
    """
    cache = os.path.join(folder, CACHE)
    if not is_shot(folder):
        raise ValueError("{} is no shot's folder".format(folder))
    if os.path.islink(cache):
        raise ValueError("{} is a link; its target is left alone".format(cache))
    if not os.path.isdir(cache):
        return 0
    freed = cache_bytes(folder)
    shutil.rmtree(cache)
    return freed


def in_words(size: float) -> str:
    """1234567 -> `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return "{:.0f} {}".format(size, unit) if unit == "B" else "{:.1f} {}".format(size, unit)
        size /= 1000
    raise AssertionError
