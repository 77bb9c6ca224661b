"""Follows every face through a sequence, one frame at a time, keeping landmarks and never pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stit_vfx.face.cuts import CutClock
from stit_vfx.face.detect import Box, Detection, FaceFinder, Square, overlap, square_of

# A face that was away for longer is not guessed; it is recognised when it comes back.
MAX_GAP = 12
# dlib's own threshold: two descriptors of one person are less than this apart.
SAME_PERSON = 0.6
_DESCRIBE_EVERY = 10
_DESCRIPTORS = 5
_FAR = 1e6


@dataclass
class Thread:
    """One person's face as far as it is known: row n is frame `indices[n]` (position in the sequence)."""

    indices: list[int] = field(default_factory=list)
    landmarks: list[np.ndarray] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    shot: int = 0
    descriptors: list[np.ndarray] = field(default_factory=list)

    def alive(self, index: int, shot: int) -> bool:
        """Whether a face at frame `index` may continue this thread without being recognised."""
        return self.shot == shot and index - self.indices[-1] <= MAX_GAP + 1

    def expected(self, index: int) -> np.ndarray:
        """Landmarks where the face would be now: it goes on as it moved last, for two frames at most."""
        last = self.landmarks[-1]
        if len(self.indices) < 2 or self.segments[-1] != self.segments[-2]:
            return last
        step = (last - self.landmarks[-2]).mean(axis=0) / (self.indices[-1] - self.indices[-2])
        return last + step * min(index - self.indices[-1], 2)

    def add(self, index: int, shot: int, landmarks: np.ndarray, *, anew: bool) -> None:
        """Takes in the face at frame `index`; `anew` if it was recognised rather than followed."""
        segment = self.segments[-1] + int(anew) if self.segments else 0
        self.indices.append(index)
        self.landmarks.append(landmarks)
        self.segments.append(segment)
        self.shot = shot

    def distance(self, descriptor: np.ndarray | None) -> float:
        """How unlike this person a descriptor is; infinite where nobody can tell."""
        if descriptor is None or not self.descriptors:
            return float("inf")
        return float(np.linalg.norm(np.mean(self.descriptors, axis=0) - descriptor))


