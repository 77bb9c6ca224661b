"""The shot's folder survives being killed anywhere, and never mixes two jobs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stit_vfx.atomic import TEMP_PREFIX, atomic_bytes, atomic_write
from stit_vfx.cache import Entry, file_sha256
from stit_vfx.errors import DiskFullError, JobError, OutputError, ReadOnlyError, StorageError
from stit_vfx.job import Job
from stit_vfx.shot import STEP_REVISION, Shot, content_key
from stit_vfx.upkeep import gc

DAY_S = 24 * 3600
RNG = np.random.default_rng(7)
ARRAYS = {
    "crop_code": RNG.standard_normal((5, 4, 3)).astype(np.float32),
    "ws": RNG.standard_normal((14, 8)),
    "found": np.array([True, False]),
    "turned": RNG.standard_normal((3, 6)).astype(np.float32).T,
    "scale": np.float64(1.5),
}


class Killed(BaseException):
    """The process was killed: nothing after this reaches the disk."""


@contextmanager
def killed_at(call: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the first `call` calls to the file system through; at the next one the process dies.

    A killed process tidies nothing, so every later call dies too. A write dies half done. Yields a list
    that is empty until the kill happened.
    """
    killed: list[int] = []
    count = iter(range(1_000_000))

    def dying(real: Callable[..., Any], half: bool = False) -> Callable[..., Any]:
        def call_or_die(*args: Any, **kwargs: Any) -> Any:
            if killed or next(count) >= call:
                if half and not killed:
                    real(args[0], args[1][: len(args[1]) // 2])
                killed.append(1)
                raise Killed
            return real(*args, **kwargs)

        return call_or_die

    with monkeypatch.context() as patch:
        for name in ("open", "fsync", "replace", "link"):
            patch.setattr(os, name, dying(getattr(os, name)))
        for name in ("mkdir", "unlink", "chmod"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        patch.setattr(Path, "write_bytes", dying(Path.write_bytes, half=True))
        yield killed


def every_kill(action: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> int:
    """Do an action, killed at each of its calls in turn, until one goes through. How many kills that took."""
    for call in range(200):
        with killed_at(call, monkeypatch) as killed:
            try:
                action(call)
            except Killed:
                continue
        if not killed:
            return call
    raise AssertionError("the action never ends")


def small_job(**changes: Any) -> Job:
    data = {"plate": "/p/a.####.exr", "edits": [{"direction": "smile", "strength": 0.5}], "frames": "1-4"}
    return Job.from_data({"schema": "stit.job/1", **data, **changes})


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return Shot.open(tmp_path, "sh010")


@pytest.fixture
def entry(shot: Shot) -> Entry:
    return shot.entry("align", "ab" * 32, frame=1001)


def assert_same(read: dict[str, np.ndarray] | None) -> None:
    assert read is not None
    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert read[name].dtype == np.asarray(array).dtype
        assert read[name].tobytes() == np.ascontiguousarray(array).tobytes()


# Content keys -----------------------------------------------------------------------------------------------


def test_a_key_depends_on_everything_that_goes_into_a_result() -> None:
    given: dict[str, Any] = {
        "settings": {"a": 1.0},
        "upstream": ["k1", "k2"],
        "inputs": {"1001": "f"},
        "models": {"generator": "m"},
    }
    others = [
        {"settings": {"a": 2.0}},
        {"upstream": ["k2", "k1"]},
        {"inputs": {"1001": "g"}},
        {"inputs": {"1002": "f"}},
        {"models": {"generator": "n"}},
    ]
    keys = {content_key("align", **given), content_key("tune", **given)}
    keys |= {content_key("align", **{**given, **other}) for other in others}
    assert len(keys) == 2 + len(others)
    assert content_key("align", **{**given, "settings": dict(given["settings"])}) in keys


def test_a_key_is_the_sum_of_a_documented_text() -> None:
    from hashlib import sha256

    text = f'["align",{STEP_REVISION["align"]},{{"a":1.0,"b":[2]}},["k"],{{"1001":"f"}},[]]'
    key = content_key("align", settings={"b": (2,), "a": 1.0}, upstream=["k"], inputs={"1001": "f"})
    assert key == sha256(text.encode()).hexdigest()


# Cache ------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_read_back_bit_for_bit(entry: Entry) -> None:
    assert not entry.is_done()
    assert entry.read() is None
    entry.store(ARRAYS, meta={"finder": "dlib"})
    assert entry.is_done()
    assert_same(entry.load())
    assert entry.meta() == {"finder": "dlib"}


def test_storing_is_the_same_bytes_every_time(shot: Shot) -> None:
    files = []
    for key in ("aa" * 32, "bb" * 32):
        entry = shot.entry("align", key)
        entry.store(ARRAYS)
        files.append(entry.data_path.read_bytes())
    assert files[0] == files[1]


def test_an_entry_of_another_key_in_the_same_folder_is_not_done(shot: Shot, entry: Entry) -> None:
    entry.store(ARRAYS)
    twin = shot.entry("align", entry.key[:12] + "c" * 52, frame=1001)
    assert twin.data_path == entry.data_path
    assert not twin.is_done()
    assert twin.read() is None


@pytest.mark.parametrize(
    "damage", ["truncated", "flipped", "gone", "no record", "half a record", "list record"]
)
def test_a_damaged_result_is_redone(entry: Entry, damage: str) -> None:
    entry.store(ARRAYS)
    data = entry.data_path.read_bytes()
    match damage:
        case "truncated":
            entry.data_path.write_bytes(data[:-1])
        case "flipped":
            entry.data_path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "gone":
            entry.data_path.unlink()
        case "no record":
            entry.record_path.unlink()
        case "half a record":
            entry.record_path.write_bytes(entry.record_path.read_bytes()[:40])
        case "list record":
            entry.record_path.write_text("[]")
    assert entry.read() is None
    with pytest.raises(StorageError, match="will be redone"):
        entry.load()
    assert not entry.is_done()
    entry.store(ARRAYS)
    assert_same(entry.read())


def test_killed_at_any_call_a_stored_result_is_whole_or_not_there(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store(call: int) -> None:
        shot.entry("align", f"{call:064d}").store(ARRAYS)

    calls = every_kill(store, monkeypatch)
    assert calls >= 8
    for call in range(calls + 1):
        entry = shot.entry("align", f"{call:064d}")
        if entry.is_done():
            assert_same(entry.read())
        entry.store(ARRAYS)
        assert_same(entry.read())


def test_killed_at_any_call_an_overwritten_result_is_the_old_or_the_new(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry.store({"old": np.zeros(3)})
    every_kill(lambda _: entry.store(ARRAYS), monkeypatch)
    assert_same(entry.read())


def test_the_newest_whole_checkpoint_is_resumed(entry: Entry) -> None:
    assert entry.load_checkpoint() is None
    for step in (50, 100, 150):
        entry.save_checkpoint(step, {"weights": np.full(4, step)})
    newest = entry.folder / ".checkpoints" / "align.1001.0000150.safetensors"
    assert len(list(newest.parent.iterdir())) == 2
    newest.write_bytes(newest.read_bytes()[:-3])
    found = entry.load_checkpoint()
    assert found is not None
    assert found[0] == 100
    assert found[1]["weights"].tolist() == [100] * 4
    entry.drop_checkpoints()
    assert entry.load_checkpoint() is None


# Versions ---------------------------------------------------------------------------------------------------


def test_the_same_job_is_the_same_version_and_another_job_the_next(shot: Shot) -> None:
    first = shot.version(small_job())
    assert first.name == "v001"
    assert shot.version(small_job(frames="2-4,1")).name == "v001"
    assert shot.version(small_job(seed=1)).name == "v002"
    assert shot.version(small_job()).name == "v001"
    assert first.job() == small_job()
    assert [version.name for version in Shot.at(shot.path).versions()] == ["v001", "v002"]
    assert shot.find_version().name == "v002"
    assert shot.find_version("1").name == "v001"
    for absent in ("v007", "7", "last"):
        with pytest.raises(OutputError, match="Known: v001, v002"):
            shot.find_version(absent)


def test_a_job_file_of_a_version_is_never_written_again(shot: Shot) -> None:
    path = shot.version(small_job()).job_path
    before = path.stat()
    shot.version(small_job())
    assert path.stat().st_ino == before.st_ino
    assert before.st_mode & 0o222 == 0


def test_a_version_whose_job_is_damaged_or_deleted_is_not_taken_over(shot: Shot) -> None:
    damaged = shot.version(small_job())
    damaged.job_path.chmod(0o644)
    damaged.job_path.write_text("{")
    deleted = shot.version(small_job(seed=1))
    (deleted.out / "comp").mkdir(parents=True)
    deleted.job_path.unlink()
    assert shot.version(small_job(seed=2)).name == "v003"


def test_killed_at_any_call_a_new_version_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(call: int) -> None:
        Shot.open(tmp_path, f"shot{call}").version(small_job())

    calls = every_kill(make, monkeypatch)
    assert calls >= 10
    for call in range(calls + 1):
        shot = Shot.open(tmp_path, f"shot{call}")
        for version in shot.versions():
            assert version.job() == small_job()
        assert shot.version(small_job()).name == "v001"
        assert shot.version(small_job(seed=1)).name == "v002"


def test_tasks_that_start_together_with_one_job_agree_on_its_version(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, others = os.link, []

    def late(source: Path, target: Path) -> None:
        if not others:
            others.append(None)
            others[0] = shot.version(small_job())
        real(source, target)

    monkeypatch.setattr(os, "link", late)
    assert shot.version(small_job()).name == "v001"
    assert others[0].name == "v001"
    assert len(shot.versions()) == 1


def test_tasks_that_start_together_with_two_jobs_get_two_versions(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, others = os.link, []

    def late(source: Path, target: Path) -> None:
        if not others:
            others.append(None)
            others[0] = shot.version(small_job(seed=1))
        real(source, target)

    monkeypatch.setattr(os, "link", late)
    assert shot.version(small_job()).name == "v002"
    assert others[0].name == "v001"


def test_storage_without_hard_links_still_makes_versions(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert shot.version(small_job()).name == "v001"
    assert shot.version(small_job(seed=1)).name == "v002"
    assert shot.version(small_job()).name == "v001"


def test_a_shot_of_a_newer_engine_or_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "new.stit").mkdir()
    (tmp_path / "new.stit" / "shot.json").write_text('{"schema": "stit.shot/9", "shot": "new"}')
    with pytest.raises(JobError):
        Shot.open(tmp_path, "new")
    with pytest.raises(OutputError, match="not a shot's folder"):
        Shot.at(tmp_path)
    (tmp_path / "file.stit").write_text("")
    with pytest.raises(OutputError):
        Shot.open(tmp_path, "file")


# Frames -----------------------------------------------------------------------------------------------------


def finish(shot: Shot, frame: int, key: str = "k") -> None:
    version = shot.version(small_job())
    for path in (version.comp_path(frame), version.matte_path(frame)):
        atomic_bytes(path, b"%d" % frame)
    files = {"comp": version.comp_path(frame), "matte": version.matte_path(frame)}
    version.finish_frame(frame, key=key, files=files)


def test_frames_json_is_rebuilt_from_the_records(shot: Shot) -> None:
    version = shot.version(small_job())
    for frame in (3, 1, 2):
        finish(shot, frame)
    version._record_path(2).write_text("not json")
    written = json.loads(version.write_frames().read_text())
    assert list(written["frames"]) == ["1", "3"]
    comp = written["frames"]["3"]["files"]["comp"]
    assert comp["path"] == "comp/sh010_comp_v001.0003.exr"
    assert comp["size"] == 1
    assert comp["sha256"] == file_sha256(version.comp_path(3))


def test_a_frame_is_done_for_its_key_and_while_its_files_are_whole(shot: Shot) -> None:
    version = shot.version(small_job())
    finish(shot, 1)
    assert version.frame_done(1, "k")
    assert not version.frame_done(1, "other")
    assert not version.frame_done(2, "k")
    version.matte_path(1).write_bytes(b"")
    assert not version.frame_done(1, "k")


def test_a_failed_frame_is_done_again(shot: Shot) -> None:
    version = shot.version(small_job())
    version.finish_frame(1, key="k", files={}, outcome="failed")
    assert not version.frame_done(1, "k")
    assert version.records()[1]["outcome"] == "failed"


def test_killed_at_any_call_a_frame_is_finished_or_not_done(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = shot.version(small_job())
    calls = every_kill(lambda call: finish(shot, call), monkeypatch)
    assert calls >= 12
    for frame in range(calls + 1):
        if version.frame_done(frame, "k"):
            assert version.comp_path(frame).read_bytes() == version.matte_path(frame).read_bytes()
    assert not version.frame_done(0, "k")
    assert version.frame_done(calls, "k")


# Clean-up ---------------------------------------------------------------------------------------------------


def grow_old(path: Path, age_s: float) -> None:
    for place in (path, *path.rglob("*")):
        os.utime(place, (time.time() - age_s,) * 2)


def test_gc_removes_what_no_job_refers_to_and_old_temporaries_only(shot: Shot) -> None:
    version = shot.version(small_job())
    used, unused, young = (shot.entry("align", letter * 64) for letter in "abc")
    for entry in (used, unused, young):
        entry.store(ARRAYS)
    version.refer([used.key])
    finish(shot, 1)
    temporary = version.out / "comp" / f"{TEMP_PREFIX}host-1-ab.exr"
    temporary.write_bytes(b"x" * 10)
    grow_old(shot.path, 2 * DAY_S)
    grow_old(young.folder, 3600)
    fresh = version.out / "comp" / f"{TEMP_PREFIX}host-2-cd.exr"
    fresh.write_bytes(b"y")

    plan = gc(shot, dry_run=True)
    assert set(plan.paths) == {str(temporary), str(unused.folder)}
    assert plan.bytes == 10 + sum(path.stat().st_size for path in unused.folder.iterdir())
    assert unused.is_done()

    assert gc(shot).bytes == plan.bytes
    assert not unused.folder.exists()
    assert not temporary.exists()
    assert used.is_done()
    assert young.is_done()
    assert fresh.exists()
    assert version.frame_done(1, "k")
    assert gc(shot).paths == ()


def test_a_deleted_version_frees_its_cache(shot: Shot) -> None:
    version = shot.version(small_job())
    entry = shot.entry("tune", "d" * 64)
    entry.store(ARRAYS)
    version.refer([entry.key])
    grow_old(shot.path, 2 * DAY_S)
    assert gc(shot).paths == ()
    version.job_path.unlink()
    grow_old(shot.path, 2 * DAY_S)
    assert gc(shot).paths == (str(entry.folder),)


def test_stray_temporaries_disturb_nobody(shot: Shot, entry: Entry) -> None:
    for folder in ("jobs", "out", "cache/align", "jobs/v001"):
        (shot.path / folder).mkdir(parents=True, exist_ok=True)
        (shot.path / folder / f"{TEMP_PREFIX}x.json").write_text("{")
    assert shot.version(small_job()).name == "v001"
    entry.store(ARRAYS)
    assert_same(entry.read())


# Atomic writes ----------------------------------------------------------------------------------------------


def test_a_writer_that_fails_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes(b"old")

    def fail(temporary: Path) -> None:
        assert temporary.suffix == ".exr"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"half")
        raise KeyError("writer")

    with pytest.raises(KeyError):
        atomic_write(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "kind"),
    [(28, DiskFullError), (122, DiskFullError), (30, ReadOnlyError), (13, ReadOnlyError), (5, StorageError)],
)
def test_what_the_storage_refuses_is_told_by_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(kind, match=r"a\.json"):
        atomic_bytes(tmp_path / "a.json", b"x")
    assert list(tmp_path.iterdir()) == []


def test_names_stay_out_of_files_where_the_user_wants_that(
    shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    version = shot.version(small_job())
    assert socket.gethostname() in version.log_path("run").name
    monkeypatch.setenv("STIT_NO_USER", "1")
    assert version.log_path("run").name == f"run.host.{os.getpid()}.jsonl"
