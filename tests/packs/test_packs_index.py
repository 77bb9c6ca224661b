"""What an index may say, and what is refused before anything is fetched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fetch_server import index_of, model

from stit_vfx.errors import PackDamagedError, PackFetchError, PackFormatError, PackNewerError
from stit_vfx.packs.fetch import Catalogue, order_offer
from stit_vfx.packs.index import make_index, parse_index


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/x", "a/b", "..", ".hidden", "a\\b", "x.part", "nul", "COM1.pkl", "a\n", "", "x" * 300],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    file = {**model()["files"][0], "name": name}
    with pytest.raises(PackFormatError, match=r"models\.0\.files\.0\.name"):
        parse_index(json.dumps(index_of(None, model(files=[file]))))


@pytest.mark.parametrize(
    "url",
    ["../x", "a/../../x", "a/%2e%2e/x", "/x", "%2fx", "file:///x", "ftp://h/x", "c:x", "a\\..\\x", "//h/x", "http://",
     "https://me:secret@h/x", "http://h/a b", "a//b", ""],
)  # fmt: skip
def test_an_address_that_leads_elsewhere_is_refused(url: str) -> None:
    file = {**model()["files"][0], "url": url}
    with pytest.raises(PackFormatError, match=r"models\.0\.files\.0\.url"):
        parse_index(json.dumps(index_of(None, model(files=[file]))))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colour": 1}, "models.0.colour: is not a known key"),
        ({"licence": ""}, "models.0.licence"),
        ({"commercial_use": "maybe"}, "models.0.commercial_use"),
        ({"title": "\x1b[2J"}, "models.0.title"),
        ({"note": "\u202eeil"}, "models.0.note"),
        ({"name": "../net"}, "models.0.name"),
        ({"files": []}, "models.0.files"),
        (
            {"files": [model()["files"][0], {**model()["files"][0], "name": "NET.pkl"}]},
            "net.pkl is given twice",
        ),
        ({"files": [{**model()["files"][0], "size": 0}]}, "models.0.files.0.size"),
        ({"files": [{**model()["files"][0], "size": "200000"}]}, "models.0.files.0.size"),
        ({"files": [{**model()["files"][0], "sha256": "AB" * 32}]}, "models.0.files.0.sha256"),
    ],
)
def test_a_field_that_is_wrong_is_named(change: dict[str, Any], told: str) -> None:
    with pytest.raises(PackFormatError) as caught:
        parse_index(json.dumps(index_of(None, model(**change))), where="index.json")
    assert told in str(caught.value)


def test_a_pack_offer_without_a_description_or_with_a_pickle_is_refused(tiny: Path) -> None:
    index = index_of(tiny)
    first, *others = index["packs"][0]["files"]
    for files in (others, [first, {**first, "name": "weights.pkl"}]):
        index["packs"][0]["files"] = files
        with pytest.raises(PackFormatError, match=r"packs\.0"):
            parse_index(json.dumps(index))


def test_two_offers_of_one_name_are_refused() -> None:
    with pytest.raises(PackFormatError, match="net is offered twice"):
        parse_index(json.dumps(index_of(None, model(), model(name="NET"))))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": "stit.pack/1"}', '{"schema": 1}', "[" * 5000]
)
def test_what_is_no_index_is_refused(text: str) -> None:
    with pytest.raises(PackFormatError):
        parse_index(text)


def test_an_index_of_a_newer_engine_says_so() -> None:
    with pytest.raises(PackNewerError):
        parse_index('{"schema": "stit.packindex/2"}')


def test_an_unknown_name_is_answered_with_what_there_is() -> None:
    catalogue = Catalogue(index=parse_index(json.dumps(index_of(None, model()))), base="https://h/index.json")
    with pytest.raises(PackFetchError, match=r"Did you mean net\? It offers net"):
        order_offer(catalogue, "nett")


def test_an_index_of_https_leads_to_no_http() -> None:
    file = {**model()["files"][0], "url": "http://h/net.pkl"}
    catalogue = Catalogue(
        index=parse_index(json.dumps(index_of(None, model(files=[file])))), base="https://h/i"
    )
    with pytest.raises(PackFetchError, match="from https to http"):
        order_offer(catalogue, "net")


def test_the_example_in_the_manual_is_an_index() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pack_index.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert [offer.name for offer in parse_index(example).offers] == ["lead-actor", "some-parser"]


def test_a_damaged_pack_gets_into_no_index(tiny: Path) -> None:
    (tiny / "encoder.safetensors").write_bytes(b"")
    with pytest.raises(PackDamagedError, match="encoder"):
        make_index(tiny.parent)
