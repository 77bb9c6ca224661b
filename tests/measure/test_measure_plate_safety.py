import numpy as np

from stit_vfx.measure.plate_safety import plate_safety


def _plate():
    half = np.linspace(0, 1, 12, dtype=np.float16).reshape(3, 4)
    nan = half.copy()
    nan[0, 0] = np.nan
    return {"R": half, "G": nan, "B": half * 2, "depth.Z": half.astype(np.float32)}


MATTE = np.array([[0, 0, 0, 0], [0, 0, 0.5, 1], [0, 0, 0, 0]], np.float32)


def test_equal_frames_are_safe_even_with_nan():
    safety = plate_safety(_plate(), _plate(), MATTE)
    assert safety.safe
    assert (safety.outside, safety.inside) == (10, 2)
    assert safety.changed_inside == 0


def test_change_inside_the_matte_is_counted_and_safe():
    edit = _plate()
    edit["R"] = edit["R"].copy()
    edit["R"][1, 2:] += 1
    safety = plate_safety(_plate(), edit, MATTE)
    assert safety.safe
    assert safety.changed_inside == 2


def test_one_bit_outside_the_matte_is_found():
    edit = _plate()
    edit["B"] = edit["B"].copy()
    edit["B"].view(np.uint16)[2, 3] ^= 1
    safety = plate_safety(_plate(), edit, MATTE)
    assert safety.changed_outside == 1
    assert not safety.safe


def test_minus_zero_is_not_zero_and_another_nan_is_another():
    edit = _plate()
    edit["R"], edit["G"] = edit["R"].copy(), edit["G"].copy()
    edit["R"][0, 0] = -0.0
    edit["G"].view(np.uint16)[0, 0] ^= 1
    assert np.isnan(edit["G"][0, 0])
    assert plate_safety(_plate(), _plate() | {"R": edit["R"]}, MATTE).changed_outside == 1
    assert plate_safety(_plate(), _plate() | {"G": edit["G"]}, MATTE).changed_outside == 1


def test_other_channels_may_not_change_even_inside():
    edit = _plate()
    edit["depth.Z"] = edit["depth.Z"].copy()
    edit["depth.Z"][1, 3] += 1
    safety = plate_safety(_plate(), edit, MATTE)
    assert safety.other_changed == 1
    assert not safety.safe


def test_lost_added_and_retyped_channels_are_named():
    edit = _plate()
    del edit["depth.Z"]
    edit["R"] = edit["R"].astype(np.float32)
    edit["new.Y"] = edit["B"]
    edit["stit_matte.A"] = edit["B"]
    safety = plate_safety(_plate(), edit, MATTE)
    assert (safety.lost, safety.added, safety.retyped) == (("depth.Z",), ("new.Y",), ("R",))
    assert not safety.safe


def test_named_layer_is_the_colour_where_told():
    source = {f"beauty.{name}": array for name, array in _plate().items()}
    edit = dict(source)
    edit["beauty.R"] = edit["beauty.R"].copy()
    edit["beauty.R"][1, 3] += 1
    assert not plate_safety(source, edit, MATTE).safe
    assert plate_safety(source, edit, MATTE, rgb=("beauty.R", "beauty.G", "beauty.B")).safe
