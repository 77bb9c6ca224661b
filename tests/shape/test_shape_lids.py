import numpy as np
import pytest

from stit_vfx.shape.lids import POINTS, lid_flow

SIZE, PX_PER_CM = 120, 12.0
HAIR = slice(44, 52)  # rows of a brow that lies low, close above a deep eye


def curves(upper: float, raised: float = 0.0) -> np.ndarray:
    """Both eyes as rows of level curves: upper lash line, lower one, brow and cheek, in px."""
    eyes = []
    for left, right in ((10, 50), (70, 110)):
        x = np.linspace(left, right, POINTS)
        for y in (upper, 70.0, 36.0 - raised, 92.0):
            eyes.append(np.stack([x, np.full(POINTS, y)], 1))
    return np.concatenate(eyes)


def flow_of(before: np.ndarray, after: np.ndarray, brow: np.ndarray | None) -> np.ndarray:
    still = np.zeros((SIZE, SIZE, 2), np.float32)
    return lid_flow(still, still, before, after, px_per_cm=PX_PER_CM, brow=brow)


@pytest.fixture
def brow() -> np.ndarray:
    share = np.zeros((SIZE, SIZE), np.float32)
    share[HAIR] = 1.0
    return share


def source_rows(flow: np.ndarray, column: int) -> np.ndarray:
    return np.arange(SIZE) + flow[:, column, 1]


def test_a_closing_lid_draws_no_hair_of_the_brow_over_the_eye(brow: np.ndarray) -> None:
    flow = flow_of(curves(58.0), curves(69.0), brow)
    for column in (30, 90):
        below = source_rows(flow, column)[HAIR.stop + 1 : 68]
        assert (below > HAIR.stop - 1.3).all()
        assert np.allclose(source_rows(flow, column)[HAIR], np.arange(SIZE)[HAIR], atol=0.6)


def test_without_labels_the_skin_up_to_the_brow_curve_stretches() -> None:
    flow = flow_of(curves(58.0), curves(69.0), None)
    assert source_rows(flow, 30)[56] < HAIR.stop


def test_a_brow_that_rises_is_carried_whole(brow: np.ndarray) -> None:
    flow = flow_of(curves(58.0), curves(58.0, raised=6.0), brow)
    rows = source_rows(flow, 30)
    assert np.allclose(rows[HAIR.start - 6 : HAIR.stop - 7], np.arange(HAIR.start, HAIR.stop - 1), atol=0.6)


def test_nothing_moves_where_nothing_changes(brow: np.ndarray) -> None:
    assert np.abs(flow_of(curves(58.0), curves(58.0), brow)).max() < 1e-4
