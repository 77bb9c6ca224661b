from __future__ import annotations

import json
from importlib.resources import files

import pytest

from stit_vfx.shape.shading import LOOKS
from stit_vfx.training.directions import default_directions
from stit_vfx.training.export import direction_entries

BOTH_WAYS = {"smile", "age", "mouth_open", "eyes_closed", "brows_up", "masculine", "yaw", "pitch"}


def test_the_shipped_pack_holds_the_recipes_directions() -> None:
    shipped = json.loads((files("stit_vfx.packs") / "builtin" / "pack.json").read_text())["directions"]
    assert shipped == direction_entries({n for n, d in shipped.items() if "file" in d})


def test_what_a_compositor_asks_for_is_there_once_and_both_ways() -> None:
    names = [d["name"] for d in default_directions()]
    assert len(names) == len(set(names))
    assert BOTH_WAYS | {"anger", "surprise", "eye_size", "nose_width", "lip_fullness", "jaw_width"} < set(
        names
    )
    assert all(d["range"] == [-1.0, 1.0] for d in default_directions() if d["name"] in BOTH_WAYS)


@pytest.mark.parametrize("direction", default_directions(), ids=lambda d: d["name"])
def test_a_direction_has_a_title_and_looks_that_the_shading_knows(direction) -> None:
    assert direction["title"]
    assert set(direction["look"]) <= set(LOOKS)
