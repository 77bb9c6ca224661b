"""What the gizmos' graphs compute, worked out node by node. Every promise is a number here."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tkinter", reason="needs Tcl, which comes with Python's tkinter")

from nuke_pixels import Graph, Picture
from nuke_script import read_script

GIZMOS = Path(__file__).resolve().parents[3] / "gizmos"
RGB = ("rgba.red", "rgba.green", "rgba.blue")
# Outside, edge, inside, highlight, negative.
PLATE_R = (0.1, 0.2, 0.3, 9.5, -0.05)
MATTE = (0.0, 0.25, 1.0, 1.0, 0.5)
COMP_R = (0.7, 0.25, 0.5, 9.75, -0.15)  # 0.7: a comp of another bit depth must not be seen outside


def _picture(red: tuple[float, ...], alpha: float = 1.0) -> Picture:
    return [{"rgba.red": r, "rgba.green": 2 * r, "rgba.blue": r / 2, "rgba.alpha": alpha} for r in red]


def _alpha(values: tuple[float, ...]) -> Picture:
    return [{"rgba.alpha": value} for value in values]


def _red(picture: Picture, channel: str = "rgba.red") -> list[float]:
    return [pixel.get(channel, 0.0) for pixel in picture]


def _graph(name: str, pictures: dict[str, Picture], **knobs: float) -> Graph:
    return Graph(read_script((GIZMOS / f"{name}.gizmo").read_text("utf-8")).nodes[0], pictures, **knobs)


def _edited(**knobs: float) -> Graph:
    matte = [dict.fromkeys(RGB, value) for value in MATTE]
    holdout = knobs.pop("holdout", None)
    pictures = {"plate": _picture(PLATE_R), "Edit": _picture(COMP_R, 0.0), "Matte": matte}
    if holdout is not None:
        pictures["holdout"] = _alpha((holdout,) * len(MATTE))
    return _graph("StitFaceEdit", pictures, **{"cooked": 1, "mix": 1, **knobs})


def test_a_node_that_was_never_cooked_is_the_plate() -> None:
    out = _graph("StitFaceEdit", {"plate": _picture(PLATE_R)}).out()
    assert [{name: pixel[name] for name in (*RGB, "rgba.alpha")} for pixel in out] == _picture(PLATE_R)


def test_outside_the_matte_is_the_live_plate_and_inside_the_cook() -> None:
    assert _red(_edited().out()) == [0.1, *COMP_R[1:]]


def test_alpha_is_the_plates() -> None:
    assert _red(_edited().out(), "rgba.alpha") == [1.0] * 5


def test_mix_is_a_straight_line_and_zero_is_the_plate() -> None:
    assert _red(_edited(mix=0).out()) == list(PLATE_R)
    half = [0.1, *((a + b) / 2 for a, b in zip(PLATE_R[1:], COMP_R[1:], strict=True))]
    assert _red(_edited(mix=0.5).out()) == pytest.approx(half, abs=1e-12)


def test_a_white_holdout_keeps_the_plate() -> None:
    assert _red(_edited(holdout=1.0).out()) == list(PLATE_R)
    assert _red(_edited(holdout=7.0).out()) == list(PLATE_R)  # mattes above 1 exist
    assert _red(_edited(holdout=0.25).out())[2] == pytest.approx(0.3 + 0.75 * (0.5 - 0.3), abs=1e-12)


@pytest.mark.parametrize("knobs", [{}, {"mix": 0.5}, {"holdout": 0.25}])
def test_plate_under_matte_plus_edit_is_what_leaves(knobs: dict[str, float]) -> None:
    out = _edited(**knobs).out()
    for n, plate in enumerate(PLATE_R):
        matte, edit = out[n]["stit_matte.alpha"], out[n]["stit_edit.red"]
        assert plate * (1 - matte) + edit == pytest.approx(out[n]["rgba.red"], abs=1e-12)
        assert out[n]["stit_edit.alpha"] == matte


def test_the_outputs_show_what_they_say() -> None:
    assert _red(_edited(output=1).out()) == list(MATTE)
    assert _red(_edited(output=3).out()) == pytest.approx([0.0, 0.05, 0.2, 0.25, 0.1], abs=1e-12)
    assert _red(_edited(output=4).out()) == list(PLATE_R)
    overlay = _edited(output=2, face_box="0 0 0 0").out()
    assert overlay[0]["rgba.red"] == 0.1
    assert overlay[2]["rgba.red"] == pytest.approx(0.5 * 0.6 + 0.4, abs=1e-12)
    boxed = _edited(output=2, face_box="0 0 10 10").out()
    assert boxed[0]["rgba.green"] == pytest.approx(0.2 + 1, abs=1e-12)  # (0, 0) is on the box's edge


def _applied(cooks: dict[str, Picture], **knobs: float) -> list[float]:
    return _red(_graph("StitApply", {"plate": _picture(PLATE_R), **cooks}, **knobs).out())


def test_apply_at_one_is_the_cook_and_at_zero_the_plate_bit_for_bit() -> None:
    cook = _edited().out()
    assert _applied({"cook1": cook}) == pytest.approx([0.1, *COMP_R[1:]], abs=1e-12)
    assert _applied({"cook1": cook}, strength1=0) == list(PLATE_R)
    assert _applied({"cook1": cook}, mix=0) == list(PLATE_R)
    assert _applied({"cook1": cook})[0] == 0.1


def test_apply_goes_between_and_beyond_in_a_straight_line() -> None:
    cook = _edited().out()
    for k in (0.5, 1.5):
        line = [0.1, *(p + k * (c - p) for p, c in zip(PLATE_R[1:], COMP_R[1:], strict=True))]
        assert _applied({"cook1": cook}, strength1=k) == pytest.approx(line, abs=1e-12)


def test_cooks_have_their_own_strengths_and_add_up() -> None:
    cook = _edited().out()
    four = {f"cook{n}": cook for n in range(1, 5)}
    strengths = {"strength1": 0.1, "strength2": 0.2, "strength3": 0.3, "strength4": 0.4}
    assert _applied(four, **strengths) == pytest.approx([0.1, *COMP_R[1:]], abs=1e-12)
    for n in range(1, 5):
        alone = {f"strength{m}": 1.0 if m == n else 0.0 for m in range(1, 5)}
        assert _applied({f"cook{n}": cook}, **alone) == pytest.approx([0.1, *COMP_R[1:]], abs=1e-12)


def test_the_matte_of_all_cooks_is_their_largest() -> None:
    cook = _edited().out()
    assert _applied({"cook3": cook}, output=1) == list(MATTE)


def test_regrain_of_what_has_the_plates_grain_changes_nothing_outside() -> None:
    # With nothing blurred the plate has no grain, so that full regrain gives the cook back.
    cook = _edited().out()
    assert _applied({"cook1": cook}, regrain=1) == pytest.approx([0.1, *COMP_R[1:]], abs=1e-12)


def _shaped(**knobs: float) -> Picture:
    pictures = {"source": _edited().out()}
    if "holdout" in knobs:
        pictures["holdout"] = _alpha((knobs.pop("holdout"),) * 5)
    return _graph("StitMatte", pictures, **knobs).out()


def test_an_unshaped_matte_is_the_cooked_one_and_rgb_is_untouched() -> None:
    out = _shaped()
    assert _red(out, "stit_matte.alpha") == list(MATTE)
    assert _red(out) == _red(_edited().out())
    assert _red(out, "rgba.alpha") == [1.0] * 5


def test_gain_gamma_and_holdout_shape_it() -> None:
    assert _red(_shaped(gain=2), "stit_matte.alpha") == [0, 0.5, 1, 1, 1]
    assert _red(_shaped(gamma=0.5), "stit_matte.alpha") == pytest.approx([0, 0.0625, 1, 1, 0.25])
    assert _red(_shaped(holdout=1.0), "stit_matte.alpha") == [0.0] * 5
    assert _red(_shaped(holdout=1.0, holdout_mix=0.5), "stit_matte.alpha") == [m / 2 for m in MATTE]


def test_the_matte_goes_where_it_is_sent() -> None:
    assert _red(_shaped(output=1), "rgba.alpha") == list(MATTE)
    assert _red(_shaped(output=2)) == list(MATTE)


def test_a_shaped_matte_changes_what_apply_shows() -> None:
    halved = _shaped(gain=0.5)
    line = [0.1, *((p + c) / 2 for p, c in zip(PLATE_R[1:], COMP_R[1:], strict=True))]
    assert _applied({"cook1": halved}) == pytest.approx(line, abs=1e-12)
