from __future__ import annotations

import cv2
import numpy as np
import pytest

from stit_vfx.packs.layers import Layers
from stit_vfx.shape.guided import to_edges
from stit_vfx.shape.parts import LABELS, Parts
from stit_vfx.shape.zones import Zones

SIZE = 160
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float64)
NOWHERE = np.zeros((SIZE, SIZE), np.float32)
ZONES = Zones(NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE)
STILL = np.zeros((SIZE, SIZE, 2), np.float32)
UP = STILL.copy()
UP[..., 1] = 1  # takes from below: what moves goes up
SKIN, WALL, BAR = np.array([0.62, 0.47, 0.40]), np.array([0.25, 0.35, 0.55]), np.array([0.05, 0.05, 0.06])


def face() -> np.ndarray:
    return np.hypot(X - 80, (Y - 80) / 1.2) < 45


def bar() -> np.ndarray:
    """Something 12 px wide from one side of the face to the other."""
    return np.abs(Y - 80) < 6


def picture(*, with_bar: bool = True) -> np.ndarray:
    """A face with a gradient and grain before a wall with an upright stripe, and a dark bar before both."""
    grain = np.random.default_rng(0).normal(0, 0.008, (SIZE, SIZE, 3))
    wall = np.where(np.abs(X - 128)[..., None] < 4, 1.3 * WALL, WALL)
    crop = np.where(face()[..., None], SKIN * (0.8 + 0.004 * X[..., None] - 0.15), wall)
    if with_bar:
        crop = np.where(bar()[..., None], BAR, crop)
    return cv2.GaussianBlur((crop + grain).astype(np.float32), (0, 0), 0.6)


def parts(*, over: str = "hand", with_bar: bool = True) -> Parts:
    """Labels as a network gives them: right, but soft and never quite sure."""
    labels = np.where(face(), LABELS.index("skin"), LABELS.index("background"))
    if with_bar:
        labels = np.where(bar(), LABELS.index(over), labels)
    hard = Parts.from_labels(labels).shares
    soft = np.stack([cv2.GaussianBlur(share, (0, 0), 1.5) for share in hard])
    return Parts(0.97 * soft + 0.03 / len(LABELS))


def layers(crop: np.ndarray, shown: Parts) -> Layers:
    return Layers.of(crop, to_edges(shown, crop), ZONES)


def put_back(crop: np.ndarray, shown: Parts, flow: np.ndarray, turn: np.ndarray = STILL) -> np.ndarray:
    apart = layers(crop, shown)
    moved, _ = apart.moved(flow)
    return apart.together(crop, moved, turn)


def growing(by: float) -> np.ndarray:
    """Flow that makes everything around the middle larger by a share."""
    return np.stack([X - 80, Y - 80], -1) * (1 / (1 + by) - 1)


@pytest.mark.parametrize("over", ["hand", "glasses", "hair", "cloth"])
def test_where_nothing_moves_every_bit_stays(over: str) -> None:
    crop = picture()
    assert np.array_equal(put_back(crop, parts(over=over), STILL), crop)


@pytest.mark.parametrize("over", ["hand", "hair", "thing", "hat"])
def test_what_is_before_the_face_keeps_its_bits_while_the_face_moves(over: str) -> None:
    crop = picture()
    after = put_back(crop, parts(over=over), 7 * UP)
    inside = np.abs(Y - 80) < 3
    assert np.array_equal(after[inside], crop[inside])
    skin = (np.abs(Y - 80) > 20) & (np.hypot(X - 80, (Y - 80) / 1.2) < 30)
    assert np.abs(after - crop)[skin].mean() > 0.003


def test_an_obstacle_leaves_no_ghost_on_the_skin_that_came_from_under_it() -> None:
    """Skin that moves out from under the bar is skin; a plain warp brings the bar along."""
    crop, flow = picture(), 12 * UP
    after = put_back(crop, parts(), flow)
    came_from_under = (np.abs(Y + 12 - 80) < 5) & (np.abs(X - 80) < 25)
    assert picture(with_bar=False)[came_from_under].mean() > 5 * BAR.mean()
    bare = put_back(picture(with_bar=False), parts(with_bar=False), flow)
    assert np.abs(after - bare)[came_from_under].mean() < 0.02
    warped = cv2.remap(crop, X.astype(np.float32), (Y + 12).astype(np.float32), cv2.INTER_LINEAR)
    assert np.abs(warped - bare)[came_from_under].mean() > 0.3


