from __future__ import annotations

from stit_vfx.measure.words import told


def test_a_report_is_told_in_lines_and_small_changes_are_left_out() -> None:
    lines = told(
        {
            **{
                "checked": 12,
                "unsafe": (),
                "descriptor_distance": 0.3533,
                "tl_id": 0.9999,
                "jitter_ratio": 1.013,
            },
            "strength": {"mouth_width": -0.0501, "brow_height": 0.004},
        }
    )
    assert lines == [
        "plate safety: 12 frames compared, not one bit outside the matte changed",
        "identity: distance 0.35 (same take below 0.45, same person below 0.6), TL-ID 1.000",
        "steadiness: landmarks move 1.01 times as restlessly as the plate's",
        "the face, in eye distances: mouth width -0.050",
    ]


def test_a_plate_that_was_harmed_is_not_passed_over() -> None:
    assert "1001, 1003" in told({"checked": 4, "unsafe": (1001, 1003)})[0]
    assert told({}) == []
