"""The record says what was done, by what, and no more about people than they allow."""

from __future__ import annotations

import getpass
import json
import socket
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from stit_vfx import provenance
from stit_vfx.atomic import atomic_bytes
from stit_vfx.job import Job
from stit_vfx.packs.schema import PackSpec
from stit_vfx.packs.terms import not_free, parts_of
from stit_vfx.shot import STEP_REVISION, Shot, Version


def make_job(**changes: Any) -> Job:
    edits = [
        {"direction": "smile", "strength": 0.6},
        {"direction": "age", "keys": {"1001": 0, "1003": -0.5}},
    ]
    data = {"schema": "stit.job/1", "plate": "/p/sh010.####.exr", "frames": "1001-1003", "edits": edits}
    return Job.from_data({**data, **changes})


def make_pack(whole: str = "yes", **uses: str) -> PackSpec:
    """A pack of four networks and two directions; `uses` says commercial use part by part."""
    parts = {name: {"file": f"{name}.safetensors"} for name in ("parser", "identity", "text", "style_basis")}
    kinds = {"parser": "bisenet", "identity": "arcface-ir-se50", "text": "clip-text"}
    directions = {name: {"file": "directions.safetensors"} for name in ("smile", "age", "beard")}
    named = {name.replace("__", "."): use for name, use in uses.items()}
    data = {
        "schema": "stit.pack/1",
        "name": "own",
        "licence": "Studio terms",
        "commercial_use": whole,
        "generator": {"arch": "stylegan2", "file": "generator.safetensors", "resolution": 8, "num_ws": 4},
        **{
            name: {**part, **({"arch": kinds[name]} if name in kinds else {})} for name, part in parts.items()
        },
        "directions": directions,
        "licences": {
            name: {"licence": f"{name} terms", "commercial_use": use} for name, use in named.items()
        },
        "sha256": {f"{name}.safetensors": "0" * 64 for name in (*parts, "generator", "directions")},
    }
    return PackSpec.model_validate_json(json.dumps(data))


@pytest.fixture
def version(tmp_path: Path) -> Version:
    version = Shot.open(tmp_path, "sh010").version(make_job())
    for frame, outcome in ((1001, "edited"), (1002, "edited"), (1003, "untouched")):
        atomic_bytes(version.comp_path(frame), b"comp %d" % frame)
        version.finish_frame(frame, key="k", files={"comp": version.comp_path(frame)}, outcome=outcome)
    return version


def record_of(version: Version) -> dict[str, Any]:
    record = provenance.build_record(
        version,
        make_job(),
        models={"builtin/generator": {"sha256": "ab", "licence": "Apache-2.0"}},
        plate={1001: "p1", 1002: "p2", 1003: "p3"},
        colour={"space": "ACEScg", "why": "header"},
        device="cpu",
    )
    return json.loads(provenance.write_record(version, record).read_text())


def test_the_record_says_what_was_done_to_which_plate_by_what(version: Version) -> None:
    record = record_of(version)
    assert record["schema"] == "stit.provenance/1"
    assert record["job_sha256"] == make_job().sha256
    assert record["step_revisions"] == STEP_REVISION
    assert record["models"]["builtin/generator"] == {"sha256": "ab", "licence": "Apache-2.0"}
    assert record["plate"]["sha256"] == {"1001": "p1", "1002": "p2", "1003": "p3"}
    assert record["frames"] == {"edited": [1001, 1002], "untouched": [1003], "failed": []}
    assert record["outputs"]["1002"] == {"comp": sha256(b"comp 1002").hexdigest()}
    assert [edit["direction"] for edit in record["edits"]] == ["smile", "age"]
    assert record["consent_ref"] is None


def test_the_source_type_is_footage_changed_by_a_trained_model(version: Version) -> None:
    expected = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    assert record_of(version)["digitalSourceType"] == expected
    assert (
        provenance.exr_attributes(make_job(), "v001", 1001, pack=make_pack())["stit/digitalSourceType"]
        == expected
    )


def test_a_frame_carries_its_own_edit_and_nothing_that_changes_from_run_to_run() -> None:
    job = make_job(consent="letter 12")
    attributes = provenance.exr_attributes(job, "v003", 1002, pack=make_pack())
    assert attributes["stit/edit"] == "smile=0.6 age=-0.25"
    assert attributes["stit/shot"] == "sh010 v003"
    assert attributes["stit/consentRef"] == "letter 12"
    assert attributes["stit/job_sha256"] == job.sha256
    assert attributes == provenance.exr_attributes(job, "v003", 1002, pack=make_pack())
    assert all(isinstance(value, str) for value in attributes.values())
    assert socket.gethostname() not in str(attributes)


def test_user_and_machine_are_named_unless_the_user_says_no(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STIT_NO_USER", raising=False)
    made_on = record_of(version)["made_on"]
    assert (made_on["user"], made_on["host"]) == (getpass.getuser(), socket.gethostname())
    monkeypatch.setenv("STIT_NO_USER", "1")
    assert record_of(version)["made_on"].keys() == {"device", "system", "machine"}


# terms ------------------------------------------------------------------------------------------------------


def test_a_frame_carries_the_terms_of_the_strictest_parts_that_it_was_made_with() -> None:
    def terms(**uses: str) -> tuple[str, str]:
        told = provenance.exr_attributes(make_job(), "v001", 1001, pack=make_pack(**uses))
        assert told["stit/pack"] == "own"
        return told["stit/licence"], told["stit/commercialUse"]

    assert terms() == ("Studio terms", "yes")
    assert terms(parser="unknown") == ("parser terms", "unknown")
    assert terms(parser="unknown", directions__age="no") == ("directions.age terms", "no")
    assert terms(generator="no", parser="no") == ("generator terms; parser terms", "no")
    # The job asks for no text and no beard, and no run asks the identity network.
    assert terms(text="no", style_basis="no", identity="no", directions__beard="no") == (
        "Studio terms",
        "yes",
    )


def test_a_text_edit_brings_the_terms_of_the_text_network() -> None:
    job = make_job(edits=[{"text": "a smiling face", "strength": 0.5}])
    told = provenance.exr_attributes(job, "v001", 1001, pack=make_pack(text="no"))
    assert (told["stit/licence"], told["stit/commercialUse"]) == ("text terms", "no")


def test_the_record_names_every_part_with_its_terms_and_sums() -> None:
    record = provenance.pack_record(make_pack(identity="no", directions__smile="unknown"), make_job())
    assert (record["licence"], record["commercial_use"]) == ("Studio terms", "yes")
    named = {"generator", "parser", "identity", "text", "style_basis", "directions.smile", "directions.age"}
    assert set(record["parts"]) == named
    assert record["parts"]["identity"]["commercial_use"] == "no"
    assert {name for name, part in record["parts"].items() if part["used"]} == {
        *("generator", "parser", "directions.smile", "directions.age")
    }
    assert record["parts"]["directions.smile"]["licence"] == "directions.smile terms"
    assert record["parts"]["generator"]["sha256"] == "0" * 64 == record["sha256"]["generator.safetensors"]


def test_the_warning_names_the_parts_that_are_not_known_to_be_free() -> None:
    job = make_job()
    assert not_free(make_pack(), job) == ""
    assert not_free(make_pack("no"), job).endswith("in pack own: all parts: no")
    told = not_free(make_pack(generator="no", parser="unknown", directions__smile="no"), job)
    assert told.endswith("in pack own: generator, directions.smile (no); parser (unknown)")
    assert "\n" not in told


def test_without_a_job_all_directions_count() -> None:
    assert "directions.beard" in parts_of(make_pack())
