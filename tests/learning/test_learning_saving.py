"""Saving a direction: killed anywhere, the pack is the old one or the new one, and whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from learning_pack import Killed, affine, killed_at, linear

from stit_vfx.errors import JobFieldError, OutputError, PackDamagedError
from stit_vfx.learning.learn import Learned
from stit_vfx.learning.saving import Terms, new_pack_folder, save_as_new_pack, save_direction
from stit_vfx.packs.load import load_pack
from stit_vfx.packs.registry import HERE, list_packs, verify_pack
from stit_vfx.packs.schema import read_spec

OWN = Learned(linear(range=(-1.5, 1.5), title="Tilt"), {"roc_auc": 0.9}, ("few samples",))


def every_kill(
    action: Callable[[], object], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> int:
    """Do an action, killed at each of its calls in turn and looked at after each, until it goes through."""
    for call in range(200):
        with killed_at(call, monkeypatch) as killed, suppress(Killed):
            action()
        check()
        if not killed:
            return call
    raise AssertionError("the action never ends")


def test_a_saved_direction_is_one_of_the_packs(own_pack: Path) -> None:
    assert save_direction(own_pack, OWN) == own_pack / "pack.json"
    assert verify_pack(own_pack) == []
    pack = load_pack(own_pack)
    direction = pack.directions["tilt"]
    assert direction.vector is not None
    np.testing.assert_array_equal(direction.vector, OWN.direction.vector)
    assert (direction.scale, direction.range, direction.title) == (2.0, (-1.5, 1.5), "Tilt")
    assert pack.spec.directions["tilt"].measured == {"roc_auc": 0.9, "warnings": ["few samples"]}
    assert set(pack.directions) == {"smile", "age", "rows", "lips", "tilt"}
    licence = pack.spec.licences["directions.tilt"]
    assert (licence.licence, licence.commercial_use) == ("user's own", "unknown")


def test_a_pack_is_no_freer_than_the_direction_it_gets(own_pack: Path) -> None:
    assert read_spec(own_pack).commercial_use == "yes"
    save_direction(own_pack, OWN, terms=Terms("CC0-1.0", "yes"))
    assert read_spec(own_pack).commercial_use == "yes"
    save_direction(own_pack, Learned(affine(), {}, ()), terms=Terms("for research", "no"))
    save_direction(own_pack, Learned(linear("third"), {}, ()))
    spec = read_spec(own_pack)
    assert spec.commercial_use == "no"
    assert spec.licences["directions.bend"].licence == "for research"


def test_killed_at_any_call_the_pack_is_the_old_or_the_new_one(
    own_pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def whole() -> None:
        assert verify_pack(own_pack) == []
        directions = load_pack(own_pack).directions
        seen.add("tilt" in directions)
        assert set(directions) >= {"smile", "age", "rows", "lips"}

    calls = every_kill(lambda: save_direction(own_pack, OWN, replace=True), whole, monkeypatch)
    assert calls >= 8
    assert seen == {False, True}


def test_killed_while_replacing_either_the_old_or_the_new_one_is_there(
    own_pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_direction(own_pack, OWN)
    other = Learned(linear(vector=np.eye(24, dtype=np.float32)[3]), {}, ())
    seen = set()

    def whole() -> None:
        assert verify_pack(own_pack) == []
        seen.add(int(np.argmax(load_pack(own_pack).directions["tilt"].vector)))

    every_kill(lambda: save_direction(own_pack, other, replace=True), whole, monkeypatch)
    assert seen == {0, 3}
    save_direction(own_pack, other, replace=True)
    tensors = sorted(own_pack.glob("direction.tilt.*"))
    assert [path.name in read_spec(own_pack).sha256 for path in tensors].count(True) == 1


def test_killed_at_any_call_a_new_pack_is_whole_or_no_pack(
    own_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in own_pack.iterdir()}
    (own_pack / "LICENSE").write_text("words")
    before["LICENSE"] = b"words"
    target = tmp_path / "new" / "copy"
    target.parent.mkdir()
    seen = set()

    def copy() -> None:
        if not (target / "pack.json").exists():
            save_as_new_pack(own_pack, target, OWN)

    def whole() -> None:
        packs = list_packs(search=[target.parent])
        there = any(each.folder == target for each in packs)
        seen.add(there)
        if there:
            assert verify_pack(target) == []
            assert "tilt" in load_pack(target).directions
        assert before == {path.name: path.read_bytes() for path in own_pack.iterdir()}

    assert every_kill(copy, whole, monkeypatch) >= 15
    assert seen == {False, True}
    assert read_spec(target).name == "copy"
    assert (target / "LICENSE").read_text() == "words"


def test_a_name_that_is_taken_is_only_replaced_when_asked(own_pack: Path, tmp_path: Path) -> None:
    taken = Learned(linear("smile"), {}, ())
    before = (own_pack / "pack.json").read_bytes()
    with pytest.raises(OutputError, match="already has a direction smile"):
        save_direction(own_pack, taken)
    with pytest.raises(OutputError, match="already has a direction smile"):
        save_as_new_pack(own_pack, tmp_path / "new", taken)
    assert (own_pack / "pack.json").read_bytes() == before
    save_direction(own_pack, taken, replace=True)
    # The others still live in the old file.
    assert (own_pack / "directions.safetensors").exists()
    assert load_pack(own_pack).directions["smile"].vector.tolist() == OWN.direction.vector.tolist()
    with pytest.raises(OutputError, match="there is a pack already"):
        save_as_new_pack(own_pack, own_pack, OWN)


def test_replacing_removes_the_old_tensors(own_pack: Path) -> None:
    save_direction(own_pack, OWN)
    (old,) = own_pack.glob("direction.tilt.*")
    save_direction(own_pack, Learned(linear(vector=np.ones(24, np.float32)), {}, ()), replace=True)
    (new,) = own_pack.glob("direction.tilt.*")
    assert old != new
    assert verify_pack(own_pack) == []
    save_direction(own_pack, Learned(linear(vector=np.ones(24, np.float32)), {}, ()), replace=True)
    assert new.exists()


def test_packs_that_came_with_the_engine_are_never_changed(tmp_path: Path) -> None:
    builtin = HERE / "builtin"
    before = {path.name: path.stat().st_mtime_ns for path in builtin.iterdir()}
    with pytest.raises(OutputError, match="came with the engine"):
        save_direction(builtin, OWN)
    link = tmp_path / "link"
    link.symlink_to(builtin)
    with pytest.raises(OutputError, match="came with the engine"):
        save_direction(link, OWN)
    assert before == {path.name: path.stat().st_mtime_ns for path in builtin.iterdir()}


def test_a_damaged_pack_gets_no_direction(own_pack: Path) -> None:
    path = own_pack / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    before = json.loads((own_pack / "pack.json").read_text())
    with pytest.raises(PackDamagedError, match="sha256 differs"):
        save_direction(own_pack, OWN)
    assert json.loads((own_pack / "pack.json").read_text()) == before


def test_a_new_pack_goes_to_the_users_own_packs_or_to_a_path(tmp_path: Path) -> None:
    assert new_pack_folder("mine").parent == tmp_path / "data" / "stit_vfx" / "packs"
    assert new_pack_folder("./mine") == Path("mine")
    assert new_pack_folder(str(tmp_path / "mine")) == tmp_path / "mine"
    for odd in ("..", "a b", "/", ""):
        with pytest.raises(JobFieldError, match="no name for a pack"):
            new_pack_folder(odd)
