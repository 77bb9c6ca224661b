import copy
import json

import pytest

from stit_vfx.errors import PackDamagedError, PackFormatError, PackNewerError
from stit_vfx.packs.schema import parse_spec, read_spec


@pytest.fixture
def data(tiny):
    return json.loads((tiny / "pack.json").read_text())


def _set(data, path, value):
    data = copy.deepcopy(data)
    holder = data
    *parents, last = path
    for part in parents:
        holder = holder[part]
    holder[last] = value
    return json.dumps(data)


def test_a_pack_is_read_with_its_defaults(data):
    spec = parse_spec(json.dumps(data))
    assert spec.generator.conv_clamp is None
    assert spec.directions["smile"].range == (-1.0, 1.0)
    assert spec.directions["rows"].layers == (0, 3)
    assert spec.files() == set(spec.sha256)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("colour",), 1, "colour: is not a known key"),
        (("generator", "depth"), 1, "generator.depth: is not a known key"),
        (("directions", "smile", "gain"), 2.0, "directions.smile.gain: is not a known key"),
        (("generator", "resolution"), 65, "generator.resolution: 65 is no power of two"),
        (("generator", "num_ws"), 18, "generator.num_ws is 10 at resolution 64"),
        (("generator", "arch"), "stylegan3", "generator"),
        (("commercial_use",), "maybe", "commercial_use"),
        (("sha256", "encoder.safetensors"), "abc", "sha256.encoder.safetensors"),
        (("encoder", "file"), "../encoder.safetensors", "encoder.file"),
        (("encoder", "file"), "encoder.pkl", "encoder.file"),
        (("encoder", "file"), "other.safetensors", "sha256 has no entry for other.safetensors"),
        (("directions", "none"), {}, "directions.none: moves nothing"),
        (("shape",), {"file": "encoder.safetensors"}, "shape belongs to"),
        (("schedule", "lr"), -1.0, "schedule.lr"),
        (("name",), "../x", "name"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(data, path, value, words):
    with pytest.raises(PackFormatError) as caught:
        parse_spec(_set(data, path, value), where="pack.json")
    assert words in str(caught.value)
    assert str(caught.value).startswith("pack.json: ")


def test_a_missing_field_is_named(data):
    del data["licence"]
    with pytest.raises(PackFormatError, match="licence: Field required"):
        parse_spec(json.dumps(data))


@pytest.mark.parametrize("schema", ["stit.pack/2", "stit.pack/10.3"])
def test_a_newer_major_says_to_update(data, schema):
    with pytest.raises(PackNewerError, match="Update stit_vfx"):
        parse_spec(_set(data, ("schema",), schema))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 3}', '{"schema": "stit.job/1"}', "\xff"])
def test_what_is_no_pack_is_refused(text):
    with pytest.raises(PackFormatError):
        parse_spec(text)


def test_geometry_aware_packs_carry_settings_of_their_own(data):
    data["generator"] |= {"arch": "geometry", "maps": 10, "injected": 24}
    data["encoder"] = {"arch": "geometry", "file": "encoder.safetensors", "stages": [1, 2]}
    data["shape"] = {"file": "encoder.safetensors"}
    data["trust"] = {"skin": 0.3, "mouth": 0.5}
    data["crop_size"] = 512
    data["directions"] = {"smile": {"shape": {"expression": {"mouthSmile": 0.9}}, "look": {"age": 0.1}}}
    spec = parse_spec(json.dumps(data))
    assert spec.generator.settings["maps"] == 10
    assert spec.directions["smile"].shape["expression"]["mouthSmile"] == 0.9
    assert spec.generator.model_dump()["injected"] == 24


def test_an_unreadable_pack_json_is_damage(tmp_path):
    with pytest.raises(PackDamagedError, match=r"pack\.json"):
        read_spec(tmp_path)
