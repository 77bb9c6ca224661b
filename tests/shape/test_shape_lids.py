import itertools

import numpy as np
import pytest

from stit_vfx.shape.lid_columns import POINTS
from stit_vfx.shape.lid_skin import bare_skin, lash_light, lid_at_border, lid_skin, unfolded_skin
from stit_vfx.shape.lids import Lids, lids

SIZE, PX_PER_CM = 160, 20.0
TOP, BOTTOM = 70.0, 86.0  # rows of the open eye's rims
SHADOW = slice(40, 66)  # rows of a deep socket, black with hair and shadow
SKIN = np.array([0.40, 0.24, 0.18])


def curves(upper: float = TOP, raised: float = 0.0) -> np.ndarray:
    """Both eyes, in px: an arched upper lash line, and the lower one, brow and cheek level."""
    eyes = []
    arch = np.clip(1 - np.abs(np.linspace(-1.8, 1.8, POINTS)) ** 2.6, 0, None)
    for left, right in ((5, 75), (85, 155)):
        x = np.linspace(left, right, POINTS)
        for y in (BOTTOM - (BOTTOM - upper) * arch, BOTTOM, 40.0 - raised, 120.0):
            eyes.append(np.stack([x, np.broadcast_to(y, POINTS)], 1))
    return np.concatenate(eyes)


def lids_of(after: np.ndarray, eye: np.ndarray | None = None) -> Lids:
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    return lids(still, still, curves(), after, px_per_cm=PX_PER_CM, eye=eye)


@pytest.fixture
def plate() -> np.ndarray:
    """(SIZE, SIZE, 3) linear: grainy skin, a black socket, and eyes in green, which no skin is."""
    rng = np.random.default_rng(3)
    picture = SKIN * np.exp(0.03 * rng.standard_normal((SIZE, SIZE, 1)))
    picture[SHADOW] = 0.008
    y, x = np.mgrid[:SIZE, :SIZE]
    rise = np.clip(1 - np.abs((x % 80 - 40) / 19.4) ** 2.6, 0, None) * (BOTTOM - TOP)
    picture[(y < BOTTOM) & (y > BOTTOM - rise)] = (0.02, 0.6, 0.02)
    return picture.astype(np.float32)


def skin_of(closed: Lids, plate: np.ndarray) -> np.ndarray:
    shown = np.ones((SIZE, SIZE), np.float32)
    likely = (np.abs(plate[..., 0] - SKIN[0]) < 0.1).astype(np.float32)
    return lid_skin(closed, plate, bare_skin(plate, likely, shown), px_per_cm=PX_PER_CM)


def test_a_closed_lid_reaches_from_the_fold_to_the_lower_rim() -> None:
    closed = lids_of(curves(BOTTOM - 1))
    for column in (40, 120):
        covered = np.flatnonzero(closed.cover[:, column] > 0.95)
        assert covered.min() <= TOP + 2
        assert BOTTOM - 1 <= covered.max() <= BOTTOM + 0.25 * PX_PER_CM
        assert (np.diff(covered) == 1).all()


def test_a_closed_lid_is_skin_with_nothing_of_the_eye_in_it(plate: np.ndarray) -> None:
    closed = lids_of(curves(BOTTOM - 1))
    lid = skin_of(closed, plate)[(closed.cover > 0.95) & (closed.down > 0.6)]
    assert (lid[:, 0] > lid[:, 1]).all()
    assert np.abs(np.log(np.median(lid, 0) / SKIN)).max() < 0.55


def test_a_closed_lid_joins_the_light_on_both_sides_of_the_eye(plate: np.ndarray) -> None:
    """Skin that grows four times brighter from the left of an eye to its right."""
    slope = np.exp(np.log(4) * (np.arange(SIZE) % 80 - 40) / 80)[None, :, None]
    skin = (plate[..., 0] > 0.2)[..., None]
    lit = np.where(skin, plate * slope, plate).astype(np.float32)
    lit[SHADOW] = (SKIN * slope)[0]
    closed = lids_of(curves(BOTTOM - 1))
    shown = np.ones((SIZE, SIZE), np.float32)
    bare = bare_skin(lit, (lit[..., 0] > lit[..., 1]).astype(np.float32), shown)
    lid = lid_skin(closed, lit, bare, px_per_cm=PX_PER_CM)[76:82].mean((0, 2))
    assert np.log(lid[52] / lid[28]) == pytest.approx(np.log(4) * 24 / 80, abs=0.12)


