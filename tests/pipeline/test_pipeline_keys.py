"""Content keys: a step is done again exactly when its result would be another."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from stit_vfx import pipeline
from stit_vfx.alignment import Aligned
from stit_vfx.bench import Bench, open_bench
from stit_vfx.events import Cancel, Reporter
from stit_vfx.inversion import invert_key
from stit_vfx.job import Job
from stit_vfx.options import RunOptions
from stit_vfx.packs.model import Code

QUAD = np.array([[300, 100], [300, 400], [600, 400], [600, 100]], np.float64)


def opened(job: Job, out: Path) -> Bench:
    cancel = Cancel()
    options = RunOptions(device="cpu")
    return open_bench(
        job, out=out, reporter=Reporter("none", cancel=cancel), cancel=cancel, options=options, dry=True
    )


def keys_of(job: Job, out: Path, frame: int = 1001) -> dict[str, str]:
    """The key of every step on one frame, as a run of the job would ask for it."""
    bench = opened(job, out)
    aligned = Aligned("aligned", None, {frame: QUAD})
    inverted_key = invert_key(bench, aligned)
    ws = np.zeros((bench.pack.model.num_ws, bench.pack.model.w_dim), np.float32)
    inverted = pipeline.Inverted(inverted_key, {frame: Code(ws)})
    tuned_key = pipeline.tune_key(bench, inverted_key)
    edited = pipeline.edit(bench, pipeline.hold_fine_layers(bench, inverted))[frame]
    entry = pipeline.stitch_entry(bench, edited, tuned_key, frame)
    composited = pipeline.composite_key(bench, aligned, edited, entry, frame)
    named = {"invert": inverted_key, "tune": tuned_key, "edit": edited.key, "stitch": entry.key}
    return {**named, "composite": composited}


def redone(before: Job, after: Job, out: Path) -> str:
    """The first step that is done again; empty for none."""
    old, new = keys_of(before, out), keys_of(after, out)
    changed = [step for step in old if old[step] != new[step]]
    # Whatever is made from a changed result is made again.
    assert not changed or "composite" in changed
    return changed[0] if changed else ""


PAPER = {"schedule": "paper"}


@pytest.mark.parametrize(
    ("before", "after", "first"),
    [
        ({}, {"tune": {"lr": 2e-3}}, "tune"),
        ({}, {"tune": {"locality": True}}, "tune"),
        ({}, {"tune": {"steps": 9}}, "tune"),
        ({}, {"seed": 5}, "tune"),
        ({}, {"quality": "draft"}, "tune"),
        # What the pack says by itself, said by the job.
        ({}, {"tune": {"steps": 4, "lr": 1e-3}, "stitch": {"steps": 2, "lr": 1e-3}}, ""),
        # The published loop draws nothing, knows no draft, and has numbers of its own.
        ({"tune": PAPER}, {"tune": PAPER, "seed": 5}, ""),
        ({"tune": PAPER}, {"tune": {**PAPER, "steps": 80, "lr": 3e-5}, "stitch": {"steps": 100}}, ""),
        ({"tune": {**PAPER, "locality": True}}, {"tune": {**PAPER, "locality": True}, "seed": 5}, "tune"),
        ({}, {"freeze_fine_layers": 4}, "edit"),
        ({}, {"stitch": {"l1": True}}, "stitch"),
        ({}, {"stitch": {"threshold": 0.005}}, "stitch"),
        ({}, {"stitch": {"content": 0.5}}, "stitch"),
        ({}, {"stitch": {"whole_image_border": True}}, "stitch"),
        ({}, {"stitch": {"outer": 20}}, "stitch"),
        ({}, {"stitch": {"enabled": False}}, "stitch"),
        ({}, {"putback": "replace"}, "stitch"),
        ({}, {"putback": "delta"}, "composite"),
        ({}, {"matte": {"feather": 12}}, "composite"),
        # Without a loop, its numbers do not matter.
        ({"stitch": {"enabled": False}}, {"stitch": {"enabled": False, "l1": True, "lr": 0.1}}, ""),
        ({"stitch": {"enabled": False}}, {"stitch": {"enabled": False, "outer": 9}}, "composite"),
    ],
)
def test_an_option_does_again_what_it_changes(
    job: Any, tmp_path: Path, before: dict[str, Any], after: dict[str, Any], first: str
) -> None:
    assert redone(job(**before), job(**after), tmp_path) == first


@pytest.fixture
def other(pack: Path, tmp_path: Path) -> Path:
    """A copy of the pack, to be changed."""
    return Path(shutil.copytree(pack, tmp_path / "tiny"))


def rewrite(pack: Path, change: Any) -> None:
    path = pack / "pack.json"
    spec = json.loads(path.read_text())
    change(spec)
    spec["sha256"] = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in pack.glob("*.safetensors")}
    path.write_text(json.dumps(spec))


def test_a_direction_that_is_added_to_a_pack_leaves_its_shots_tuned(
    job: Any, other: Path, tmp_path: Path
) -> None:
    before = keys_of(job(pack=str(other)), tmp_path)
    save_file({"grin": np.ones(32, np.float32)}, other / "more.safetensors")
    rewrite(other, lambda spec: spec["directions"].update(grin={"file": "more.safetensors"}))
    assert keys_of(job(pack=str(other)), tmp_path) == before


def test_a_direction_that_is_changed_is_edited_again_and_not_tuned(
    job: Any, other: Path, tmp_path: Path
) -> None:
    before = keys_of(job(pack=str(other)), tmp_path)
    rewrite(other, lambda spec: spec["directions"]["smile"].update(scale=2.0))
    stronger = keys_of(job(pack=str(other)), tmp_path)
    assert [step for step in before if before[step] != stronger[step]] == ["edit", "stitch", "composite"]
    path = other / "directions.safetensors"
    save_file({name: -vector for name, vector in load_file(path).items()}, path)
    rewrite(other, lambda spec: None)
    turned = keys_of(job(pack=str(other)), tmp_path)
    assert [step for step in before if stronger[step] != turned[step]] == ["edit", "stitch", "composite"]


def test_a_pack_that_wants_to_be_tuned_otherwise_is_tuned_again(
    job: Any, other: Path, tmp_path: Path
) -> None:
    before = keys_of(job(pack=str(other)), tmp_path)
    rewrite(other, lambda spec: spec["schedule"].update(stitch_steps=3))
    assert [s for s, key in keys_of(job(pack=str(other)), tmp_path).items() if key != before[s]] == [
        "stitch",
        "composite",
    ]
    rewrite(other, lambda spec: spec["schedule"].update(steps=5))
    assert keys_of(job(pack=str(other)), tmp_path)["tune"] != before["tune"]


def test_a_generator_that_is_read_otherwise_is_another_one(job: Any, other: Path, tmp_path: Path) -> None:
    before = keys_of(job(pack=str(other)), tmp_path)
    rewrite(other, lambda spec: spec["generator"].update(conv_clamp=256.0))
    assert not set(keys_of(job(pack=str(other)), tmp_path).values()) & set(before.values())
