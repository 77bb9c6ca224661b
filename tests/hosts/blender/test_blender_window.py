"""The panel in a Blender with a window, on a virtual screen. The pictures are for a person to look at too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from blender_host import ADDON, QUICK, SIZE

WINDOW = Path(__file__).with_name("window.py")
NEEDED = ("xvfb-run", "xdotool", "import")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_button_cooks_while_the_window_lives_and_the_panel_is_drawn(executable, engine, plate, tmp_path):
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    pictures = Path(os.environ.get("STIT_PICTURES", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    task = {
        **{"addon": str(ADDON), "engine": str(engine), "out": str(tmp_path), "pictures": str(pictures)},
        **{"plate": str(plate), "start": 101, "trim": [1, 2], "size": SIZE, "settings": QUICK},
        **{"sliders": {"smile": -0.7}, "keys": {}, "press": ["cook"]},
        # The STIT tab of 3.4, which no script can choose; from 5.0 on one can.
        **{"tall": "SEQUENCE_EDITOR", "clicks": [[1587, 331]]},
    }
    path = tmp_path / "task.json"
    path.write_text(json.dumps(task))
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1600x900x24"]
    blender = [executable.program, "--factory-startup", "--app-template", "Video_Editing"]
    words = ["-p", "0", "0", "1600", "900", "--python", str(WINDOW), "--", str(path)]
    env = {**os.environ, "LIBGL_ALWAYS_SOFTWARE": "1"}
    done = subprocess.run([*screen, *blender, *words], env=env, capture_output=True, text=True, timeout=380)
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["told"] == [["cook", ["FINISHED"]], ["cook", "v001: 1 frame cooked.", True]], done.stderr
    assert sorted(strip["role"] for strip in answer["strips"]) == ["", "edit", "matte"]

    from PIL import Image

    before, after = (
        np.asarray(Image.open(pictures / f"{n}.png").convert("L")) for n in ("ready", "cook_done")
    )
    assert after.shape == (900, 1600)
    # Two strips more on the left, another state in the sidebar.
    assert (before[:, :1290] != after[:, :1290]).sum() > 500
    assert (before[:, 1300:] != after[:, 1300:]).sum() > 500
