"""One real Blender in every run of the tests: the whole loop, with the real engine and the built-in pack."""

from __future__ import annotations

import pytest
from loop import cook_and_compare


@pytest.mark.timeout(400)
def test_a_strip_cooked_in_a_real_blender_is_what_stit_run_makes(any_blender, engine, plate, tmp_path):
    cook_and_compare(any_blender, engine, plate, tmp_path)