def test_a_closed_lid_leaves_nothing_of_the_lashes_towards_the_corners() -> None:
    """Lashes rise above the landmarks' line beside the middle: 3 px at a third of the way to a corner."""
    closed = lids_of(curves(BOTTOM + 2))
    for column in (26, 54):  # 14 of 19.4 px from the middle
        line = BOTTOM - (BOTTOM - TOP) * (1 - (14 / 19.4) ** 2.6)
        assert closed.cover[round(line) - 4 : int(BOTTOM), column].min() > 0.9


def test_under_a_brow_that_hangs_over_the_eye_a_lid_is_dark_at_its_fold_and_covers_no_hair(
    plate: np.ndarray,
) -> None:
    luma = np.log(plate @ [0.27, 0.67, 0.06])
    y, x = np.mgrid[:SIZE, :SIZE]
    rise = np.clip(1 - np.abs((x % 80 - 40) / 19.4) ** 2.6, 0, None) * (BOTTOM - TOP)
    luma[(y > SHADOW.start) & (y <= BOTTOM - rise)] = luma.max() - 3.0
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    hung = lids(still, still, curves(), curves(BOTTOM), px_per_cm=PX_PER_CM, luma=luma)
    free = lids_of(curves(BOTTOM))
    assert hung.hung[75, 40] > 0.9 > 0.1 > free.hung.max()
    assert hung.cover[: int(TOP) - 4, 40].max() < 0.2 < free.cover[: int(TOP) - 4, 40].max()
    dark, light = (np.log(skin_of(c, plate)[72:82, 40, 1]) for c in (hung, free))
    assert dark[0] < light[0] - 0.4
    assert dark[-1] == pytest.approx(light[-1], abs=0.25)


def test_a_closed_lid_has_the_grain_of_the_skin_around(plate: np.ndarray) -> None:
    closed = lids_of(curves(BOTTOM - 1))
    lid = np.log(skin_of(closed, plate)[74:82, 25:55, 1])
    around = np.log(plate[100:108, 25:55, 1])
    noise = [np.diff(a, axis=1).std() for a in (lid, around)]
    assert noise[0] == pytest.approx(noise[1], rel=0.35)


def test_the_brow_above_a_closing_eye_stays_where_it_is() -> None:
    flow = lids_of(curves(BOTTOM - 1)).flow
    assert np.abs(flow[40:60]).max() < 0.1 * PX_PER_CM


def test_a_lid_closes_ever_further_and_never_jumps(plate: np.ndarray) -> None:
    pictures = []
    for upper in np.linspace(TOP, BOTTOM, 33):
        closing = lids_of(curves(upper))
        share = closing.cover[..., None]
        pictures.append(plate + share * (skin_of(closing, plate) - plate))
    covered = [float(np.abs(p - plate).mean()) for p in pictures]
    steps = [float(np.abs(b - a).mean()) for a, b in itertools.pairwise(pictures)]
    assert covered[0] == 0
    assert (np.diff(covered) > -1e-4).all()
    assert max(steps) < 0.15 * covered[-1]


def test_a_rim_lies_where_the_plate_shows_it_not_where_landmarks_say() -> None:
    eye = np.zeros((SIZE, SIZE), np.float32)
    eye[int(TOP) - 5 : int(BOTTOM) + 5] = 1.0
    seen, told = (lids_of(curves(BOTTOM + 2), e).cover[:, 40] > 0.5 for e in (eye, None))
    # 5 px further out; but above, landmarks are believed to be wrong by 0.12 cm at most.
    assert np.flatnonzero(seen).min() == pytest.approx(np.flatnonzero(told).min() - 0.12 * PX_PER_CM, abs=1)
    assert np.flatnonzero(seen).max() == pytest.approx(np.flatnonzero(told).max() + 5, abs=2)


