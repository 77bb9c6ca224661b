"""The invariant: nothing outside the matte changes, and a change of nothing changes nothing."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plates import bits, frame_of, nasty_half, plain_channels

from stit_vfx.plate.colour import CodeSpace, load_config, resolve_space, shoulder_encode
from stit_vfx.plate.composite import MATTE_FLOOR, Change, Composite, composite, sample_within
from stit_vfx.plate.exr import Frame, Part
from stit_vfx.plate.warp import apply_matrix, crop, crop_matrix, grid

MODES = ("detail", "delta", "replace")
HEIGHT, WIDTH, SIZE = 72, 96, 48


@pytest.fixture(scope="module")
def linear() -> CodeSpace:
    """Code space of plates in linear Rec.709, so that numbers need no matrix."""
    return CodeSpace.of(resolve_space({}, "", override="lin_rec709", config=load_config()))


def quad_at(x: float, y: float, side: float, roll: float = 0.0) -> np.ndarray:
    c, s = np.cos(roll) * side / 2, np.sin(roll) * side / 2
    right, down = np.array([c, s]), np.array([-s, c])
    return np.array([x, y]) + np.array([-right - down, -right + down, right + down, right - down])


def disc(radius: float = 0.3, size: int = SIZE) -> np.ndarray:
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size - 0.5
    return np.clip((radius - np.hypot(x, y)) * 12, 0, 1).astype(np.float32)


def change(mode: Any, quad: np.ndarray, **fields: Any) -> Change:
    same = np.full((SIZE, SIZE, 3), 0.4, np.float32)
    whole = {"edit": same, "recon": same, "flow": None, "residual": None, "matte": disc()} | fields
    return Change(mode, quad, **whole)


def grainy(*, seed: int = 0, dtype: Any = np.float16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = 0.2 + 0.1 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] * np.ones(3)
    return (smooth + rng.normal(0, 0.01, (HEIGHT, WIDTH, 3))).astype(dtype)


def nasty_frame(*, seed: int = 0) -> Frame:
    """Every channel type, with every kind of value, in RGB too."""
    header = {
        "dataWindow": ((0, 0), (WIDTH - 1, HEIGHT - 1)),
        "displayWindow": ((0, 0), (WIDTH - 1, HEIGHT - 1)),
    }
    return Frame(None, 1, (Part("", header, plain_channels(HEIGHT, WIDTH, seed=seed)),))


def assert_plate_is_safe(before: Frame, result: Composite) -> None:
    """Outside the matte every channel has the same bits, and all but RGB do everywhere."""
    outside = result.matte == 0
    names = before.rgb_names
    for name, pixels in before.channels.items():
        differs = bits(result.frame.channels[name]) != bits(pixels)
        assert not (differs[outside] if name in names else differs).any(), name


# the invariant --------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(MODES),
    st.integers(0, 2**31),
    st.tuples(st.floats(-40, 140), st.floats(-40, 110), st.floats(6, 150), st.floats(-3, 3)),
    st.tuples(st.integers(-3, 5), st.floats(0, 9)),
    st.booleans(),
)
def test_whatever_the_change_pixels_outside_the_matte_keep_their_bits(
    mode: str, seed: int, place: tuple[float, ...], matte: tuple[int, float], moving: bool
) -> None:
    rng = np.random.default_rng(seed)
    code = CodeSpace.of(resolve_space({}, "", override="acescg", config=_config()))
    frame = nasty_frame(seed=seed)
    fields = {
        "edit": rng.normal(0.5, 0.6, (SIZE, SIZE, 3)).astype(np.float32),
        "recon": rng.normal(0.5, 0.3, (SIZE, SIZE, 3)).astype(np.float32),
        "matte": np.clip(rng.normal(0.3, 0.5, (SIZE, SIZE)), 0, 1).astype(np.float32),
        "flow": rng.normal(0, 9, (SIZE, SIZE, 2)).astype(np.float32) if moving else None,
        "residual": rng.random((SIZE, SIZE)).astype(np.float32) if moving else None,
    }
    for name in ("edit", "recon", "flow"):
        if fields[name] is not None and seed % 3 == 0:
            # Networks do give these; the plate must not pay for it.
            fields[name][rng.random((SIZE, SIZE)) < 0.02] = rng.choice([np.nan, np.inf, -np.inf])
    holdout = rng.normal(0.2, 0.5, (HEIGHT, WIDTH)).astype(np.float32)
    holdout[::7, ::5] = np.nan
    result = composite(
        frame, change(mode, quad_at(*place), **fields), code, holdout=holdout, grow=matte[0], soften=matte[1]
    )
    assert_plate_is_safe(frame, result)
    assert 0 <= result.matte.min() <= result.matte.max() <= 1
    assert not ((result.matte > 0) & (result.matte < MATTE_FLOOR)).any()
    assert np.isfinite(result.edit_lin).all()
    finite = np.isfinite(frame.rgb()).all(-1)
    assert np.isfinite(result.frame.rgb()[finite]).all()
    assert not result.matte[~finite].any()


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["detail", "delta"]),
    st.integers(0, 2**31),
    st.tuples(st.floats(-40, 140), st.floats(-40, 110), st.floats(6, 150), st.floats(-3, 3)),
    st.sampled_from([None, "zero flow", "whole residual"]),
)
def test_change_of_nothing_keeps_every_bit_everywhere(
    mode: str, seed: int, place: tuple[float, ...], given_as: str | None
) -> None:
    rng = np.random.default_rng(seed)
    code = CodeSpace.of(resolve_space({}, "", override="acescg", config=_config()))
    frame = nasty_frame(seed=seed)
    face = rng.normal(0.5, 0.4, (SIZE, SIZE, 3)).astype(np.float32)
    nothing = change(
        mode,
        quad_at(*place),
        edit=face,
        recon=face.copy(),
        matte=np.ones((SIZE, SIZE), np.float32),
        flow=np.zeros((SIZE, SIZE, 2), np.float32) if given_as == "zero flow" else None,
        residual=np.ones((SIZE, SIZE), np.float32) if given_as == "whole residual" else None,
    )
    result = composite(frame, nothing, code)
    for name, pixels in frame.channels.items():
        assert (bits(result.frame.channels[name]) == bits(pixels)).all(), name
    assert result.changed_px == 0


def _config(known: list[Any] = []) -> Any:  # noqa: B006  the config, once for all examples
    if not known:
        known.append(load_config())
    return known[0]


@pytest.mark.parametrize("mode", MODES)
def test_bits_stay_in_a_file_too(nasty: dict[str, Any], tmp_path: Any, acescg: CodeSpace, mode: str) -> None:
    from stit_vfx.plate.exr import read_exr, write_exr

    for kind in ("rich", "overscan", "multipart", "tiled"):
        frame = read_exr(nasty[kind])
        strong = change(mode, quad_at(25, 20, 30), edit=np.full((SIZE, SIZE, 3), 0.7, np.float32))
        result = composite(frame, strong, acescg)
        assert result.changed_px > 50
        write_exr(tmp_path / f"{kind}.exr", result.frame)
        after = read_exr(tmp_path / f"{kind}.exr")
        part, names = frame.rgb_place
        for number, each in enumerate(frame.parts):
            for name, pixels in each.channels.items():
                differs = bits(after.parts[number].channels[name]) != bits(pixels)
                edited = number == part and name in names
                assert not (differs[result.matte == 0] if edited else differs).any()


def test_face_that_is_away_leaves_the_plate(linear: CodeSpace) -> None:
    frame = frame_of(grainy())
    for there in (None, change("replace", quad_at(-300, 20, 50))):
        result = composite(frame, there, linear)
        assert result.frame is frame or (bits(result.frame.channels["R"]) == bits(frame.channels["R"])).all()
        assert (result.matte_px, result.changed_px) == (0, 0)


# what the modes do ----------------------------------------------------------------------------------


def test_delta_moves_code_by_the_difference(linear: CodeSpace) -> None:
    """A plate of 0.2 and a difference of 0.1: the closed form of the curve."""
    frame = frame_of(np.full((HEIGHT, WIDTH, 3), 0.2, np.float32))
    edit = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    result = composite(frame, change("delta", quad_at(48, 36, 60), edit=edit), linear)
    expected = ((1.055 * 0.2 ** (1 / 2.4) - 0.055 + 0.1 + 0.055) / 1.055) ** 2.4
    assert result.frame.rgb()[36, 48] == pytest.approx(expected, rel=1e-5)


def test_replace_puts_the_edit_itself(linear: CodeSpace) -> None:
    frame = frame_of(grainy())
    edit = np.full((SIZE, SIZE, 3), shoulder_encode(np.array(0.5)), np.float32)
    result = composite(frame, change("replace", quad_at(48, 36, 60), edit=edit), linear)
    assert result.frame.rgb()[36, 48] == pytest.approx(0.5, rel=1e-3)


def test_detail_without_movement_is_the_delta(linear: CodeSpace) -> None:
    frame = frame_of(grainy(dtype=np.float32))
    edit = np.random.default_rng(0).normal(0.5, 0.1, (SIZE, SIZE, 3)).astype(np.float32)
    quad = quad_at(48, 36, 60, 0.1)
    one, other = (composite(frame, change(mode, quad, edit=edit), linear) for mode in ("detail", "delta"))
    assert one.frame.rgb() == pytest.approx(other.frame.rgb(), abs=1e-6)


@pytest.mark.parametrize("place", [(48, 36, 48, 0.0), (48.3, 35.6, 60, 0.35), (50, 36, 30, -0.5)])
def test_detail_takes_the_plates_pixels_from_where_the_flow_points(
    linear: CodeSpace, place: tuple[float, ...]
) -> None:
    """A smooth plate is its own reconstruction: moving it by a flow shows the picture from there."""

    def light(points: np.ndarray) -> np.ndarray:
        x, y = points[..., 0], points[..., 1]
        return 0.3 + 0.1 * np.stack([np.sin(x / 8), np.cos(y / 9), np.sin((x + y) / 12)], -1)

    quad = quad_at(*place)
    flow = np.broadcast_to(np.array([2.5, -1.5], np.float32), (SIZE, SIZE, 2)).copy()
    grey = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    frame = frame_of(light(grid((0, 0, WIDTH, HEIGHT))).astype(np.float32))
    result = composite(frame, change("detail", quad, edit=grey, recon=grey, flow=flow), linear)
    to_crop = crop_matrix(quad, SIZE)
    points = grid((0, 0, WIDTH, HEIGHT))
    source = apply_matrix(np.linalg.inv(to_crop), apply_matrix(to_crop, points) + flow[0, 0])
    inside = result.matte == 1
    assert inside.sum() > 50
    assert np.abs(result.frame.rgb() - light(source))[inside].max() < 2e-3


def test_residual_of_zero_shows_the_edit_alone(linear: CodeSpace) -> None:
    frame = frame_of(grainy(dtype=np.float32))
    edit = np.full((SIZE, SIZE, 3), 0.55, np.float32)
    none = np.zeros((SIZE, SIZE), np.float32)
    quad = quad_at(48, 36, 60)
    hidden = composite(frame, change("detail", quad, edit=edit, residual=none), linear).frame.rgb()
    replaced = composite(frame, change("replace", quad, edit=edit), linear).frame.rgb()
    assert hidden == pytest.approx(replaced, abs=1e-5)


def test_grain_of_the_plate_survives_a_change_of_tone(linear: CodeSpace) -> None:
    grain = grainy(dtype=np.float32)
    edit = np.full((SIZE, SIZE, 3), 0.45, np.float32)
    result = composite(frame_of(grain), change("detail", quad_at(48, 36, 60), edit=edit), linear)
    inside = result.matte == 1
    before, after = (shoulder_encode(picture)[inside] for picture in (grain, result.frame.rgb()))
    assert after - before == pytest.approx(0.05, abs=1e-4)


def test_mix_is_in_light(linear: CodeSpace) -> None:
    frame = frame_of(np.full((HEIGHT, WIDTH, 3), 0.1, np.float32))
    white = np.full((SIZE, SIZE, 3), shoulder_encode(np.array(0.5)), np.float32)
    half = np.full((SIZE, SIZE), 0.5, np.float32)
    result = composite(frame, change("replace", quad_at(48, 36, 60), edit=white, matte=half), linear)
    assert result.frame.rgb()[36, 48] == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_plate_times_one_minus_matte_plus_edit_is_the_composite(linear: CodeSpace, mode: str) -> None:
    frame = frame_of(grainy(dtype=np.float32))
    edit = np.full((SIZE, SIZE, 3), 0.6, np.float32)
    result = composite(frame, change(mode, quad_at(48, 36, 60), edit=edit), linear, soften=6)
    again = frame.rgb() * (1 - result.matte[..., None]) + result.edit_lin
    assert result.frame.rgb() == pytest.approx(again, abs=2e-6)


# what plates do to it -------------------------------------------------------------------------------


def test_hot_pixel_does_not_ring_when_it_moves(linear: CodeSpace) -> None:
    """Light of 30 on 0.02, moved by half a pixel: unclamped cubic sampling would make thousands of it."""
    picture = np.full((HEIGHT, WIDTH, 3), 0.02, np.float32)
    picture[36, 48] = 30
    flow = np.full((SIZE, SIZE, 2), 0.5, np.float32)
    grey = np.full((SIZE, SIZE, 3), 0.3, np.float32)
    moved = change("detail", quad_at(48, 36, SIZE), edit=grey, recon=grey, flow=flow)
    result = composite(frame_of(picture), moved, linear).frame.rgb()
    assert result.min() > 0.0199
    assert result.max() < 30.1


@pytest.mark.parametrize(("brightest", "room"), [(0.8, 0.25), (6.0, 0.0)])
def test_sampling_stays_near_its_neighbours_and_within_them_in_the_shoulder(
    brightest: float, room: float
) -> None:
    rng = np.random.default_rng(0)
    code = rng.random((20, 30, 3)).astype(np.float32) * brightest
    if not room:
        code[::2, ::2] = brightest  # so that every neighbourhood reaches the shoulder
    points = rng.random((40, 40, 2)) * [29, 19]
    seen = sample_within(code, points)
    for (x, y), value in zip(points.reshape(-1, 2)[::17], seen.reshape(-1, 3)[::17], strict=True):
        row, column = int(np.floor(y)), int(np.floor(x))
        near = code[max(row - 1, 0) : row + 3, max(column - 1, 0) : column + 3].reshape(-1, 3)
        slack = room * (near.max(0) - near.min(0)) + 1e-6
        assert (value >= near.min(0) - slack).all()
        assert (value <= near.max(0) + slack).all()


def test_sampling_between_pixels_keeps_fine_grain() -> None:
    """Noise as a lens softens it, moved by any share of a pixel, keeps nine tenths of its energy."""
    rng = np.random.default_rng(1)
    code = 0.4 + 0.05 * cv2.GaussianBlur(rng.standard_normal((96, 96, 3)).astype(np.float32), (0, 0), 0.8)
    y, x = np.mgrid[8:88, 8:88].astype(np.float64)
    still = code[8:88, 8:88]
    for dx, dy in ((0.25, 0.0), (0.5, 0.0), (0.5, 0.5), (0.3, 0.7)):
        moved = sample_within(code, np.stack([x + dx, y + dy], -1))
        assert moved.var() > 0.9 * still.var()
    assert np.array_equal(sample_within(code, np.stack([x, y], -1)), still)


@pytest.mark.parametrize("mode", MODES)
def test_pixels_that_are_not_finite_stay_and_do_not_spread(linear: CodeSpace, mode: str) -> None:
    clean = grainy()
    dirty = clean.copy()
    dirty[36, 48] = [np.nan, 0.2, np.inf]
    edit = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    flow = np.full((SIZE, SIZE, 2), 0.7, np.float32)
    one = change(mode, quad_at(48, 36, 60), edit=edit, flow=flow)
    expected = composite(frame_of(clean), one, linear).frame.rgb()
    result = composite(frame_of(dirty), one, linear)
    assert result.bad_px == 1
    assert result.matte[36, 48] == 0
    assert (bits(result.frame.channels["R"])[36, 48]) == bits(dirty[..., 0])[36, 48]
    others = np.ones((HEIGHT, WIDTH), bool)
    others[36, 48] = False
    assert np.abs(result.frame.rgb() - expected)[others].max() < 0.05


def test_generator_that_runs_wild_is_limited_and_counted(linear: CodeSpace) -> None:
    edit = np.full((SIZE, SIZE, 3), 5.0, np.float32)
    for dtype in (np.float16, np.float32):
        result = composite(
            frame_of(grainy(dtype=dtype)), change("replace", quad_at(48, 36, 60), edit=edit), linear
        )
        assert result.frame.rgb().max() == 65504
        assert result.limited_px > 100


def test_suns_of_a_float_plate_are_not_limited(linear: CodeSpace) -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 0.2, np.float32)
    picture[30:40, 40:50] = 1e6
    edit = np.full((SIZE, SIZE, 3), 0.39, np.float32)
    result = composite(frame_of(picture), change("delta", quad_at(48, 36, 60), edit=edit), linear)
    assert 5e5 < result.frame.rgb()[36, 46].min() < 1e6
    assert result.limited_px == 0


def test_saturated_light_below_zero_survives(acescg: CodeSpace) -> None:
    """An ACEScg laser is far below zero in Rec.709; a small change stays small."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    picture[...] = [0.0, 40.0, 0.0]
    edit = np.full((SIZE, SIZE, 3), 0.401, np.float32)
    result = composite(frame_of(picture), change("delta", quad_at(48, 36, 60), edit=edit), acescg)
    assert result.frame.rgb()[36, 48] == pytest.approx([0, 40, 0], abs=1.6)


