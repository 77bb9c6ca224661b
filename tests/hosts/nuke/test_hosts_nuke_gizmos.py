"""Every gizmo, looked at without Nuke: structure, knobs, links, buttons, wiring. And faults to be seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("tkinter", reason="needs Tcl, which comes with Python's tkinter")

import fake_nuke
from nuke_script import ScriptError, read_script
from nuke_validator import problems

ROOT = Path(__file__).resolve().parents[3]
GIZMOS = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "gizmos").glob("*.gizmo"))}
EDIT = GIZMOS["StitFaceEdit"]


def _buttons() -> tuple[str, ...]:
    fake_nuke.FakeNuke(GIZMOS)
    from stit_vfx_nuke import buttons

    return tuple(buttons.BUTTONS)


def test_these_are_all_the_gizmos() -> None:
    assert list(GIZMOS) == ["StitApply", "StitFaceEdit", "StitMatte"]


@pytest.mark.parametrize("name", GIZMOS)
def test_a_gizmo_has_nothing_wrong(name: str) -> None:
    assert problems(GIZMOS[name], buttons=_buttons()) == []


@pytest.mark.parametrize("name", GIZMOS)
def test_a_gizmo_is_named_like_its_file_and_has_an_icon(name: str) -> None:
    (group,) = read_script(GIZMOS[name]).nodes
    assert group.name == name
    icon = (ROOT / "host_plugins" / "nuke" / "icons" / group.knobs["icon"]).read_bytes()
    assert icon[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(icon[16:20], "big") == 24  # the toolbar's size


def test_every_button_of_the_plug_in_is_on_the_panel() -> None:
    pressed = set(re.findall(r"press\(nuke\.thisNode\(\), '(\w+)'\)", EDIT))
    assert pressed == set(_buttons())


FAULTS = {
    "a group that is never closed": (EDIT, "end_group\n", "", "never closed"),
    "a misspelt knob of an inner node": (EDIT, "maskChannel rgba", "maskChanel rgba", "no knob maskChanel"),
    "a link to a node that is not there": (
        EDIT,
        "T Edit.on_error",
        "T Editt.on_error",
        "Editt, which is not",
    ),
    "a link to a knob that is not there": (EDIT, "T Edit.file", "T Edit.filename", "no knob filename"),
    "a button that does not compile": (EDIT, "except ImportError:", "except ImportError", "Python: "),
    "a menu without entries": (EDIT, 'M {largest "at point"}', "", "menu without entries"),
    "a number that is no knob": (
        EDIT,
        "addUserKnob {7 mix",
        "addUserKnob {700 mix",
        "no knob has the number",
    ),
    "a renamed slider that the graph needs": (EDIT, "{7 mix l", "{7 blend l", "the group has no knob mix"),
    "a knob without a tooltip": (EDIT, 't "Start of the random numbers.', 'l "Start', "seed: no tooltip"),
    "two knobs of one name": (EDIT, "{3 last l", "{3 first l", "first: two user knobs"),
    "an Output that is gone": (EDIT, " Output {", " Dot {", "there has to be one Output"),
    "a missing bracket": (EDIT, ' addUserKnob {3 seed l "seed"', " addUserKnob {3 seed l {seed", ""),
    "a button that nothing answers": (EDIT, "'cook')", "'cooc')", "nothing answers to cooc"),
    "a default that is not in the menu": (EDIT, " quality final", " quality finest", "not in its menu"),
    "a node with too few before it": (GIZMOS["StitMatte"], "push $Nhold\n", "", "2 inputs, but 1"),
    "a channel that no layer has": (
        GIZMOS["StitMatte"],
        "to0 stit_matte.alpha",
        "to0 stit_mate.alpha",
        "stit_mate",
    ),
    "an input too many": (GIZMOS["StitMatte"], "Group {\n inputs 2", "Group {\n inputs 3", "outside"),
    "a button that needs the plug-in": (
        EDIT,
        "except ImportError:",
        "except KeyError:",
        "plug-in is missing",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str) -> None:
    text, before, after, told = FAULTS[fault]
    assert before in text
    seen = problems(text.replace(before, after, 1), buttons=_buttons())
    assert seen
    assert any(told in line for line in seen), seen


def test_a_script_can_do_nothing_to_this_machine(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for line in (f"exec touch {made}", f"open {made} w", f"source {made}", "socket 127.0.0.1 9", "load x.so"):
        with pytest.raises(ScriptError):
            read_script(line + "\n" + EDIT)
    assert not made.exists()


def test_input_zero_is_the_last_node_before() -> None:
    text = "Read {\n inputs 0\n name A\n}\nRead {\n inputs 0\n name B\n}\nMerge2 {\n inputs 2\n name M\n}\n"
    merge = read_script(text).nodes[2]
    assert [feed.name for feed in merge.inputs if feed] == ["B", "A"]


def test_no_colour_space_is_named_in_a_gizmo() -> None:
    for text in GIZMOS.values():
        for node in read_script(text).nodes[0].inside:
            assert "colorspace" not in node.knobs
            assert node.cls != "Read" or node.name == "Preview" or node.knobs["raw"] == "true"


def test_the_inner_write_is_off_so_that_a_farm_leaves_it_alone() -> None:
    out = read_script(EDIT).nodes[0].child("PlateOut")
    assert out is not None
    assert out.knobs["disable"] == "true"
    assert out.knobs["raw"] == "true"


def test_the_panel_has_what_the_design_asks_for() -> None:
    """The controls of the project's design of the panel, by kind."""
    knobs = {knob.name: knob.kind for knob in read_script(EDIT).nodes[0].user}
    wanted = {
        **dict.fromkeys(
            [
                "analyze",
                "from_input",
                "cook",
                "resume",
                "cancel",
                "clear_cache",
                "preview",
                "bake",
                "export_job",
            ],
            22,
        ),
        **{"status": 26, "face": 4, "face_pos": 12, "face_frame": 3, "face_here": 22, "mix": 7, "output": 4},
        **{"edit_smile": 7, "edit_age": 7, "edit_mouth_open": 7, "edit_yaw": 7, "edit_pitch": 7},
        **{"matte_size": 7, "matte_soft": 7, "first": 3, "last": 3, "smoothing": 7, "quality": 4, "seed": 3},
        **{"plate_space": 1, "out_dir": 2, "compression": 4, "plate_pixel": 4, "extra_layers": 6, "farm": 4},
        **{"submit": 22, "device": 4, "on_error": 41, "consent": 1, "update_node": 22, "stit_version": 1},
    }
    assert {name: knobs.get(name) for name in wanted} == wanted


def test_added_sliders_land_on_the_last_tab() -> None:
    tabs = [knob for knob in read_script(EDIT).nodes[0].user if knob.kind == 20]
    assert tabs[-1].text("l") == "More edits"
