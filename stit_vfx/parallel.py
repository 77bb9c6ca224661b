"""Frames side by side: several at once on a processor, their results in order.

A generator of 128 px is too small to be shared out among cores: its frames are. Each worker computes with one
thread, so that what it computes does not depend on how many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

Result = TypeVar("Result")

MOST_WORKERS = 8  # beyond, the interpreter's lock and memory decide


def in_order(
    work: Callable[[int], Result],
    frames: Sequence[int],
    *,
    workers: int,
    stop: Callable[[], None] = lambda: None,
) -> Generator[tuple[int, Result]]:
    """(frame, work(frame)) of every frame, in their order.

    workers  so many are in flight or wait for their turn; 0: here, one after the other, with all of torch's
             threads
    stop     asked before a frame is begun; what it raises ends the loop

    An error of a frame is raised at its turn. Frames that were begun are finished before it leaves here.
    """
    if not workers:
        for frame in frames:
            stop()
            yield frame, work(frame)
        return
    begun: deque[tuple[int, Future[Result]]] = deque()
    ahead = iter(frames)
    with single_threaded(), ThreadPoolExecutor(workers, thread_name_prefix="frame") as pool:
        try:
            while True:
                for frame in islice(ahead, workers - len(begun)):
                    stop()
                    begun.append((frame, pool.submit(work, frame)))
                if not begun:
                    return
                first, future = begun.popleft()
                yield first, future.result()
        finally:
            for _, future in begun:
                future.cancel()


@contextmanager
def single_threaded() -> Iterator[None]:
    """torch with one thread per operation while inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