def test_a_lid_closes_out_to_the_corner_that_the_plate_shows() -> None:
    """Landmarks end the eye at columns 21 and 59; the plate shows it up to 66."""
    eye = np.zeros((SIZE, SIZE), np.float32)
    eye[int(TOP) : int(BOTTOM), 21:66] = 1.0
    seen, told = (lids_of(curves(BOTTOM + 2), e) for e in (eye, None))
    for closed, end in ((seen, 66), (told, 59)):
        lashes = lash_light(closed, px_per_cm=PX_PER_CM, soft_px=0.5)[:, :80].min(0)
        assert np.flatnonzero(lashes < -0.3).max() == pytest.approx(end, abs=3)
        assert np.flatnonzero(lashes < -0.3).min() == pytest.approx(21, abs=3)


def test_an_eye_that_becomes_smaller_is_not_taken_for_one_that_closes() -> None:
    eyes = curves().reshape(2, 4, POINTS, 2)
    smaller = eyes.copy()
    middle = np.array([[40.0, BOTTOM], [120.0, BOTTOM]])[:, None, None]
    smaller[:, :2] = middle + 0.7 * (eyes[:, :2] - middle)
    closing = eyes.copy()
    closing[:, :2, :, 1] = BOTTOM + 0.7 * (eyes[:, :2, :, 1] - BOTTOM)
    small, closed = (lids_of(after.reshape(-1, 2)) for after in (smaller, closing))
    assert small.shut.max() < 0.05
    assert not small.cover.any()
    assert closed.shut.max() > 0.2
    assert closed.cover.max() > 0.3


