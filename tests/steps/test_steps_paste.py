"""The published paste, made of this project's own warp: where a crop lands in a plate is the same."""

import numpy as np
import pytest

from stit_vfx.plate.warp import uncrop
from stit_vfx.steps.image import to_code
from stit_vfx.steps.masks import feathered_px


@pytest.fixture
def pasted(vectors):
    quad, box = vectors("paste", "quad").numpy(), tuple(vectors("paste", "bbox_xyxy").tolist())

    def warped(picture: np.ndarray) -> np.ndarray:
        return uncrop(picture.astype(np.float32), quad, box)

    inside = np.zeros((256, 256), np.float32)
    inside[3:-3, 3:-3] = 1  # the published crop has a hard edge, ours an antialiased one
    return warped, warped(inside) > 0.999


def test_a_pasted_crop_lands_where_the_published_one_does(vectors, pasted):
    warped, inside = pasted
    difference = (vectors("paste", "paste_plain").numpy() - warped(vectors("paste", "gen_u8").numpy()))[
        inside
    ]
    # The published warp cuts fractions off: up to one code value, half of one on average.
    assert np.abs(difference).max() < 1.5
    assert -0.6 < difference.mean() < -0.3


def test_a_masked_paste_is_the_published_one_up_to_its_rounding(vectors, pasted):
    warped, inside = pasted
    plate = _plate(vectors)
    matte = warped(np.clip(vectors("paste", "mask")[0, 0].numpy(), 0, 1))[..., None]
    ours = plate * (1 - matte) + warped(vectors("paste", "gen_u8").numpy()) * matte
    difference = np.abs(vectors("paste", "paste_mask_r0").numpy() - ours)[inside]
    # Published: 8-bit premultiplied and back, which errs most where the matte is thin.
    assert np.percentile(difference, 99) < 1.5
    assert difference.max() < 3


def _plate(vectors):
    """The plate below the crop: beside the pastes in the stored set, cut from its frame in a whole set."""
    try:
        plate = vectors("paste", "plate_in_bbox")
    except KeyError:
        x0, y0, x1, y1 = vectors("paste", "bbox_xyxy").tolist()
        plate = vectors("align", "frame0")[y0:y1, x0:x1]
    return plate.numpy().astype(np.float32)


def test_feathering_is_the_published_one_up_to_its_rounding(vectors):
    ours = feathered_px(vectors("paste", "mask_u8").numpy().astype(np.float32), 12)
    # Published: blurred in whole numbers and rounded to 8 bits.
    assert np.abs(ours - vectors("paste", "feather_blurred_r12").numpy()).max() <= 0.6
    assert np.array_equal(feathered_px(np.eye(4, dtype=np.float32), 0), np.eye(4))


def test_a_feathered_paste_is_the_published_one_up_to_its_rounding(vectors, pasted):
    warped, inside = pasted
    plate = _plate(vectors)
    soft = feathered_px(vectors("paste", "mask_u8").numpy().astype(np.float32) / 255, 12)
    matte = warped(soft)[..., None]
    ours = plate * (1 - matte) + warped(vectors("paste", "gen_u8").numpy()) * matte
    difference = np.abs(vectors("paste", "paste_mask_r12").numpy() - ours)[inside]
    assert np.percentile(difference, 99) < 1.5
    assert difference.max() < 3


def test_8_bit_pictures_of_a_generators_output_round_as_published(vectors):
    for picture, rounded in (("x", "tensor2pil"), ("half", "half_tensor2pil")):
        ours = np.rint(np.clip(to_code(vectors("conv8", picture))[0], 0, 1) * np.float32(255))
        assert np.array_equal(ours, vectors("conv8", rounded).numpy())
