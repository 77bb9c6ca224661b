"""Colour: closed forms, exact round trips, and where a plate's space comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PyOpenColorIO as pyocio
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plates import AP1

from stit_vfx.errors import ColourSpaceError
from stit_vfx.plate.colour import (
    CodeSpace,
    load_config,
    resolve_space,
    shoulder,
    shoulder_decode,
    shoulder_encode,
)
from stit_vfx.plate.colour_torch import decode_torch, encode_torch

# ACES technical bulletin 2014-004: AP1 luminances are the second row of AP1 -> XYZ.
AP1_LUMINANCE = np.array([0.2722287168, 0.6740817658, 0.0536895174])


@pytest.mark.parametrize(("light", "code"), [(0.18, 0.461), (1.0, 0.862), (60.0, 0.998), (0.0, 0.0)])
def test_curve_has_the_published_values(light: float, code: float) -> None:
    assert shoulder_encode(np.array(light)) == pytest.approx(code, abs=5e-4)


def test_curve_is_srgb_below_the_knee() -> None:
    """IEC 61966-2-1: 8-bit codes 10, 118 and 188 are these shares of white."""
    light = np.array([0.0030352698, 0.1811642442, 0.5028864580])
    assert shoulder_encode(light) * 255 == pytest.approx([10, 118, 188], abs=1e-4)


def test_shoulder_joins_with_equal_slope_and_ends_at_64() -> None:
    curve = shoulder()
    assert (curve.knee, curve.a, curve.b) == pytest.approx((0.6038, 0.02775, 0.04704), abs=1e-4)
    assert shoulder_encode(np.array(64.0)) == pytest.approx(1, abs=1e-12)
    step = 1e-7
    below, at, above = shoulder_encode(curve.knee + step * np.array([-1, 0, 1]))
    assert (above - at) / (at - below) == pytest.approx(1, rel=1e-4)


@given(st.floats(-100, 1e4))
def test_code_comes_back_as_the_same_light(light: float) -> None:
    back = float(shoulder_decode(shoulder_encode(np.array(light))))
    assert back == pytest.approx(light, rel=1e-11, abs=1e-14)


def test_every_finite_half_float_survives_encode_and_decode() -> None:
    halves = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    back = shoulder_decode(shoulder_encode(halves)).astype(np.float16)
    assert np.array_equal(back, halves)


@given(st.lists(st.floats(0, 64, width=32), min_size=3, max_size=3))
def test_plate_light_comes_back_through_the_code_space(pixel: list[float]) -> None:
    code = _acescg()
    light = np.array([[pixel]], np.float32)
    back = code.decode(code.encode(light))
    # Code is float32, and the shoulder has 52 stops to the unit.
    assert back == pytest.approx(light, rel=2e-5, abs=2e-5 * max(*pixel, 1e-3))


def _acescg() -> CodeSpace:
    if not hasattr(_acescg, "code"):
        config = load_config()
        _acescg.code = CodeSpace.of(resolve_space({}, "", override="acescg", config=config))  # type: ignore[attr-defined]
    return _acescg.code  # type: ignore[attr-defined,no-any-return]


def test_neutral_in_acescg_is_neutral_in_code(acescg: CodeSpace) -> None:
    light = np.full((1, 1, 3), 0.18, np.float32)
    assert acescg.encode(light)[0, 0] == pytest.approx(0.4613561, abs=1e-6)


def test_white_point_and_luminance_of_the_matrix_are_those_of_ap1(acescg: CodeSpace) -> None:
    """Rec.709 luminance of AP1's primaries, seen through the matrix, is AP1's own."""
    matrix = acescg._to.matrix
    assert matrix is not None
    assert matrix.sum(axis=1) == pytest.approx(1, abs=1e-5)
    # Chromatic adaptation D60 -> D65 moves luminances by under 1 %.
    assert np.array([0.2126, 0.7152, 0.0722]) @ matrix == pytest.approx(AP1_LUMINANCE, abs=0.006)


def test_matrix_agrees_with_ocio_in_float32(ocio: Any, acescg: CodeSpace) -> None:
    light = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32) * 4
    theirs = light.reshape(-1, 3).copy()
    ocio.getProcessor("ACEScg", "lin_rec709").getDefaultCPUProcessor().applyRGB(theirs)
    assert shoulder_decode(acescg.encode(light)).reshape(-1, 3) == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def test_spaces_that_are_not_matrices_go_through_ocio(ocio: Any) -> None:
    code = CodeSpace.of(resolve_space({}, "", override="ARRI LogC3 (EI800)", config=ocio))
    # ARRI: 18 % grey is code 0.391 in LogC3 at EI 800.
    grey = np.full((1, 1, 3), 0.391, np.float32)
    assert code.encode(grey)[0, 0] == pytest.approx(0.4613561, abs=1e-3)
    assert code.decode(code.encode(grey)) == pytest.approx(grey, abs=1e-4)


def test_tensors_have_the_same_curve() -> None:
    light = np.concatenate([-np.geomspace(1e-4, 1, 50), np.geomspace(1e-5, 64, 2000), [0, 0.0031308]])
    code = shoulder_encode(light)
    tensor = encode_torch(torch.from_numpy(light.astype(np.float32)))
    assert np.abs(tensor.numpy() - code).max() < 1e-6
    back = decode_torch(torch.from_numpy(light)[:0]).numel()
    assert back == 0
    assert decode_torch(torch.from_numpy(code)).numpy() == pytest.approx(light, rel=1e-6, abs=1e-6)


def test_tensors_have_a_gradient_everywhere() -> None:
    light = torch.tensor([-1.0, 0.0, 0.0031308, 0.2, 0.6038, 1.0, 64.0, 1e4], requires_grad=True)
    encode_torch(light).sum().backward()
    assert light.grad is not None
    assert torch.isfinite(light.grad).all()
    assert (light.grad > 0).all()
    code = torch.tensor([-1.0, 0.0, 0.5, 0.8, 1.0], requires_grad=True)
    decode_torch(code).sum().backward()
    assert code.grad is not None
    assert (code.grad > 0).all()


def test_display_picture_is_the_code_in_8_bits(acescg: CodeSpace) -> None:
    light = np.geomspace(1e-4, 200, 3000).astype(np.float32).reshape(-1, 10, 3)
    exact = np.rint(np.clip(acescg.encode(light), 0, 1) * 255)
    assert np.abs(acescg.to_display8(light) - exact).max() <= 1
    odd = np.array([[[np.nan, 0.2, 0.2], [np.inf, np.inf, np.inf], [-5, -5, -5]]], np.float32)
    seen = acescg.to_display8(odd)
    assert seen.dtype == np.uint8
    assert seen[0, 1].tolist() == [0, 0, 0]
    assert seen[0, 2].tolist() == [0, 0, 0]


# where the space comes from ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "override", "space", "guessed"),
    [
        ({}, None, "ACEScg", True),
        ({}, "lin_rec709", "Linear Rec.709 (sRGB)", False),
        ({}, "scene_linear", "ACEScg", False),
        ({"chromaticities": AP1}, None, "ACEScg", False),
        ({"chromaticities": AP1}, "aces2065_1", "ACES2065-1", False),
        (
            {"chromaticities": (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)},
            None,
            "Linear Rec.709 (sRGB)",
            False,
        ),
        ({"colorInteropID": "lin_rec2020_scene", "chromaticities": AP1}, None, "Linear Rec.2020", False),
        ({"colorInteropID": "unknown", "chromaticities": AP1}, None, "ACEScg", False),
        ({"colorInteropID": "data"}, None, "ACEScg", True),
        ({"chromaticities": (0.73, 0.28, 0.14, 0.85, 0.1, -0.05, 0.31, 0.33)}, None, "ACEScg", True),
    ],
)
def test_space_is_what_the_user_says_then_the_header_then_a_guess(
    ocio: Any, header: dict[str, Any], override: str | None, space: str, guessed: bool
) -> None:
    found = resolve_space(header, "plate.1001.exr", override=override, config=ocio)
    assert (found.space, found.guessed) == (space, guessed)


def test_builtin_rule_that_every_exr_is_aces2065_is_not_followed(ocio: Any) -> None:
    assert ocio.getColorSpaceFromFilepath("plate.exr")[0] == "ACES2065-1"
    assert resolve_space({}, "plate.exr", config=ocio).space == "ACEScg"


def test_file_rule_of_the_users_config_is_followed() -> None:
    config = load_config()
    config = pyocio.Config.CreateFromStream(config.serialize())
    rules = config.getFileRules()
    rules.insertRule(0, "alexa", "Linear ARRI Wide Gamut 3", "*alexa*", "exr")
    config.setFileRules(rules)
    found = resolve_space({}, "sh010_alexa.1001.exr", config=config)
    assert (found.space, found.guessed, found.why) == ("Linear ARRI Wide Gamut 3", False, "file rule alexa")
    assert resolve_space({}, "sh010.1001.exr", config=config).guessed


def test_unknown_space_is_an_error_with_a_guess(ocio: Any) -> None:
    with pytest.raises(ColourSpaceError, match=r"'ACEScgg'.*Did you mean 'ACEScg'"):
        resolve_space({}, "a.exr", override="ACEScgg", config=ocio)


def test_data_is_not_a_plates_space(ocio: Any) -> None:
    with pytest.raises(ColourSpaceError, match="data"):
        CodeSpace.of(resolve_space({}, "a.exr", override="Raw", config=ocio))


def test_config_is_the_argument_then_the_environment_then_the_pinned_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "show.ocio"
    config = pyocio.Config.CreateFromStream(load_config().serialize())
    config.setName("the-show")
    own.write_text(config.serialize())
    assert load_config().getName() == "studio-config-v4.0.0_aces-v2.0_ocio-v2.5"
    monkeypatch.setenv("OCIO", "")
    assert load_config().getName() == "studio-config-v4.0.0_aces-v2.0_ocio-v2.5"
    monkeypatch.setenv("OCIO", str(own))
    assert load_config().getName() == "the-show"
    assert load_config("ocio://cg-config-v2.1.0_aces-v1.3_ocio-v2.3").getName().startswith("cg-config-v2.1.0")


@pytest.mark.parametrize("name", ["ocio://nope", "/nowhere/config.ocio", "cg-config-latest"])
def test_config_that_cannot_be_loaded_is_an_error(name: str) -> None:
    with pytest.raises(ColourSpaceError, match="STIT-E105"):
        load_config(name)


def test_config_that_does_nothing_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw.ocio"
    raw.write_text(pyocio.Config.CreateRaw().serialize())
    with pytest.raises(ColourSpaceError, match="scene_linear"):
        load_config(str(raw))


def test_config_without_our_aliases_is_met_through_interchange(tmp_path: Path, ocio: Any) -> None:
    config = pyocio.Config()
    config.setVersion(2, 1)
    aces = pyocio.ColorSpace(name="studio aces")
    to_aces = pyocio.MatrixTransform([2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1])
    plate = pyocio.ColorSpace(name="half light")
    plate.setTransform(to_aces, pyocio.COLORSPACE_DIR_TO_REFERENCE)
    for space in (aces, plate):
        config.addColorSpace(space)
    for role in ("aces_interchange", "scene_linear", "default"):
        config.setRole(role, "studio aces")
    config.addDisplayView("monitor", "plain", "studio aces")
    path = tmp_path / "show.ocio"
    path.write_text(config.serialize())
    loaded = load_config(str(path))
    code = CodeSpace.of(resolve_space({}, "a.exr", override="half light", config=loaded))
    assert code.encode(np.full((1, 1, 3), 0.09, np.float32))[0, 0] == pytest.approx(0.4613561, abs=1e-5)
    assert code.decode(np.full((1, 1, 3), 0.4613561, np.float32))[0, 0] == pytest.approx(0.09, abs=1e-6)
