"""Texts on the command line, in a whole run, in records and in what is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from tiny_text import expected_direction

from stit_vfx import pipeline
from stit_vfx.bench import open_bench
from stit_vfx.cli import stit
from stit_vfx.demo import write_plate
from stit_vfx.errors import JobError, JobFieldError, UnknownDirectionError
from stit_vfx.events import Cancel, Reporter
from stit_vfx.job import Job
from stit_vfx.memory import memory_need_mb
from stit_vfx.options import RunOptions
from stit_vfx.packs.load import load_pack
from stit_vfx.packs.model import Code
from stit_vfx.pipeline import edit_shot
from stit_vfx.plan import plan
from stit_vfx.plate.exr import read_exr
from stit_vfx.shot import Shot
from stit_vfx.text import clip as clip_room
from stit_vfx.text.direction import BETAS
from stit_vfx.text.moves import TextPart
from stit_vfx.words import parse_text_edit

FRAMES = (1001, 1002)
OPTIONS = RunOptions(device="cpu")
SMILING = {"text": "a smiling face", "beta": 0.05, "keys": {"1001": 0.25, "1002": 0.75}}
EDITS = [
    SMILING,
    {"direction": "age", "strength": -0.5},
    {"text": "an old face", "beta": 0.1, "strength": 0.5},
]


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_plate(tmp_path_factory.mktemp("plate"), frames=FRAMES)


@pytest.fixture(scope="module")
def job(plate: str, pack: Path) -> Callable[..., Job]:
    def make(*edits: dict[str, Any], **fields: Any) -> Job:
        data = {"schema": "stit.job/1", "shot": "sh010", "plate": plate, "pack": str(pack), "consent": "test"}
        return Job.from_data({**data, "edits": list(edits or EDITS), **fields})

    return make


@pytest.fixture(scope="module")
def done(job: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done")
    assert edit_shot(job(), out=out, device="cpu").exit_status == 0
    return out


def shot_of(out: Path) -> Shot:
    return Shot.at(out / "sh010.stit")


def events_of(out: Path) -> list[dict[str, Any]]:
    logs = sorted((out / "sh010.stit" / "logs").rglob("*.jsonl"))
    return [json.loads(line) for path in logs for line in path.read_text().splitlines()]


def opened(job: Job, out: Path, reporter: Reporter | None = None) -> pipeline.Bench:
    reporter = reporter or Reporter("none")
    return open_bench(job, out=out, reporter=reporter, cancel=Cancel(), options=OPTIONS, dry=True)


def test_codes_move_by_texts_and_directions_together_as_written_out(
    job: Callable[..., Job], pack: Path, basis: np.ndarray, tmp_path: Path
) -> None:
    bench = opened(job(), tmp_path)
    rng = np.random.default_rng(2)
    codes = {frame: Code(rng.normal(size=(8, 32)).astype(np.float32)) for frame in FRAMES}
    edited = pipeline.edit(bench, pipeline.Inverted("key", codes))
    part = TextPart.of(load_pack(pack))
    smiling, old = (part.difference(text, "face") for text in ("a smiling face", "an old face"))
    ageing = part.pack.directions["age"].vector
    assert ageing is not None
    for frame, strength in ((1001, 0.25), (1002, 0.75)):
        style = 8.0 * strength * expected_direction(basis, smiling, 0.05)
        style += 8.0 * 0.5 * expected_direction(basis, old, 0.1)
        assert edited[frame].code.style is not None
        np.testing.assert_allclose(edited[frame].code.style, style, atol=1e-4)
        np.testing.assert_allclose(edited[frame].code.ws, codes[frame].ws - 0.5 * ageing, atol=1e-5)


def test_the_generators_picture_is_that_of_its_styles_moved_by_hand(
    job: Callable[..., Job], basis: np.ndarray, tmp_path: Path
) -> None:
    bench = opened(job(SMILING), tmp_path)
    code = Code(np.random.default_rng(3).normal(size=(8, 32)).astype(np.float32))
    moved = bench.pack.model.move(code, bench.moves_at(1002))
    assert moved.style is not None
    ours = bench.pack.model.synthesize(
        torch.from_numpy(moved.ws)[None], None, style=torch.from_numpy(moved.style)[None]
    )
    synthesis = bench.pack.model.network.synthesis  # type: ignore[attr-defined]
    styles = synthesis.styles(torch.from_numpy(code.ws)[None])
    difference = TextPart.of(bench.pack).difference("a smiling face", "face")
    offsets = np.split(8.0 * 0.75 * expected_direction(basis, difference, 0.05), 11)
    by_hand = [each + torch.from_numpy(offset).float() for each, offset in zip(styles, offsets, strict=True)]
    torch.testing.assert_close(ours, synthesis.render(by_hand), rtol=1e-4, atol=1e-4)


def test_a_run_says_at_the_edit_step_what_each_text_moves(done: Path) -> None:
    told = events_of(done)
    start = next(n for n, each in enumerate(told) if (each["ev"], each.get("stage")) == ("stage", "edit"))
    lines = [each["msg"] for each in told[start + 1 : start + 3]]
    assert lines[0].startswith('text "a smiling face": ')
    assert lines[1].startswith('text "an old face": ')
    assert all("of 112 channels move, strongest in layers" in line for line in lines)


def test_records_hold_what_was_moved_and_frames_what_was_asked_for(done: Path) -> None:
    version = shot_of(done).find_version("v001")
    texts = json.loads(version.provenance_path.read_text())["texts"]
    assert [text["text"] for text in texts] == ["a smiling face", "an old face"]
    first = texts[0]
    assert (first["neutral"], first["beta"], first["amount"], first["channels"]) == ("face", 0.05, 8.0, 112)
    assert 0 < first["channels_moved"] < 112
    assert first["highest_beta"] > 0.05
    assert first["scaled_by"] == "nothing"
    header = read_exr(version.comp_path(1002)).header
    assert header["stit/edit"] == '"a smiling face"=0.75 age=-0.5 "an old face"=0.5'


def test_the_face_is_changed(done: Path, plate: str) -> None:
    before = read_exr(plate.replace("####", "1002")).rgb()
    after = read_exr(shot_of(done).find_version("v001").comp_path(1002)).rgb()
    assert (before != after).any(-1).sum() > 10_000


def test_another_strength_embeds_nothing_again_and_tunes_nothing_again(
    done: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the text network was loaded")

    monkeypatch.setattr(clip_room, "load_text_net", refuse)
    stronger = job({**SMILING, "keys": {"1001": 1.0}}, *EDITS[1:])
    steps = {step.step: step for step in plan(stronger, out=done, options=OPTIONS).steps}
    assert (steps["tune"].todo, steps["stitch"].todo) == (0, 2)
    # Nor does another beta need the network: it cuts the same relevance.
    opened(job({**SMILING, "beta": 0.1}), done)


def test_a_dry_run_says_what_texts_move_and_writes_nothing(job: Callable[..., Job], tmp_path: Path) -> None:
    told = plan(job(), out=tmp_path, options=OPTIONS)
    notes = [note.split(":")[0] for note in told.notes if note.startswith("text")]
    assert notes == ['text "a smiling face"', 'text "an old face"']
    assert not any(tmp_path.iterdir())


def test_a_text_that_moves_nearly_everything_is_a_warning_before_anything_is_computed(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    reporter = Reporter("none")
    reporter.log_to(tmp_path / "log.jsonl")
    opened(job({**SMILING, "beta": 0.0}), tmp_path, reporter)
    told = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    warning = next(each for each in told if each.get("code") == "STIT-W101")
    assert "112 of 112 channels move at beta 0. Raise --beta" in warning["msg"]
    notes = plan(job({**SMILING, "beta": 0.0}), out=tmp_path, options=OPTIONS).notes
    assert any(note.startswith("warning: text") for note in notes)


def test_a_beta_too_high_stops_the_job_before_the_shot_has_a_folder(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    with pytest.raises(UnknownDirectionError, match="Use a beta below"):
        edit_shot(job({**SMILING, "beta": 0.99}), out=tmp_path, device="cpu")
    assert not any(tmp_path.iterdir())


def test_memory_for_the_text_network_is_asked_for(job: Callable[..., Job], tmp_path: Path) -> None:
    bench = opened(job(), tmp_path)
    named = job({"direction": "age", "strength": 1.0})
    more = memory_need_mb(bench.plate, bench.pack, job()) - memory_need_mb(bench.plate, bench.pack, named)
    assert 500 < more < 800


# The command line -------------------------------------------------------------------------------------------


def invoke(*args: str) -> Result:
    return CliRunner().invoke(stit, args, standalone_mode=False)


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("a smiling face=0.6", {"text": "a smiling face", "strength": 0.6}),
        ("1 = 1=-0.5", {"text": "1 = 1", "strength": -0.5}),
        (" old =0@1001,0.6@1040", {"text": "old", "keys": {"1001": 0.0, "1040": 0.6}}),
    ],
)
def test_words_of_a_text_edit(word: str, fields: dict[str, Any]) -> None:
    assert parse_text_edit(word) == fields


@pytest.mark.parametrize("word", ["a smiling face", "=0.5", "face=much", "face=0.5@then"])
def test_a_misspelt_text_edit_is_an_error_that_quotes_it(word: str) -> None:
    with pytest.raises(JobFieldError, match=f"--edit-text {word}"):
        parse_text_edit(word)


def edits_of(monkeypatch: pytest.MonkeyPatch, *args: str) -> list[dict[str, Any]]:
    """The edits of the job that a command line asks for."""
    jobs: list[Job] = []

    def remember(job: Job, **_: Any) -> Any:
        jobs.append(job)
        raise JobError("looked at")

    monkeypatch.setattr("stit_vfx.plan.plan", remember)
    result = invoke("run", "--plate", "a.####.exr", "--frames", "1-2", "--dry-run", *args)
    assert str(result.exception).startswith("looked at"), result.exception
    return [edit.model_dump(exclude_defaults=True) for edit in jobs[0].edits]


def test_what_is_said_of_texts_is_said_of_all_of_them_and_not_of_named_edits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = ("--edit-text", "a smiling face=0.6", "--edit-text", "old=0@1,1@2")
    said = ("--beta", "0.2", "--text-neutral", "a sad face", "--text-amount", "5")
    common = {"neutral": "a sad face", "beta": 0.2, "amount": 5.0}
    assert edits_of(monkeypatch, *texts, *said, "--edit", "smile=0.5") == [
        {"direction": "smile", "strength": 0.5},
        {"text": "a smiling face", "strength": 0.6, **common},
        {"text": "old", "keys": {1: 0.0, 2: 1.0}, **common},
    ]
    assert edits_of(monkeypatch, *texts[:2]) == [{"text": "a smiling face", "strength": 0.6}]


@pytest.mark.parametrize("flag", [("--beta", "0.2"), ("--text-neutral", "x"), ("--text-amount", "2")])
def test_a_setting_of_texts_without_a_text_is_an_error(flag: tuple[str, str]) -> None:
    result = invoke("run", "--plate", "a.exr", "--edit", "smile=1", *flag)
    assert isinstance(result.exception, JobError)
    assert f"{flag[0]} is said of no text" in str(result.exception)


def test_packs_text_prints_a_table_to_choose_beta_by(pack: Path) -> None:
    lines = invoke("packs", "text", str(pack), "a smiling face", "--neutral", "a face").output.splitlines()
    assert lines[0] == '"a smiling face", from "a face"'
    assert lines[1].split() == ["beta", "channels", "share", "strongest", "layers"]
    assert [float(line.split()[0]) for line in lines[2:]] == list(BETAS)
    rows = json.loads(invoke("packs", "text", str(pack), "a smiling face", "--json").output)
    assert rows[0]["channels"] == 112
    assert [row["kept"] for row in rows] == sorted((row["kept"] for row in rows), reverse=True)
    assert all(len(row["layers"]) == min(3, row["kept"]) or row["kept"] < 3 for row in rows)


def test_packs_text_of_a_pack_without_texts_says_how_to_convert_them() -> None:
    result = invoke("packs", "text", "builtin", "a smiling face")
    assert isinstance(result.exception, UnknownDirectionError)
    assert "stit packs convert ViT-B-32.pt fs3.npy" in str(result.exception)


def test_packs_show_says_that_a_pack_takes_texts(pack: Path, plain_pack: Path) -> None:
    assert '--edit-text "..."  any text' in invoke("packs", "show", str(pack)).output
    assert "--edit-text" not in invoke("packs", "show", str(plain_pack)).output