# the matte ------------------------------------------------------------------------------------------


def test_hold_out_keeps_the_plate_where_it_is_white(linear: CodeSpace) -> None:
    frame = frame_of(grainy())
    strong = change("replace", quad_at(48, 36, 60), edit=np.full((SIZE, SIZE, 3), 0.6, np.float32))
    holdout = np.zeros((HEIGHT, WIDTH), np.float32)
    holdout[:, :48] = 1
    holdout[:, 60:] = np.nan
    result = composite(frame, strong, linear, holdout=holdout)
    assert not result.matte[:, :48].any()
    assert not result.matte[:, 60:].any()
    assert np.array_equal(result.matte[:, 48:60], composite(frame, strong, linear).matte[:, 48:60])


def test_grow_widens_and_shrinks_by_plate_pixels(linear: CodeSpace) -> None:
    frame = frame_of(grainy())
    hard = (disc(0.25) > 0.5).astype(np.float32)
    one = change("replace", quad_at(48, 36, 60), matte=hard, edit=np.full((SIZE, SIZE, 3), 0.6, np.float32))

    def radius(grow: float) -> float:
        return float(np.sqrt((composite(frame, one, linear, grow=grow).matte > 0.5).sum() / np.pi))

    assert radius(4) - radius(0) == pytest.approx(4, abs=0.6)
    assert radius(0) - radius(-4) == pytest.approx(4, abs=0.6)


