"""Frames side by side: order, errors, stopping, threads."""

from __future__ import annotations

from threading import Event, get_ident

import pytest
import torch

from stit_vfx.parallel import in_order


def test_results_come_in_order_though_later_frames_are_done_first() -> None:
    second_is_done = Event()

    def work(frame: int) -> int:
        if frame == 1:
            assert second_is_done.wait(20)  # would never come if frames went one after the other
        if frame == 2:
            second_is_done.set()
        return frame * 10

    assert list(in_order(work, [1, 2, 3], workers=2)) == [(1, 10), (2, 20), (3, 30)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_is_raised_at_its_turn_and_begun_frames_are_finished(workers: int) -> None:
    begun: list[int] = []
    finished: list[int] = []
    seen: list[int] = []

    def work(frame: int) -> None:
        begun.append(frame)
        if frame == 2:
            raise ValueError("frame 2")
        finished.append(frame)

    results = in_order(work, range(100), workers=workers)
    with pytest.raises(ValueError, match="frame 2"):
        seen.extend(frame for frame, _ in results)
    assert seen == [0, 1]
    assert sorted(finished) == sorted(set(begun) - {2})
    assert len(begun) <= 3 + workers


@pytest.mark.parametrize("workers", [0, 2])
def test_what_stop_raises_ends_the_loop(workers: int) -> None:
    done: list[int] = []

    def stop() -> None:
        if len(done) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(done.append, range(1000), workers=workers, stop=stop))
    assert 2 <= len(done) <= 2 + workers


def test_workers_compute_with_one_thread_and_leave_the_setting_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        inside = list(in_order(lambda _: (torch.get_num_threads(), get_ident()), range(4), workers=1))
        assert {threads for _, (threads, _) in inside} == {1}
        assert get_ident() not in {thread for _, (_, thread) in inside}
        assert torch.get_num_threads() == 3
        assert [n for _, n in in_order(lambda _: torch.get_num_threads(), range(2), workers=0)] == [3, 3]
    finally:
        torch.set_num_threads(before)


def test_closing_early_waits_for_what_was_begun() -> None:
    begun: list[int] = []
    finished: list[int] = []
    go = Event()

    def work(frame: int) -> None:
        begun.append(frame)
        if frame:
            assert go.wait(20)
        finished.append(frame)

    before = torch.get_num_threads()
    results = in_order(work, range(100), workers=3)
    assert next(results) == (0, None)
    go.set()
    results.close()
    assert sorted(finished) == sorted(begun)
    assert len(begun) <= 3
    assert torch.get_num_threads() == before