@pytest.mark.parametrize("by", [-0.08, 0.08])
def test_the_backdrop_stays_while_the_face_beside_it_grows_or_shrinks(by: float) -> None:
    crop = picture(with_bar=False)
    after = put_back(crop, parts(with_bar=False), growing(by))
    reach = np.hypot(X - 80, (Y - 80) / 1.2)
    far = reach > 45 * (1 + max(by, 0)) + 8
    assert np.array_equal(after[far], crop[far])  # its stripe, too
    edge = (reach > 45 * (1 + min(by, 0)) + 1.5) & (reach < 45 * (1 + max(by, 0)) - 1.5)
    expected = SKIN * (0.65 + 0.004 * X[edge][:, None]) if by > 0 else WALL
    assert np.abs(after[edge] - expected).mean() < 0.03
    assert np.abs(crop[edge] - expected).mean() > 0.1


def test_hair_turns_with_the_head_and_a_collar_does_not() -> None:
    crop, turn = picture(), 6 * UP
    with_hair, with_collar = (put_back(crop, parts(over=over), turn, turn) for over in ("hair", "cloth"))
    middle = (np.abs(Y - 80) < 3) & (np.abs(X - 80) < 30)
    up = np.roll(middle, -6, 0)
    assert np.abs(with_hair[up] - BAR).mean() < 0.03
    assert np.abs(with_collar[middle] - crop[middle]).max() == 0
    assert np.abs(with_collar[up & ~bar()] - BAR).mean() > 0.2


def test_a_wall_that_a_head_leaves_behind_keeps_its_pattern_and_its_grain() -> None:
    """What is made up has the contrast of what is around, fine and coarse; a smooth guess has neither."""
    grain = np.random.default_rng(5).normal(0, 0.01, (SIZE, SIZE, 3))
    leaves = cv2.GaussianBlur(np.random.default_rng(6).normal(0, 0.4, (SIZE, SIZE)), (0, 0), 2)[..., None]
    crop = (np.where(face()[..., None], SKIN, WALL + leaves) + grain).astype(np.float32)
    wall = layers(crop, parts(with_bar=False)).backdrop
    reach = np.hypot(X - 80, (Y - 80) / 1.2)
    left = (reach > 36) & (reach < 42) & (np.abs(Y - 80) < 15)
    around = (reach > 52) & (reach < 58) & (np.abs(Y - 80) < 15)
    assert np.abs(wall[left].mean(0) - WALL).max() < 0.04
    for scale in (0.6, 6.0):
        fine, real = (p - cv2.GaussianBlur(p.astype(np.float32), (0, 0), scale) for p in (wall, crop))
        assert 0.6 * real[around].std() < fine[left].std() < 1.5 * real[around].std()


def test_skin_at_the_hairs_edge_is_stretched_and_not_made_up() -> None:
    """Hair above half-height; the face draws down from it. What a plain flow takes from under the hair is of
    no colour of this face's edge; what is held is.
    """
    hair = face() & (Y < 70)
    crop = np.where(hair[..., None], BAR, picture(with_bar=False)).astype(np.float32)
    crop[(Y >= 70) & (Y < 80) & face()] = (0.4, 0.2, 0.2)  # a flush beside the hair
    labels = np.where(hair, LABELS.index("hair"), np.where(face(), LABELS.index("skin"), 0))
    apart = layers(crop, Parts.from_labels(labels))
    down = -6 * UP
    held = apart.held(down)
    beside = (Y > 76) & (Y < 80) & (np.abs(X - 80) < 20)
    moved, _ = apart.moved(held)
    assert np.abs(moved[beside] - (0.4, 0.2, 0.2)).max() < 0.03
    assert not held[(Y == 60) & (np.abs(X - 80) < 20)].any()
    free = (Y > 95) & face()
    assert np.array_equal(held[free], down[free])


