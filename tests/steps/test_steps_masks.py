import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from stit_vfx.gan.bisenet import foreground_of
from stit_vfx.steps.masks import dilate, masks, masks_px, matte_from_foreground, scaled


@pytest.mark.parametrize("n", range(6))
def test_masks_agree_with_reference(vectors, meta, n):
    case = meta["mask_cases"][n]
    ours = masks_px(
        vectors("masks", "fg").numpy(),
        border=case["border_pixels"],
        inner=case["inner_dilation"],
        outer=case["outer_dilation"],
        whole_image_border=case["whole_image_border"],
    )
    for name in ("content", "border", "full"):
        theirs = vectors("masks", f"{n}/{name}")[0, 0].numpy()
        np.testing.assert_array_equal(getattr(ours, name), theirs, err_msg=name)


def test_full_size_masks_agree_with_the_published_path(vectors, meta):
    """Published: the arithmetic at 512, then stretched corner to corner to 1024."""
    import torch
    import torch.nn.functional as F

    outer = meta["calc_masks_args"]["outer_mask_dilation"]
    foreground = foreground_of(vectors("masks", "labels").long()).numpy()
    ours = masks(foreground, outer=outer)
    for name in ("content", "border", "full"):
        large = F.interpolate(
            torch.from_numpy(getattr(ours, name))[None, None],
            (1024, 1024),
            mode="bilinear",
            align_corners=True,
        )
        np.testing.assert_allclose(large[0, 0, 300], vectors("masks", f"calc/{name}_row300"), atol=1e-5)
        assert float(large.double().sum()) == pytest.approx(
            float(vectors("masks", f"calc/{name}_sum")), rel=1e-5
        )


@given(seed=st.integers(0, 99), radius=st.integers(0, 9))
def test_dilation_is_the_maximum_over_a_square(seed, radius):
    mask = (np.random.default_rng(seed).random((24, 31)) > 0.97).astype(np.float32)
    expected = ndimage.maximum_filter(mask, 2 * radius + 1, mode="constant")
    np.testing.assert_array_equal(dilate(mask, radius), expected)


@given(seed=st.integers(0, 99), outer=st.integers(0, 200))
def test_content_and_border_make_up_the_whole_and_do_not_overlap(seed, outer):
    blob = ndimage.gaussian_filter(np.random.default_rng(seed).random((64, 64)), 8)
    ours = masks((blob > np.median(blob)).astype(np.float32), outer=outer)
    np.testing.assert_array_equal(ours.content + ours.border, ours.full)


def test_sizes_follow_the_picture():
    assert [scaled(50, size) for size in (1024, 512, 128)] == [50, 25, 6]
    assert scaled(2, 128) == 1
    assert scaled(0, 128) == 0


def test_matte_is_the_same_shape_at_every_size():
    y, x = np.mgrid[:512, :512]
    disc = (np.hypot(x - 255.5, y - 255.5) < 120).astype(np.float32)
    large = matte_from_foreground(disc)
    small = matte_from_foreground(disc[1::4, 1::4])
    assert abs(large.mean() - small.mean()) < 0.01


def test_masks_of_a_face_at_the_edge_keep_the_edge_still():
    foreground = np.zeros((64, 64), np.float32)
    foreground[30:, 10:50] = 1
    ours = masks(foreground, outer=64)
    assert (ours.border[-4:, 10:50] == 1).all()
    assert not (ours.content[-4:] > 0).any()
