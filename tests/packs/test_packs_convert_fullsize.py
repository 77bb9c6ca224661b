"""The published sizes: converted within a minute and 4 GB, loaded within 3 s. Random weights, by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import public_files as files
import pytest
import torch
from torch import Tensor

from stit_vfx.gan.e4e import Encoder, EncoderConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MOST_S, MOST_MB, LOAD_S = 60.0, 4000.0, 3.0
# The process's own high-water mark; what resource says may be that of the process which started it.
PEAK = """
def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
"""
CONVERT = """
import json, sys, time
start = time.perf_counter()
from stit_vfx.packs.convert import convert
folder = convert(sys.argv[2:], name="full", out=sys.argv[1], accept=True)
took = time.perf_counter() - start
print(json.dumps([took, peak()]))
"""
LOAD = """
import json, sys, time
import torch, stit_vfx
from stit_vfx.packs.load import load_pack
start = time.perf_counter()
pack = load_pack(sys.argv[1])
took = time.perf_counter() - start
print(json.dumps([took, peak()]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return files.generator_state(1024)


def critic() -> dict[str, Tensor]:
    return files.discriminator_state({r: min(32768 // r, 512) for r in (4 << n for n in range(9))})


def nvidia(folder: Path, state: dict[str, Tensor]) -> Path:
    networks = {
        "G": files.persistent(state),
        "D": files.persistent(critic(), "Discriminator"),
        "G_ema": files.persistent({name: tensor.clone() for name, tensor in state.items()}),
    }
    return files.nvidia_pickle(folder / "ffhq.pkl", **networks)


def rosinality(folder: Path, state: dict[str, Tensor]) -> Path:
    return files.rosinality_training(folder / "550000.pt", state, critic())


def e4e(folder: Path, state: dict[str, Tensor]) -> Path:
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in Encoder(EncoderConfig()).state_dict().items()}
    del shapes["latent_avg"]
    decoder = files.rosinality_state(state)
    average = state["mapping.w_avg"].expand(18, 512).clone()
    return files.encoder_file(folder / "e4e.pt", files.random_state(shapes), average, decoder=decoder)


def tuned(folder: Path, state: dict[str, Tensor]) -> Path:
    return files.tuned_file(folder / "model_run.pt", state, torch.zeros(2, 18, 512), torch.zeros(2, 4, 2))


def tensorflow(folder: Path, state: dict[str, Tensor]) -> Path:
    return files.tensorflow_pickle(folder / "tf.pkl", state)


def measured(code: str, *words: object) -> tuple[float, float]:
    """Seconds and megabytes that a process of its own says."""
    run = [sys.executable, "-c", PEAK + code, *map(str, words)]
    seconds, megabytes = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
    return seconds, megabytes


@pytest.mark.parametrize("write", [nvidia, rosinality, e4e, tuned, tensorflow])
def test_a_full_size_file_converts_and_loads_in_time(
    folder: Path, state: dict[str, Tensor], tmp_path: Path, write: Any
) -> None:
    path = write(folder, state)
    size_mb = path.stat().st_size / 1e6
    took_s, peak_mb = measured(CONVERT, tmp_path, path)
    path.unlink()
    load_s, load_mb = measured(LOAD, tmp_path / "full")
    print(
        f"\n{write.__name__}: {size_mb:.0f} MB, converted in {took_s:.1f} s with {peak_mb:.0f} MB; "
        f"loaded in {load_s:.2f} s with {load_mb:.0f} MB"
    )
    assert took_s < MOST_S
    assert peak_mb < MOST_MB
    assert load_s < LOAD_S


def test_the_whole_published_set_converts_and_loads_in_time(
    folder: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    paths = [nvidia(folder, state), e4e(folder, state)]
    started = time.perf_counter()
    took_s, peak_mb = measured(CONVERT, tmp_path, *paths)
    assert time.perf_counter() - started < MOST_S
    load_s, load_mb = measured(LOAD, tmp_path / "full")
    print(
        f"\nboth: converted in {took_s:.1f} s with {peak_mb:.0f} MB; "
        f"loaded in {load_s:.2f} s with {load_mb:.0f} MB"
    )
    assert peak_mb < MOST_MB
    assert load_s < LOAD_S