def test_a_jaw_goes_over_a_collar_and_under_a_hand() -> None:
    crop, firm = picture(), face().astype(np.float32)
    for over, covers in (("cloth", True), ("hand", False)):
        apart = layers(crop, parts(over=over))
        jaw = apart.jaw(16 * UP, firm)
        middle = (np.abs(Y - 80) < 3) & (np.abs(X - 80) < 20)
        assert (jaw[middle].min() > 0.9) == covers
        moved, _ = apart.moved(16 * UP)
        after = apart.together(crop, moved, STILL, jaw)
        step = np.abs(after - crop)[middle]
        assert step.min() > 0.2 if covers else step.max() < 0.01
        assert not apart.jaw(STILL, firm).any()


def shouldered(read_as: str) -> tuple[np.ndarray, Parts]:
    """The face before a wall and, from half-way down, before dark clothes."""
    cloth = ~face() & (Y > 110)
    crop = np.where(cloth[..., None], BAR, picture(with_bar=False)).astype(np.float32)
    labels = np.where(face(), LABELS.index("skin"), np.where(cloth, LABELS.index(read_as), 0))
    soft = np.stack([cv2.GaussianBlur(share, (0, 0), 1.5) for share in Parts.from_labels(labels).shares])
    return crop, Parts(0.97 * soft + 0.03 / len(LABELS))


@pytest.mark.parametrize("read_as", ["cloth", "background"])
def test_clothes_beside_a_head_go_on_behind_it(read_as: str) -> None:
    """What a face leaves is clothes beside clothes, and wall beside wall."""
    behind = layers(*shouldered(read_as)).backdrop
    reach = np.hypot(X - 80, (Y - 80) / 1.2)
    left = (reach > 38) & (reach < 43)
    assert np.abs(behind[left & (Y > 118) & (Y < 124)] - BAR).mean() < 0.06
    assert np.abs(behind[left & (Y > 90) & (Y < 102)] - WALL).mean() < 0.06


def test_an_edge_of_the_backdrop_is_not_drawn_along_beside_a_face() -> None:
    """The face drops by 5 px: the wall above the clothes does not come down with the face's edge."""
    crop, shown = shouldered("background")
    after = put_back(crop, shown, -5 * UP)
    bare = (np.hypot(X - 80, (Y - 80) / 1.2) > 46) & (np.hypot(X - 80, (Y - 85) / 1.2) > 45.5)
    beside = bare & (np.hypot(X - 80, (Y - 85) / 1.2) < 47) & (Y > 112) & (Y < 117)
    assert np.abs(after - crop)[beside].max() < 0.06


def test_skin_moves_freely_below_a_hand_and_is_held_by_a_collar() -> None:
    flow = 12 * UP
    near = (np.abs(Y + 12 - 80) < 5) & (np.abs(X - 80) < 25)
    assert np.array_equal(layers(picture(), parts(over="hand")).held(flow), flow)
    assert layers(picture(), parts(over="cloth")).held(flow)[near][:, 1].max() < 12


def test_below_a_hand_a_face_ends_as_sharply_as_beside_it() -> None:
    """No mixture of skin and wall: that would come out as a streak along the hand."""
    unstood = layers(picture(), parts()).unstood
    row = unstood[80, 80:160]
    mixed = np.minimum(np.abs(row - WALL).max(1), np.abs(row - SKIN * (0.65 + 0.004 * 120)).max(1)) > 0.09
    assert mixed.sum() < 32


def test_an_ear_that_passes_for_backdrop_goes_with_the_face() -> None:
    """By its colour: where the same place shows the wall, the wall stays."""
    ear = (np.hypot(X - 130, Y - 80) < 8).astype(np.float32)
    zones = Zones(NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, ear, NOWHERE, NOWHERE)
    bare = picture(with_bar=False)
    eared = np.where(ear[..., None] > 0, SKIN, bare).astype(np.float32)
    shares = [Layers.of(crop, parts(with_bar=False), zones).face for crop in (eared, bare)]
    inside = np.hypot(X - 130, Y - 80) < 4
    assert shares[0][inside].min() > 0.8
    assert shares[1][inside].max() < 0.05