def test_softening_falls_off_inside_the_matte(linear: CodeSpace) -> None:
    frame = frame_of(grainy())
    hard = (disc(0.3) > 0.5).astype(np.float32)
    one = change("replace", quad_at(48, 36, 60), matte=hard)
    plain, soft = (composite(frame, one, linear, soften=soften).matte for soften in (0, 6))
    assert not soft[plain == 0].any()
    assert soft[36, 48] == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(soft, axis=1)).max() < 0.35 < np.abs(np.diff(plain, axis=1)).max()


def test_matte_fades_at_the_edge_of_the_crop(linear: CodeSpace) -> None:
    whole = np.ones((SIZE, SIZE), np.float32)
    quad = quad_at(48, 36, 60)
    result = composite(frame_of(grainy()), change("replace", quad, matte=whole), linear)
    assert result.matte[36, 48] == 1
    assert np.abs(np.diff(result.matte, axis=1)).max() < 0.75
    assert result.matte[36, 19] < 0.3


def test_crop_and_composite_meet_at_the_same_place(linear: CodeSpace) -> None:
    """What is cut, changed in one spot and put back changes that spot."""
    frame = frame_of(grainy(dtype=np.float32))
    quad = quad_at(50.3, 34.7, 44, 0.25)
    seen = crop(linear.encode(frame.rgb()), quad, SIZE)
    edit = seen.copy()
    edit[30:33, 12:15] += 0.2
    matte = np.ones((SIZE, SIZE), np.float32)
    result = composite(frame, change("delta", quad, edit=edit, recon=seen, matte=matte), linear)
    difference = np.abs(result.frame.rgb() - frame.rgb()).sum(-1)
    y, x = np.unravel_index(np.argmax(difference), difference.shape)
    spot = apply_matrix(np.linalg.inv(crop_matrix(quad, SIZE)), np.array([13.0, 31.0]))
    assert np.hypot(x - spot[0], y - spot[1]) < 1.2


def test_nasty_half_really_is_nasty() -> None:
    pixels = nasty_half(40, 50)
    assert np.isnan(pixels).any()
    assert np.isinf(pixels).any()
    assert (bits(pixels) == 0x8000).any()
    assert (bits(pixels) == 0x7C01).any()


def test_composite_of_a_small_plate_takes_a_moment(acescg: CodeSpace) -> None:
    """0.07 s on one core of a laptop; the limit is far above, so that a busy machine does not fail it."""
    rng = np.random.default_rng(0)
    frame = frame_of(rng.random((540, 960, 3)).astype(np.float16))
    face = rng.random((512, 512, 3)).astype(np.float32)
    flow = rng.normal(0, 2, (512, 512, 2)).astype(np.float32)
    one = Change("detail", quad_at(480, 270, 300), face, face * 0.9, flow, None, disc(size=512))
    composite(frame, one, acescg)
    before = time.process_time()
    composite(frame, one, acescg, soften=6)
    assert time.process_time() - before < 1.0
