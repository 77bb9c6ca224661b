"""What a farm has to do for a job, whichever farm it is: tune once, then edit the frames in chunks.

Chunks may run at once, in any order, twice, and be killed without warning: see `stit_vfx.shot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stit_vfx.errors import JobError

# Stands in a layer's words for a chunk's frames; each farm has its own spelling.
FRAMES = "{frames}"
HOUR_S = 3600


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One kind of task. `frames` None: a single task over the whole shot.

    words      the engine's, from `run` on; FRAMES where a chunk's frames go
    after      the layer that has to be done before this one starts
    timeout_s  far beyond what any shot has needed: only a task that hangs meets it
    """

    name: str
    words: tuple[str, ...]
    frames: tuple[int, ...] | None = None
    chunk: int = 1
    after: str | None = None
    timeout_s: int = 24 * HOUR_S

    def chunks(self) -> Iterator[tuple[int, ...]]:
        """The frames of each task; nothing for a layer that is one task."""
        frames = self.frames or ()
        for start in range(0, len(frames), self.chunk):
            yield frames[start : start + self.chunk]

    @property
    def tasks(self) -> int:
        return 1 if self.frames is None else -(-len(self.frames) // self.chunk)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A job's layers, in an order in which they may run.

    job        the word that stands for the job's file in `Layer.words`: its path, or a farm's name for it
    engine     the command that starts the engine on a worker
    gpu_mb     memory that a worker's graphics card needs; None: a card is not asked for
    memory_mb  memory that a worker needs; None: not known
    """

    name: str
    shot: str
    engine: tuple[str, ...]
    layers: tuple[Layer, ...]
    gpu_mb: int | None = None
    memory_mb: int | None = None

    @property
    def tasks(self) -> int:
        return sum(layer.tasks for layer in self.layers)


def layers_of(job: str, frames: Sequence[int], *, chunk: int, machine: Sequence[str]) -> tuple[Layer, ...]:
    """The layers of a job. `machine`: words that say how and not what, the same for every task.

    Following the face, inversion and tuning are for the whole shot. Chunks that started without them would
    each do them: the same result, in many times the time.
    """
    if not frames:
        raise JobError("the job has no frames to send to a farm", hint="Give it frames")
    tune = Layer(name="tune", words=("run", job, "--step", "tune", *machine))
    edit = Layer(
        name="edit",
        words=("run", job, FRAMES, *machine),
        frames=tuple(sorted(set(frames))),
        chunk=chunk,
        after=tune.name,
        timeout_s=12 * HOUR_S,
    )
    return tune, edit


def filled(words: Sequence[str], frames: Sequence[str]) -> list[str]:
    """A layer's words with a chunk's frames, which may be several words, in their place."""
    return [part for word in words for part in (frames if word == FRAMES else (word,))]