def test_half_an_ear_that_passes_for_backdrop_is_not_mirrored() -> None:
    """A rim of light beside the head: what the head uncovers there is wall."""
    ear = (np.hypot((X - 132) / 1.0, (Y - 80) / 2) < 10).astype(np.float32)
    glow = np.where((ear > 0)[..., None], 0.95, picture(with_bar=False)).astype(np.float32)
    uncovered = (X > 113) & (X < 119) & (np.abs(Y - 80) < 8)
    walls = []
    for where in (ear, NOWHERE):
        zones = Zones(NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, where, NOWHERE, NOWHERE)
        walls.append(Layers.of(glow, parts(with_bar=False), zones).backdrop[uncovered].mean())
    assert walls[0] < 0.6 < walls[1]


def test_results_are_smooth_in_the_mattes() -> None:
    """Mattes that tremble by a few hundredths move no pixel by more: no threshold flickers."""
    crop, flow = picture(), growing(0.06)
    tremble = np.random.default_rng(3).normal(0, 0.01, (len(LABELS), SIZE, SIZE)).astype(np.float32)
    shaken = np.clip(parts().shares + np.stack([cv2.GaussianBlur(t, (0, 0), 2) for t in 5 * tremble]), 0, 1)
    one, other = (put_back(crop, shown, flow) for shown in (parts(), Parts(shaken / shaken.sum(0))))
    assert np.abs(shaken - parts().shares).max() > 0.01
    assert np.abs(one - other).max() < 0.06
    assert np.abs(one - other).mean() < 0.001


def test_the_plates_own_detail_goes_with_what_shows_it() -> None:
    flow = 7 * UP
    apart = layers(picture(), parts())
    _, where = apart.moved(flow)
    moves, residual = apart.carried(flow, STILL, where, NOWHERE)
    inside, skin = np.abs(Y - 80) < 3, (np.hypot(X - 80, (Y - 80) / 1.2) < 30) & (np.abs(Y - 80) > 25)
    assert not moves[inside].any()
    assert (residual[inside] == 1).all()
    assert (moves[skin] == [0, 7]).all()
    assert residual[skin].min() > 0.99
    came_from_under = (np.abs(Y + 7 - 80) < 2) & ~bar() & (np.abs(X - 80) < 25)
    assert residual[came_from_under].max(initial=0) < 0.1


def test_brows_that_look_like_frames_are_no_glasses() -> None:
    """Frames that do not cross the bridge are not worn: what looks like them moves with the face."""
    crop, shown = picture(), parts(over="glasses")
    bridge = (np.abs(X - 80) < 8) & (np.abs(Y - 100) < 8)
    elsewhere = Zones(
        NOWHERE, bridge.astype(np.float32), NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE
    )
    crossing = (bar() & (np.abs(X - 80) < 8)).astype(np.float32)
    across = Zones(NOWHERE, crossing, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE)
    middle = (np.abs(Y - 80) < 2) & (np.abs(X - 80) < 25)
    sharp = to_edges(shown, crop)
    assert Layers.of(crop, sharp, elsewhere).worn[middle].max() == 0
    assert Layers.of(crop, sharp, across).worn[middle].min() > 0.95


def half_seen(over: str, share: float) -> Parts:
    """The bar, of which a network is sure by no more than a share; it takes the rest for a brow."""
    hard = np.stack([(shares > 0.5).astype(np.float32) for shares in parts(over=over).shares])
    there = hard[LABELS.index(over)]
    hard[LABELS.index(over)], hard[LABELS.index("brow")] = share * there, (1 - share) * there
    return Parts(hard)


def test_dark_frames_that_are_half_taken_for_brows_stay_where_they_are() -> None:
    crop, across = picture(), np.zeros((SIZE, SIZE), np.float32)
    across[bar() & (np.abs(X - 80) < 8)] = 1
    zones = Zones(NOWHERE, across, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE)
    middle, shown = (np.abs(Y - 80) < 2) & (np.abs(X - 80) < 25), half_seen("glasses", 0.25)
    assert Layers.of(crop, shown, zones).worn[middle].min() > 0.9
    pale = np.where(bar()[..., None], 0.9 * SKIN, crop).astype(np.float32)  # a shade on skin is no frame
    assert Layers.of(pale, shown, zones).worn[middle].max() < 0.6


