"""Where the picture jumps: a cut, or a flash that passes."""

from __future__ import annotations

import numpy as np

# Mean move of the tones, 0..1. Cuts are above 0.08 or so, flicker of a lamp and fast pans below 0.04.
_JUMP = 0.06
# A picture that is back after at most this many frames was interrupted, not cut.
_FLASH_FRAMES = 3
_SAMPLES = 24


class CutClock:
    """Numbers the shots of a sequence from 0, frame by frame.

    A jump in the picture's tones is only suspected (`jumped`); whoever follows the faces knows whether one of
    them goes on undisturbed, as under a flash of light, and calls `cut` if none does.
    """

    def __init__(self) -> None:
        self.shot = 0
        self._shots = 1
        self._tones: np.ndarray | None = None
        self._previous: np.ndarray | None = None
        self._before: tuple[np.ndarray, int, int] | None = None

    def jumped(self, image8: np.ndarray) -> bool:
        """Takes in the next frame; whether its tones are far from the last frame's."""
        self._previous, self._tones = self._tones, _tones(image8)
        return self._previous is not None and _distance(self._previous, self._tones) > _JUMP

    def cut(self, index: int) -> None:
        """Frame `index` (its place in the sequence) starts another shot, or returns to one after a flash."""
        assert self._previous is not None
        assert self._tones is not None
        if self._before is not None:
            tones, shot, since = self._before
            if index - since <= _FLASH_FRAMES and _distance(tones, self._tones) < _JUMP:
                self.shot, self._before = shot, None
                return
        self._before = (self._previous, self.shot, index)
        self.shot = self._shots
        self._shots += 1


def _tones(image8: np.ndarray) -> np.ndarray:
    """(4, n, 3) uint8: some pixels of each quarter of the frame, sorted by channel. Two of these differ by
    the earth mover's distance of their histograms, exactly, with no bins for a flicker to jump over."""
    height, width = image8.shape[:2]
    rows = np.linspace(0, height - 1, 2 * _SAMPLES).astype(int)
    columns = np.linspace(0, width - 1, 2 * _SAMPLES).astype(int)
    few = image8[np.ix_(rows, columns)].reshape(2, _SAMPLES, 2, _SAMPLES, 3)
    return np.sort(few.transpose(0, 2, 1, 3, 4).reshape(4, _SAMPLES**2, 3), axis=1)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean() / 255)