class Follower:
    """Takes frames in order by `step`; `threads` grows by one for each new person."""

    def __init__(self, finder: FaceFinder) -> None:
        self.threads: list[Thread] = []
        self._finder = finder
        self._clock = CutClock()
        self._index = -1

    def step(self, image8: np.ndarray) -> None:
        """The next frame, (H, W, 3) uint8 sRGB."""
        self._index += 1
        if self._clock.jumped(image8) and not self._undisturbed(image8):
            self._clock.cut(self._index)
        alive = [t for t in self.threads if t.alive(self._index, self._clock.shot)]
        pairs = self._searched(image8, alive)
        for thread, detection in pairs:
            self._continue(image8, thread, detection)

    def _searched(self, image8: np.ndarray, alive: list[Thread]) -> list[tuple[Thread, Detection]]:
        """Every face of the frame with its thread; a new person gets a new thread."""
        free = self._finder.find(image8, describe=False)
        pairs = self._matched(image8, alive, free)
        free = [d for d in free if all(d is not taken for _, taken in pairs)]
        lost = [t for t in alive if all(t is not kept for kept, _ in pairs)]
        pairs += self._held(image8, lost, pairs)
        for detection in free:
            pairs.append((self._recognised(image8, detection, pairs), detection))
        return pairs

    def _matched(
        self, image8: np.ndarray, alive: list[Thread], free: list[Detection]
    ) -> list[tuple[Thread, Detection]]:
        from scipy.optimize import linear_sum_assignment

        if not alive or not free:
            return []
        cost = np.array([[self._moved(t, d) for d in free] for t in alive])
        near = cost < _FAR
        crowd = (near.sum(axis=1) > 1)[:, None] | (near.sum(axis=0) > 1)[None]
        for row, column in np.argwhere(near):
            thread = alive[row]
            if crowd[row, column] or thread.indices[-1] < self._index - 1:
                cost[row, column] += self._unlike(image8, thread, free[column])
        rows, columns = linear_sum_assignment(cost)
        return [(alive[r], free[c]) for r, c in zip(rows, columns, strict=True) if cost[r, c] < _FAR]

    def _moved(self, thread: Thread, detection: Detection) -> float:
        """Distance from the expected place in face sides; _FAR if it is beyond reach or of another size."""
        was, now = square_of(thread.expected(self._index)), square_of(detection.landmarks)
        away = _apart(was, now) / max(was.side, now.side)
        reach = 0.6 + 0.15 * (self._index - thread.indices[-1] - 1)
        alike = 0.6 < now.side / was.side < 1 / 0.6
        return away if away < reach and alike else _FAR

    def _unlike(self, image8: np.ndarray, thread: Thread, detection: Detection) -> float:
        """What speaks against a match where places do not decide: the descriptor; _FAR for a stranger."""
        distance = thread.distance(self._finder.describe(image8, detection.landmarks))
        if np.isinf(distance):
            return 0.0
        return 2 * distance if distance < SAME_PERSON else _FAR

    def _held(
        self, image8: np.ndarray, lost: list[Thread], taken: list[tuple[Thread, Detection]]
    ) -> list[tuple[Thread, Detection]]:
        """Faces that the search of the frame missed but a look where they were finds."""
        held: list[tuple[Thread, Detection]] = []
        for thread in lost:
            near = self._finder.follow(image8, thread.expected(self._index))
            if near is None or any(overlap(near.box, d.box) > 0.3 for _, d in taken + held):
                continue
            if self._moved(thread, near) < _FAR and self._unlike(image8, thread, near) < _FAR:
                held.append((thread, near))
        return held

    def _recognised(
        self, image8: np.ndarray, detection: Detection, taken: list[tuple[Thread, Detection]]
    ) -> Thread:
        """The known person that a face is, or a new one."""
        descriptor = self._finder.describe(image8, detection.landmarks)
        away = [t for t in self.threads if all(t is not other for other, _ in taken)]
        best = min(away, key=lambda t: t.distance(descriptor), default=None)
        if best is not None and best.distance(descriptor) < SAME_PERSON:
            return best
        self.threads.append(Thread(descriptors=[] if descriptor is None else [descriptor]))
        return self.threads[-1]

    def _continue(self, image8: np.ndarray, thread: Thread, detection: Detection) -> None:
        known = bool(thread.indices)
        anew = known and (
            not thread.alive(self._index, self._clock.shot) or self._moved(thread, detection) >= _FAR
        )
        thread.add(self._index, self._clock.shot, detection.landmarks, anew=anew)
        # Some views of a person make a mean that holds when the head turns; each costs a tenth of a second.
        if known and len(thread.descriptors) < _DESCRIPTORS and self._index % _DESCRIBE_EVERY == 0:
            descriptor = self._finder.describe(image8, detection.landmarks)
            thread.descriptors += [] if descriptor is None else [descriptor]

    def _undisturbed(self, image8: np.ndarray) -> bool:
        """Whether a face goes on in its place although the picture jumped: light, not a cut."""
        for thread in self.threads:
            if thread.shot != self._clock.shot or thread.indices[-1] != self._index - 1:
                continue
            expected = thread.expected(self._index)
            near = self._finder.follow(image8, expected)
            if near is not None and _same_place(expected, near.landmarks):
                return thread.distance(self._finder.describe(image8, near.landmarks)) < SAME_PERSON
        return False


def _same_place(a: np.ndarray, b: np.ndarray) -> bool:
    return float(np.linalg.norm(a - b, axis=1).mean()) < 0.06 * square_of(a).side


def _apart(a: Square, b: Square) -> float:
    return float(np.hypot(a.centre[0] - b.centre[0], a.centre[1] - b.centre[1]))


def holds(box: Box, point: tuple[float, float]) -> bool:
    """Whether a point lies in a box."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