def test_the_rim_of_a_thing_that_passes_for_skin_is_told_by_its_colour() -> None:
    sure = np.stack([(share > 0.5).astype(np.float32) for share in parts(over="thing").shares])
    rim = bar() & (np.abs(Y - 80) >= 3)
    sure[LABELS.index("thing"), rim], sure[LABELS.index("skin"), rim] = 0.3, 0.7
    shown, seen = Parts(sure), (np.abs(np.abs(Y - 80) - 4.0) < 0.6) & (np.abs(X - 80) < 25)
    assert Layers.of(picture(), shown, ZONES).standing[seen].min() > 0.9
    alike = np.where(bar()[..., None], SKIN, picture()).astype(np.float32)  # as a hand would be
    assert Layers.of(alike, shown, ZONES).standing[seen].max() < 0.5


def test_skin_made_up_under_something_has_the_plates_grain() -> None:
    clean = layers(picture(), parts(over="glasses")).clean
    spot = np.s_[78:83, 60:100]
    fine = clean - cv2.GaussianBlur(clean, (0, 0), 1.5)
    skin = np.s_[50:65, 60:100]
    assert fine[spot].std() == pytest.approx(fine[skin].std(), rel=0.5)


def test_mattes_find_the_edges_of_the_picture() -> None:
    """Labels at a quarter of the size, as the network gives them, are brought to the face's real outline."""
    large = SIZE * 2
    crop = cv2.resize(picture(with_bar=False), (large, large), interpolation=cv2.INTER_CUBIC)
    truth = cv2.resize(face().astype(np.float32), (large, large), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(truth, (large // 4, large // 4), interpolation=cv2.INTER_AREA)
    rough = cv2.resize(cv2.GaussianBlur(small, (0, 0), 0.7), (large, large))
    shares = np.zeros((len(LABELS), large, large), np.float32)
    shares[LABELS.index("skin")], shares[LABELS.index("background")] = rough, 1 - rough
    fine = to_edges(Parts(shares), crop)
    blurred, sharp = (np.clip((share - 0.1) / 0.8, 0, 1) for share in (rough, fine.of("skin")))
    assert np.abs(sharp - truth).mean() < 0.7 * np.abs(blurred - truth).mean()
    assert np.abs(fine.shares.sum(0) - 1).max() < 1e-5


def test_a_brow_that_is_half_taken_for_hair_eases_no_skin_beside_it() -> None:
    """A bar of which each pixel is read as brow and as hair alike. Sure hair does ease it: see below."""
    shares = parts(over="brow").shares.copy()
    brow, hair = LABELS.index("brow"), LABELS.index("hair")
    shares[hair] += 0.5 * shares[brow]
    shares[brow] *= 0.5
    apart = layers(picture(), Parts(shares))
    assert apart.hair[bar()].max() < 0.05
    assert np.array_equal(apart._eased(-6 * UP), np.ones((SIZE, SIZE)))
    assert layers(picture(), parts(over="hair")).hair[bar()].min() > 0.5


def test_skin_that_comes_from_beside_hair_is_stretched_over_some_way_and_not_to_streaks() -> None:
    """Below a bar of hair skin drops by 6 px. Every pixel has its own source, above it and not hidden."""
    apart = layers(picture(), parts(over="hair"))
    held = apart.held(-6 * UP)[:, 80, 1]
    below = slice(int(np.flatnonzero(apart.hair[:, 80] > 0.3)[-1]) + 1, 118)
    source = (np.arange(SIZE) + held)[below]
    assert np.diff(source).min() > 0.25
    assert source[0] > below.start - 1.5
    assert np.all(held[below] <= 0)
    assert held[117] < -5.9
    # What moves towards hair goes under it as it is.
    assert np.array_equal(apart.held(6 * UP)[84:110, 80], (6 * UP)[84:110, 80])
