"""Which frames a shot's memory of the mouth is made from."""

from __future__ import annotations

from stit_vfx.remembering import MOST_LOOKS, OPEN_CM, frames_to_look_at


def test_closed_mouths_are_not_looked_at() -> None:
    assert frames_to_look_at({1001: 0.0, 1002: OPEN_CM, 1003: 0.1}) == ()


def test_short_shots_are_looked_at_wholly() -> None:
    assert frames_to_look_at({1001: 0.5, 1002: 0.1, 1003: 0.9}) == (1001, 1003)


def test_long_shots_give_the_widest_mouth_of_each_part() -> None:
    openness = {frame: 0.3 + (frame * 37 % 101) / 100 for frame in range(1, 1001)}
    chosen = frames_to_look_at(openness)
    assert len(chosen) == MOST_LOOKS
    assert list(chosen) == sorted(set(chosen))
    assert max(openness.values()) in [openness[frame] for frame in chosen]
    assert min(openness[frame] for frame in chosen) > 1.2


def test_the_order_of_frames_does_not_matter() -> None:
    openness = {frame: 0.3 + (frame * 37 % 101) / 100 for frame in range(1, 200)}
    assert frames_to_look_at(dict(reversed(openness.items()))) == frames_to_look_at(openness)
