"""How far a run is, how long it will take, and the bar that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from stit_vfx.options import STEPS

# Share of a typical run's time; only the ratio matters. `Reporter.plan` replaces them with what is known.
TYPICAL_COST = {"align": 8.0, "invert": 2.0, "tune": 45.0, "edit": 1.0, "stitch": 36.0, "composite": 8.0}


class Estimate:
    """Share done and time left, from each step's expected cost and the time that was measured.

    `frac` never falls. The time left is what is measured, scaled by the costs still to come; it is None
    until two seconds and one percent are past, before which it would be noise.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cost = dict(TYPICAL_COST)
        self._share = dict.fromkeys(STEPS, 0.0)
        self._skipped_cost = 0.0
        self._since: float | None = None
        self._frac = 0.0

    def plan(self, cost: Mapping[str, float]) -> None:
        """Expected cost of each step; steps left out cost nothing."""
        self._cost = {step: max(0.0, float(value)) for step, value in cost.items()}
        self._share |= {step: self._share.get(step, 0.0) for step in self._cost}

    def stage(self, step: str, *, done: bool) -> None:
        """A step starts or is finished. Finished before it started, it took no time and tells none."""
        if self._since is None and not done:
            self._since = self._clock()
        if done and self._share.get(step, 0.0) == 0.0:
            self._skipped_cost += self._cost.get(step, 0.0)
        if done:
            self._share[step] = 1.0

    def update(self, step: str, done: int, total: int) -> tuple[float, int | None]:
        """(share of the run 0..1, seconds left or None)."""
        if self._since is None:
            self._since = self._clock()
        self._share[step] = max(self._share.get(step, 0.0), min(1.0, done / total if total > 0 else 1.0))
        whole = sum(self._cost.values()) or 1.0
        spent = sum(self._cost.get(name, 0.0) * share for name, share in self._share.items())
        self._frac = max(self._frac, min(1.0, spent / whole))
        elapsed, measured = self._clock() - self._since, spent - self._skipped_cost
        if elapsed < 2 or measured < 0.01 * whole:
            return self._frac, None
        return self._frac, round(elapsed * max(0.0, whole - spent) / measured)


class ProgressBar:
    """A bar on a terminal's last line. Not `live` where the stream is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = 0
        self.live = stream.isatty()

    def show(self, frac: float, doing: str, eta_s: int | None) -> None:
        left = f"  {as_time(eta_s)} left" if eta_s is not None else ""
        filled = round(24 * frac)
        text = f"[{'#' * filled}{'.' * (24 - filled)}] {100 * frac:3.0f} %  {doing}{left}"
        import shutil

        text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + text.ljust(self._drawn))
        self._stream.flush()
        self._drawn = len(text)

    def clear(self) -> None:
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._stream.flush()
            self._drawn = 0


def as_time(seconds: float) -> str:
    """`42 s`, `12 min` or `3 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
