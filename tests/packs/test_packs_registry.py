import json
import os
from pathlib import Path

import pytest
import torch

from stit_vfx.errors import PackDamagedError, PackMissingError
from stit_vfx.packs.load import load_pack
from stit_vfx.packs.registry import find_pack, list_packs, verify_pack


def _flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_packs_are_found_in_a_folder_of_packs_and_as_a_folder_itself(tiny):
    for place in (tiny, tiny.parent):
        assert [pack.name for pack in list_packs(search=[place]) if pack.name == "tiny"] == ["tiny"]
    assert find_pack("tiny", search=[tiny.parent]) == tiny
    assert find_pack(str(tiny)) == tiny


def test_the_users_path_comes_before_the_environments_before_the_own_folder(tmp_path, make_pack, monkeypatch):
    given, named = make_pack(tmp_path / "given" / "a"), make_pack(tmp_path / "named" / "b")
    own = make_pack(tmp_path / "data" / "stit_vfx" / "packs" / "c")
    assert find_pack("tiny") == own
    monkeypatch.setenv("STIT_PACK_PATH", os.pathsep.join([str(tmp_path / "nowhere"), str(named.parent)]))
    assert find_pack("tiny") == named
    assert find_pack("tiny", search=[given.parent]) == given
    assert [pack.folder for pack in list_packs(search=[given]) if pack.name == "tiny"] == [given]


def test_a_pack_that_hides_another_says_so(tiny, tmp_path, make_pack):
    other = make_pack(tmp_path / "others" / "older")
    (entry,) = [pack for pack in list_packs(search=[tiny.parent, tiny, other.parent]) if pack.name == "tiny"]
    assert (entry.folder, entry.hides) == (tiny, (other,))


def test_a_search_folder_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("STIT_PACK_PATH", str(tmp_path / "not mounted"))
    with pytest.raises(PackMissingError, match=r"Not there: .*not mounted"):
        find_pack("tiny")


def test_folders_that_may_not_be_looked_into_hide_no_pack(tiny, monkeypatch):
    for name in ("locked", "lost+found"):
        (tiny.parent / name).mkdir()
    is_file, closed = Path.is_file, (tiny.parent / "locked", tiny.parent / "lost+found")

    def refused(path):
        if path.parent in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    packs = {pack.name: pack for pack in list_packs(search=[tiny.parent])}
    assert packs["tiny"].problem == ""
    assert "cannot be read" in packs["locked"].problem
    assert "lost+found" not in packs


def test_a_folder_with_a_dot_in_front_is_no_pack(tiny):
    tiny.rename(tiny.with_name(".fetch-tiny"))
    assert [pack for pack in list_packs(search=[tiny.parent]) if pack.name == "tiny"] == []


def test_an_unknown_pack_is_answered_with_what_there_is(tiny):
    with pytest.raises(PackMissingError, match=r"Did you mean tiny\? There is tiny"):
        find_pack("tinny", search=[tiny])


def test_a_path_that_is_no_pack_is_said_so(tmp_path):
    with pytest.raises(PackMissingError, match=r"no pack\.json"):
        find_pack(tmp_path / "nothing")


@pytest.mark.parametrize("file", ["generator", "encoder", "directions"])
def test_one_changed_byte_is_found_and_its_file_named(tiny, file):
    assert verify_pack(tiny) == []
    _flip_a_byte(tiny / f"{file}.safetensors")
    (problem,) = verify_pack(tiny)
    assert problem.startswith(f"{file}.safetensors")
    with pytest.raises(PackDamagedError, match=file):
        load_pack(tiny)


def test_a_missing_file_is_damage(tiny):
    (tiny / "encoder.safetensors").unlink()
    assert verify_pack(tiny) == ["encoder.safetensors is missing"]
    with pytest.raises(PackDamagedError, match="encoder"):
        load_pack("tiny", search=[tiny])


def test_a_broken_pack_json_does_not_hide_other_packs(tiny):
    broken = tiny.parent / "broken"
    broken.mkdir()
    (broken / "pack.json").write_text("{")
    packs = {pack.name: pack for pack in list_packs(search=[tiny.parent])}
    assert packs["tiny"].problem == ""
    assert "not JSON" in packs["broken"].problem
    assert verify_pack(packs["broken"]) == [packs["broken"].problem]


def test_a_byte_that_changes_under_the_same_size_and_time_is_found(tiny):
    load_pack(tiny)
    path = tiny / "encoder.safetensors"
    times = path.stat()
    _flip_a_byte(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(PackDamagedError, match="encoder"):
        load_pack(tiny)


def test_a_byte_that_changes_after_the_pack_was_opened_is_found_when_it_is_needed(tiny):
    pack = load_pack(tiny)
    _flip_a_byte(tiny / "encoder.safetensors")
    with pytest.raises(PackDamagedError, match="encoder"):
        pack.encoder.encode(torch.zeros(1, 3, 256, 256))


def test_the_entry_shows_name_licence_and_place(tiny):
    (entry,) = [pack for pack in list_packs(search=[tiny]) if pack.name == "tiny"]
    assert str(entry) == f"Tiny, CC0-1.0; commercial use: yes ({tiny})"
    assert json.loads((tiny / "pack.json").read_text())["title"] == entry.title
