"""The whole loop in a real Blender with the real engine, compared with `stit run` of the same job."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from blender_host import QUICK, Host

SLIDERS = {"smile": -0.7}
KEYS = {"stit_edit_age": [[102, 0.2], [103, 0.6]]}


def read_exr(path: str | Path) -> np.ndarray:
    """(H, W, 3) float32 by another library than Blender's."""
    import OpenImageIO as oiio

    return oiio.ImageBuf(str(path)).get_pixels(oiio.FLOAT)[..., :3]


def cook_and_compare(host: Host, engine: Path, plate: Path, out: Path) -> None:
    """The whole loop, and the same job by `stit run`: the same numbers in files and renders."""
    answer = host.do(
        out,
        engine,
        plate=str(plate),
        trim=[1, 1],
        sliders=SLIDERS,
        keys=KEYS,
        settings=QUICK,
        do=[
            *("job", "freshness", ["operator", "cook"], "freshness"),
            *(["set", "stit_matte_soften", 9.0], "freshness", ["set", "stit_matte_soften", 6.0], "freshness"),
            *(["render", "edit", 103], ["render", "plain", 103, ["plate v001"]], ["operator", "cook"]),
            ["save", str(out / "cooked.blend")],
        ],
    )
    assert answer["cook"] == ["FINISHED"]
    assert answer["freshness"] == ["new", "fresh", "stale", "fresh"]
    job = answer["job"]
    assert job["frames"] == "1002-1003"
    assert job["edits"][1]["keys"] == {"1002": 0.2, "1003": 0.6}

    # Cooked twice: the same version, no third strip.
    made = {strip["role"]: strip for strip in answer["strips"]}
    assert len(answer["strips"]) == 3
    assert made["edit"]["files"] == ["demo_comp_v001.1002.exr", "demo_comp_v001.1003.exr"]
    assert made["matte"]["files"] == ["demo_matte_v001.1002.exr", "demo_matte_v001.1003.exr"]
    assert made["edit"]["handles"] == made["matte"]["handles"] == made[""]["handles"] == [102, 104]
    assert (made["edit"]["mute"], made["matte"]["mute"], made["edit"]["blend"]) == (False, True, "ALPHA_OVER")
    assert made[""]["channel"] < made["edit"]["channel"] < made["matte"]["channel"]

    alone = out / "alone"
    job["output"]["folder"] = str(alone)
    (out / "job.json").write_text(json.dumps(job))
    subprocess.run([str(engine), "run", str(out / "job.json"), "--events", "none"], check=True, timeout=280)
    for kind in ("comp", "matte"):
        for frame in (1002, 1003):
            name = Path("demo.stit", "out", "v001", kind, f"demo_{kind}_v001.{frame}.exr")
            np.testing.assert_array_equal(read_exr(out / "renders" / name), read_exr(alone / name))

    before, shown = read_exr(answer["rendered"]["plain"]), read_exr(answer["rendered"]["edit"])
    comp = read_exr(alone / "demo.stit/out/v001/comp/demo_comp_v001.1003.exr")
    np.testing.assert_array_equal(before, read_exr(plate / "demo.1003.exr"))
    np.testing.assert_array_equal(shown, comp)
    assert np.abs(shown - before).max() > 0.02
    matte = read_exr(alone / "demo.stit/out/v001/matte/demo_matte_v001.1003.exr")
    np.testing.assert_array_equal(shown[matte == 0], before[matte == 0])