def test_a_closed_rim_hangs_in_one_bow_between_the_corners() -> None:
    """Even where the lower lid is level, and where landmarks have a kink in it."""
    kinked = curves(BOTTOM + 2).reshape(2, 4, POINTS, 2)
    kinked[:, 1, POINTS // 2 - 4 : POINTS // 2 + 4, 1] -= 2.5
    for after in (curves(BOTTOM + 2), kinked.reshape(-1, 2)):
        rim = np.argmin(np.abs(lids_of(after).rim_cm), axis=0)[24:57]
        assert 1 <= rim.max() - rim[0] <= 0.3 * PX_PER_CM
        lowest = rim.argmax()
        assert (np.diff(rim[: lowest + 1]) >= 0).all()
        assert (np.diff(rim[lowest:]) <= 0).all()


def test_half_the_strength_leaves_about_half_an_eye() -> None:
    blink = curves(BOTTOM)
    half, most = (lids_of(curves() + share * (blink - curves())).shut[78, 40] for share in (0.4, 0.8))
    assert 0.35 < half < 0.6
    assert most > 0.9


def test_new_skin_ends_below_the_brow() -> None:
    luma = np.zeros((SIZE, SIZE))
    luma[40:58] = -2.0
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    closed = lids(still, still, curves(), curves(BOTTOM), px_per_cm=PX_PER_CM, luma=luma)
    bare = lids_of(curves(BOTTOM))
    assert closed.cover[58:66, 40].max() > 0.5
    assert closed.cover[:56, 40].max() < 0.1 < bare.cover[:61, 40].max()


def test_lashes_are_a_thin_dark_line_along_the_rim() -> None:
    closed = lids_of(curves(BOTTOM - 1))
    light = lash_light(closed, px_per_cm=PX_PER_CM, soft_px=0.5)[:, 40]
    assert light.max() <= 0
    assert light.min() < -1.0
    assert np.ptp(np.flatnonzero(light < -0.8)) <= 0.2 * PX_PER_CM


def test_the_line_of_lashes_is_finer_at_the_inner_corner_than_at_the_outer_one() -> None:
    closed = lids_of(curves(BOTTOM - 1))
    dark = -lash_light(closed, px_per_cm=PX_PER_CM, soft_px=0.5).sum(0)
    for middle, outwards in ((40, -1), (120, 1)):
        inner, centre, outer = (dark[middle + outwards * px] for px in (-16, 0, 16))
        assert inner < 0.8 * outer < outer < centre
        assert dark[middle + outwards * 26] < 0.1 * centre  # and it ends softly


def test_a_lid_is_as_dark_at_its_border_as_what_it_meets_there(plate: np.ndarray) -> None:
    """Around the eye lies shade, e times darker than the lid; the lid's middle keeps its light."""
    closed = lids_of(curves(BOTTOM - 1))
    lid = np.full_like(plate, 0.4)
    lacks = lid_at_border(closed, lid, lid / np.e, PX_PER_CM)[..., 1]
    rows = np.flatnonzero(closed.cover[:, 40] > 0.05)
    assert lacks[rows[0], 40] == pytest.approx(-1, abs=0.25)
    assert lacks[int(BOTTOM) - 3, 40] > -0.25
    assert np.abs(lid_at_border(closed, lid, lid, PX_PER_CM)).max() < 1e-6


def test_an_eye_that_opens_wide_repeats_no_row_of_the_plate() -> None:
    flow = lids_of(curves(TOP - 0.2 * PX_PER_CM)).flow
    rows = np.arange(SIZE) + flow[:, 40, 1]
    eye = rows[int(TOP - 2) : int(BOTTOM) - 1]
    assert np.abs(flow[60:80, 40, 1]).max() > 1.0
    assert np.diff(eye).min() > 0.1


def test_an_eye_that_opens_wide_is_stretched_little_where_its_iris_is() -> None:
    flow = lids_of(curves(TOP - 0.2 * PX_PER_CM)).flow
    rows = (np.arange(SIZE) + flow[:, 40, 1])[int(TOP) : int(BOTTOM)]
    middle = np.interp(np.array([0.35, 0.65]) * (BOTTOM - TOP) + TOP, rows, np.arange(TOP, BOTTOM))
    assert 1 <= np.diff(middle)[0] / (0.3 * (BOTTOM - TOP)) < 1.6
    assert np.diff(rows).min() > 0.3


def test_skin_below_a_brow_that_rises_stretches_evenly() -> None:
    flow = lids_of(curves(raised=6.0)).flow
    rows = (np.arange(SIZE) + flow[:, 40, 1])[34 : int(TOP)]
    assert rows[0] == pytest.approx(40, abs=0.2)
    assert 0.3 < np.diff(rows).min() <= np.diff(rows).max() < 1.5


def test_a_brow_that_rises_is_carried_whole_and_the_skin_below_it_stretches() -> None:
    luma = np.zeros((SIZE, SIZE))
    luma[44:54] = -2.0  # a brow that lies below the curve
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    flow = lids(still, still, curves(), curves(raised=6.0), px_per_cm=PX_PER_CM, luma=luma).flow
    assert np.allclose(flow[36:47, 40, 1], 6.0, atol=0.5)
    assert np.diff(np.arange(SIZE) + flow[:, 40, 1])[48 : int(TOP)].min() > 0.1


def brow_raised(luma: np.ndarray) -> Lids:
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    return lids(still, still, curves(), curves(raised=14.0), px_per_cm=PX_PER_CM, luma=luma)


def test_skin_is_new_where_a_rising_brow_draws_it_out_and_nowhere_else() -> None:
    luma = np.zeros((SIZE, SIZE))
    luma[44:58] = -2.0
    raised = brow_raised(luma)
    drawn = np.diff(np.arange(SIZE) + raised.flow[:, 40, 1])
    assert raised.unfolded[48:60, 40].max() > 0.95
    assert (drawn[raised.unfolded[:-1, 40] > 0.9] < 0.7).all()
    assert not raised.unfolded[:42, 40].any()  # the brow
    assert not raised.unfolded[int(TOP) :, 40].any()  # the eye
    assert not lids_of(curves(BOTTOM - 1)).unfolded.any()


def test_a_brow_that_hangs_over_the_eye_rises_as_thick_as_it_is() -> None:
    """Dark down to the rim: all of it is hair, and skin is new below it alone."""
    luma = np.zeros((SIZE, SIZE))
    y, x = np.mgrid[:SIZE, :SIZE]
    rise = np.clip(1 - np.abs((x % 80 - 40) / 19.4) ** 2.6, 0, None) * (BOTTOM - TOP)
    luma[(y >= 52) & (y <= BOTTOM - rise)] = -2.0
    raised = brow_raised(luma)
    rows = np.arange(SIZE) + raised.flow[:, 40, 1]
    hair = (rows >= 52) & (rows < TOP - 1) & (raised.unfolded[:, 40] < 0.5)
    assert hair.sum() == pytest.approx(TOP - 1 - 52, abs=2)
    assert np.diff(rows[hair]).max() < 1.4
    assert raised.unfolded[np.flatnonzero(hair).max() + 2 : int(TOP) - 2, 40].min() > 0.9


def test_unfolded_skin_has_no_hair_in_it_and_the_colour_of_skin(plate: np.ndarray) -> None:
    plate[SHADOW] = SKIN
    plate[44:58] = np.where(np.arange(SIZE) % 6 < 3, 0.02, 0.3)[
        None, :, None
    ]  # hairs that stripes are made of
    raised = brow_raised(np.log(plate @ [0.27, 0.67, 0.06]))
    likely = (np.abs(plate[..., 0] - SKIN[0]) < 0.1).astype(np.float32)
    shown = np.ones((SIZE, SIZE), np.float32)
    shown[44:58] = 0  # said to be a brow
    new = unfolded_skin(raised, plate, bare_skin(plate, likely, shown), px_per_cm=PX_PER_CM)[
        raised.unfolded > 0.9
    ]
    assert (new.max(0) / new.min(0)).max() < 2.0  # 15 in the hair
    np.testing.assert_allclose(new.mean(0) / new.mean(), SKIN / SKIN.mean(), rtol=0.15)
    assert 0.6 * SKIN.mean() < new.mean() < 1.1 * SKIN.mean()


def test_nothing_moves_where_nothing_changes() -> None:
    still = lids_of(curves())
    assert np.abs(still.flow).max() < 1e-4
    assert not still.cover.any()
    assert not still.unfolded.any()


def test_an_eye_that_is_closed_in_the_plate_gets_no_second_lashes() -> None:
    closed = curves(BOTTOM - 0.05 * PX_PER_CM)
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    for before, most in ((closed, 0.0), (curves(), -1.0)):
        shut = lids(still, still, before, curves(BOTTOM + 6), px_per_cm=PX_PER_CM)
        assert lash_light(shut, px_per_cm=PX_PER_CM, soft_px=0.5).min() <= most
    assert not lids(still, still, closed, curves(BOTTOM + 6), px_per_cm=PX_PER_CM).lashes.any()


def test_a_nose_in_profile_keeps_its_skin_from_the_lids_of_the_eye_behind_it() -> None:
    """The right half of the right eye lies behind the nose; the left eye is hidden by nothing."""
    across = np.broadcast_to(np.linspace(-30, 30, SIZE, dtype=np.float32), (SIZE, SIZE)).copy()
    across[:, 40:80] = 0.0
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    seen = lids(still, still, curves(), curves(BOTTOM - 1), px_per_cm=PX_PER_CM, azimuth_deg=across)
    whole = lids_of(curves(BOTTOM - 1))
    assert not seen.cover[:, 40:80].any()
    assert not seen.flow[:, 40:80].any()
    for kept in (slice(0, 38), slice(104, SIZE)):
        assert np.array_equal(seen.cover[:, kept], whole.cover[:, kept])
    assert seen.cover[int(BOTTOM) - 4, 30] > 0.9


@pytest.mark.parametrize(("narrower", "moves"), [(1.0, True), (0.25, False)])
def test_an_eye_that_a_turn_takes_out_of_sight_is_left_to_the_flow(narrower: float, moves: bool) -> None:
    after = curves(BOTTOM - 1)
    after[:, 0] *= narrower
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    turned = lids(still, still, curves(), after, px_per_cm=PX_PER_CM)
    assert turned.flow.any() == moves
