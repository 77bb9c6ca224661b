"""Packs from several files: put together, extended, shown with their terms, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import public_files as files
import pytest
import torch
from click.testing import CliRunner, Result

from stit_vfx.cli import stit
from stit_vfx.errors import (
    JobError,
    JobFieldError,
    OutputError,
    PackDamagedError,
    PackLicenceError,
    PackSourceError,
    PackUnsafeError,
)
from stit_vfx.packs.convert import convert, plan
from stit_vfx.packs.load import load_pack
from stit_vfx.packs.registry import HERE, list_packs, verify_pack
from stit_vfx.packs.schema import read_spec

SMALL = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    state = files.generator_state(16, **SMALL)
    return files.nvidia_pickle(tmp_path / "g.pkl", G_ema=files.persistent(state))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    state = files.rosinality_state(files.generator_state(16, seed=9, **SMALL))
    torch.save({"g_ema": state, "latent_avg": torch.zeros(16)}, tmp_path / "other.pt")
    return tmp_path / "other.pt"


@pytest.fixture
def smile(tmp_path: Path) -> Path:
    np.save(tmp_path / "smile.npy", np.ones(16))
    return tmp_path / "smile.npy"


def invoke(*args: str) -> Result:
    return CliRunner().invoke(stit, ["packs", *args], standalone_mode=False)


# --- putting together -------------------------------------------------------------------------------------


def test_a_pack_goes_to_the_users_own_folder_and_is_found_by_name(generator: Path, tmp_path: Path) -> None:
    folder = convert([generator], name="mine", title="My faces", accept=True)
    assert folder == tmp_path / "data" / "stit_vfx" / "packs" / "mine"
    assert load_pack("mine").spec.title == "My faces"
    assert verify_pack(folder) == []


def test_without_a_generator_there_is_no_pack(smile: Path) -> None:
    with pytest.raises(PackSourceError, match="no generator among the files"):
        convert([smile], name="mine", accept=True)


def test_two_generators_are_one_too_many(generator: Path, other: Path) -> None:
    with pytest.raises(PackSourceError, match=r"other\.pt: holds generator, and so does g\.pkl"):
        convert([generator, other], name="mine", accept=True)


def test_the_name_is_needed_and_checked(generator: Path) -> None:
    with pytest.raises(JobFieldError, match="--name is missing"):
        convert([generator], accept=True)
    with pytest.raises(JobFieldError, match=r"'\.\./x' is no name"):
        convert([generator], name="../x", accept=True)


def test_a_name_that_is_taken_is_refused_before_anything_is_read_twice(generator: Path) -> None:
    folder = convert([generator], name="mine", accept=True)
    before = (folder / "pack.json").read_bytes()
    with pytest.raises(OutputError, match="--into"):
        convert([generator], name="mine", accept=True)
    assert (folder / "pack.json").read_bytes() == before


def test_the_same_files_give_the_same_bytes(generator: Path, smile: Path, tmp_path: Path) -> None:
    one, two = (convert([generator, smile], name="p", out=tmp_path / n, accept=True) for n in ("a", "b"))
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in two.iterdir()
    }


# --- adding to a pack -------------------------------------------------------------------------------------


def test_parts_are_added_to_a_pack_in_place(generator: Path, smile: Path) -> None:
    folder = convert([generator], name="mine", accept=True)
    weights = (folder / "generator.safetensors").read_bytes()
    assert convert([smile], into="mine", accept=True) == folder
    spec = load_pack("mine").spec
    assert set(spec.directions) == {"smile"}
    assert set(spec.licences) == {"generator", "directions.smile"}
    assert (folder / "generator.safetensors").read_bytes() == weights
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_a_new_part_replaces_the_old_one(generator: Path, other: Path, smile: Path) -> None:
    folder = convert([generator, smile], name="mine", accept=True)
    old = read_spec(folder)
    convert([other], into="mine", accept=True)
    spec = read_spec(folder)
    assert spec.sha256["generator.safetensors"] != old.sha256["generator.safetensors"]
    assert spec.licences["generator"].source == "other.pt"
    assert spec.directions == old.directions
    assert sorted(path.name for path in folder.iterdir()) == sorted([*spec.sha256, "pack.json"])
    files_told = [each["file"] for each in spec.made_by["sources"]]
    assert files_told == ["smile.npy", "other.pt"]


def test_with_another_name_the_old_pack_stays(generator: Path, smile: Path) -> None:
    folder = convert([generator], name="mine", accept=True)
    before = (folder / "pack.json").read_bytes()
    new = convert([smile], into="mine", name="smiling", accept=True)
    assert (folder / "pack.json").read_bytes() == before
    assert new == folder.parent / "smiling"
    assert set(load_pack("smiling").spec.directions) == {"smile"}


def test_what_stays_must_go_with_a_new_generator(generator: Path, smile: Path, tmp_path: Path) -> None:
    convert([generator, smile], name="mine", accept=True)
    state = files.generator_state(16, **{**SMALL, "w_dim": 8, "z_dim": 8})
    wide = files.nvidia_pickle(tmp_path / "narrow.pkl", G_ema=files.persistent(state))
    told = r"direction\.smile\.safetensors: the edit is 16, and the generator of narrow\.pkl has 6 rows of 8"
    with pytest.raises(PackSourceError, match=told):
        convert([wide], into="mine", accept=True)


def test_a_damaged_pack_is_not_built_upon(generator: Path, smile: Path) -> None:
    folder = convert([generator], name="mine", accept=True)
    with (folder / "generator.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.raises(PackDamagedError):
        convert([smile], into="mine", accept=True)


def test_the_built_in_pack_is_never_changed_but_can_be_copied(generator: Path, tmp_path: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (HERE / "builtin").iterdir()}
    np.save(tmp_path / "glow.npy", np.ones(192))
    with pytest.raises(OutputError, match="never changed"):
        convert([tmp_path / "glow.npy"], into="builtin", accept=True)
    with pytest.raises(PackSourceError, match="which is no StyleGAN2"):
        convert([generator], into="builtin", name="mine", accept=True)
    folder = convert([tmp_path / "glow.npy"], into="builtin", name="mine", accept=True)
    spec = read_spec(folder)
    assert "glow" in spec.directions
    assert spec.commercial_use == "no"
    assert spec.licences["generator"].commercial_use == "yes"
    assert verify_pack(folder) == []
    assert {path.name: path.stat().st_mtime_ns for path in (HERE / "builtin").iterdir()} == before


# --- whole or not at all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("existing", [False, True])
def test_stopped_before_the_rename_it_leaves_what_was_there(
    generator: Path, smile: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, existing: bool
) -> None:
    place = tmp_path / "packs"
    if existing:
        convert([generator], name="mine", out=place, accept=True)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stit_vfx.packs.convert.writing._rename", stop)
    words: dict[str, Any] = {"into": place / "mine"} if existing else {"name": "mine", "out": place}
    with pytest.raises(KeyboardInterrupt):
        convert([smile if existing else generator], accept=True, **words)
    assert [path.name for path in place.iterdir()] == (["mine"] if existing else [])
    if existing:
        assert verify_pack(place / "mine") == []


def test_killed_while_it_writes_there_is_no_pack(generator: Path, tmp_path: Path) -> None:
    """No handler runs: what is left has a name that no search looks at."""
    code = (
        "import os, signal, sys\n"
        "from stit_vfx.packs.convert import convert, writing\n"
        "writing._rename = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "convert([sys.argv[1]], name='mine', out=sys.argv[2], accept=True)\n"
    )
    words = [sys.executable, "-c", code, str(generator), str(tmp_path / "packs")]
    done = subprocess.run(words, check=False, timeout=60, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "packs" / "mine").exists()
    names = [entry.folder.parent for entry in list_packs(search=[tmp_path / "packs"])]
    assert tmp_path / "packs" not in names
    convert([generator], name="mine", out=tmp_path / "packs", accept=True)
    assert verify_pack(tmp_path / "packs" / "mine") == []


def test_if_the_second_rename_fails_the_old_pack_is_back(
    generator: Path, smile: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = convert([generator], name="mine", out=tmp_path / "packs", accept=True)
    rename: Callable[..., Path] = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target == folder and not self.name.endswith("-old"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(Exception, match="may not be written"):
        convert([smile], into=folder, accept=True)
    assert verify_pack(folder) == []
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_nothing_is_written_before_everything_is_checked(generator: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", np.ones(13))
    with pytest.raises(PackSourceError):
        convert([generator, tmp_path / "bad.npy"], name="mine", out=tmp_path / "packs", accept=True)
    assert not (tmp_path / "packs").exists()


# --- terms ------------------------------------------------------------------------------------------------


def test_the_whole_is_no_freer_than_its_strictest_part(generator: Path, smile: Path) -> None:
    spec = read_spec(convert([generator, smile], name="mine", accept=True))
    assert spec.commercial_use == "no"
    assert "NVIDIA" in spec.licence
    assert "CC BY-NC" in spec.licence
    assert spec.licences["generator"].source == "g.pkl"
    assert len(spec.licences["generator"].source_sha256 or "") == 64


def test_own_terms_replace_what_is_known(generator: Path, smile: Path) -> None:
    spec = read_spec(
        convert(
            [generator, smile],
            name="mine",
            licence=["generator=Studio A, all rights", "directions=CC0-1.0"],
            commercial=["yes"],
            accept=True,
        )
    )
    assert spec.commercial_use == "yes"
    assert spec.licences["generator"].licence == "Studio A, all rights"
    assert spec.licences["directions.smile"].licence == "CC0-1.0"
    assert spec.licence == "Studio A, all rights; CC0-1.0"


def test_own_words_alone_leave_commercial_use_unknown(generator: Path) -> None:
    (row,) = plan([generator], name="mine", licence=["our own"]).statements
    assert (row.licence, row.commercial_use) == ("our own", "unknown")


@pytest.mark.parametrize(
    "words",
    [{"licence": ["encoder=x"]}, {"commercial": ["perhaps"]}, {"commercial": ["generator=maybe"]}],
)
def test_terms_for_nothing_are_refused(generator: Path, words: dict[str, Any]) -> None:
    with pytest.raises(PackLicenceError):
        convert([generator], name="mine", accept=True, **words)


def test_terms_that_are_not_accepted_write_nothing(generator: Path, tmp_path: Path) -> None:
    with pytest.raises(PackLicenceError, match="--accept-licence"):
        convert([generator], name="mine", out=tmp_path / "packs")
    with pytest.raises(PackLicenceError):
        convert([generator], name="mine", out=tmp_path / "packs", accept=lambda each: not each.statements)
    assert not (tmp_path / "packs").exists()


# --- on the command line ----------------------------------------------------------------------------------


def test_the_command_shows_the_terms_and_refuses_without_a_terminal(generator: Path, tmp_path: Path) -> None:
    words = ["convert", str(generator), "--name", "mine", "--out", str(tmp_path / "packs")]
    result = invoke(*words)
    assert isinstance(result.exception, PackLicenceError)
    assert "NVIDIA Source Code License" in result.output
    assert "commercial use: no" in result.output
    assert not (tmp_path / "packs").exists()
    result = invoke(*words, "--accept-licence", "--json")
    assert result.exception is None
    told = json.loads(result.stdout)
    assert told["folder"] == str(tmp_path / "packs" / "mine")
    assert told["parts"][0]["part"] == "generator"
    assert len(told["parts"][0]["sha256"]) == 64


@pytest.mark.parametrize(("answer", "made"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_the_command_asks(generator: Path, tmp_path: Path, answer: str, made: bool) -> None:
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        words = ["packs", "convert", str(generator), "--name", "mine", "--out", str(tmp_path / "packs")]
        os.execv(sys.executable, [sys.executable, "-m", "stit_vfx", *words])
    said = b""
    while b"Go on? [y/N]" not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, f"{answer}\n".encode())
    deadline = time.monotonic() + 60
    while (status := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        drain(terminal)
        time.sleep(0.02)
    assert os.waitstatus_to_exitcode(status[1]) == (0 if made else 4)
    assert (tmp_path / "packs" / "mine" / "pack.json").exists() == made
    os.close(terminal)


def drain(terminal: int) -> None:
    """A child that writes into a full terminal would wait for ever."""
    os.set_blocking(terminal, False)
    with contextlib.suppress(OSError):
        os.read(terminal, 65536)


def test_show_lists_the_parts_with_their_terms(generator: Path, smile: Path) -> None:
    convert([generator, smile], name="mine", accept=True)
    text = invoke("show", "mine").output
    assert "generator <- g.pkl: as far as we know: NVIDIA" in text
    assert "directions.smile <- smile.npy" in text


def test_words_of_a_shot_need_a_plate(generator: Path) -> None:
    result = invoke("convert", str(generator), "--name", "x", "--frames", "1-3")
    assert isinstance(result.exception, JobError)
    assert "--frames needs --plate" in str(result.exception)


def test_only_fan_files_pass_for_fan(generator: Path) -> None:
    result = invoke("convert", "fan", str(generator), "--name", "x", "--accept-licence")
    assert isinstance(result.exception, PackSourceError)
    assert "is no FAN but StyleGAN2" in str(result.exception)


# --- the face finder -------------------------------------------------------------------------------------


@pytest.fixture
def fan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the finder's, and a place for it that is the test's own."""
    from stit_vfx.face import fan_weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    state = {name: torch.zeros(shape) for name, shape in fan_weights.network_shapes("s3fd").items()}
    torch.save(state, tmp_path / "brought.pth")
    return tmp_path / "brought.pth"


@pytest.mark.parametrize("word", [["fan"], []])
def test_files_of_the_face_finder_go_to_its_library_and_make_no_pack(
    fan: Path, tmp_path: Path, word: list[str]
) -> None:
    from stit_vfx.face import fan_weights

    refused = invoke("convert", *word, str(fan))
    assert isinstance(refused.exception, PackLicenceError)
    assert not fan_weights.weights_path("s3fd").exists()
    result = invoke("convert", *word, str(fan), "--accept-licence")
    assert result.exception is None
    assert f"wrote {fan_weights.weights_path('s3fd')}" in result.output
    assert fan_weights.weights_path("s3fd").is_file()
    assert not (tmp_path / "data").exists()


def test_finder_and_pack_may_come_in_one_go(fan: Path, generator: Path) -> None:
    from stit_vfx.face import fan_weights

    folder = convert([fan, generator], name="mine", accept=True)
    assert verify_pack(folder) == []
    assert set(read_spec(folder).licences) == {"generator"}
    assert fan_weights.weights_path("s3fd").is_file()


# --- what is not read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight", "betas"], "latent diffusion model"),
        (["down_blocks.0.resnets.0.conv1.weight", "conv_in.weight"], "diffusion UNet"),
        (["generator.gen_z.weight_orig", "generator.bn.bias"], "BigGAN"),
        (["synthesis.input.freqs", "mapping.fc0.weight"], "StyleGAN3"),
        (["convs.0.0.weight", "final_linear.0.weight"], "discriminator"),
        (["layer1.0.conv1.weight", "layer4.0.conv1.weight"], "ResNet"),
        (
            ["unheard.of.weight", "b", "c", "d", "e"],
            r"PyTorch file with unheard\.of\.weight, b, c and 2 more",
        ),
    ],
)
def test_what_is_not_read_is_said_by_name(tmp_path: Path, names: list[str], told: str) -> None:
    torch.save({name: torch.ones(4, 5, 6) for name in names}, tmp_path / "model.pt")
    with pytest.raises(PackSourceError, match=told):
        convert([tmp_path / "model.pt"], name="x", accept=True)


@pytest.mark.parametrize(
    ("root", "told"),
    [({}, "no keys"), ([1, 2], "a list of 2"), (3, "one int"), ({"a": 1, "b": "text"}, "the keys a, b")],
)
def test_a_pickle_without_tensors_is_described(tmp_path: Path, root: Any, told: str) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(root, protocol=4))
    with pytest.raises(PackSourceError, match=told):
        convert([tmp_path / "model.pkl"], name="x", accept=True)


def test_a_pickle_that_does_something_is_refused_and_nothing_is_done(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"G_ema": Trap()}))
    with pytest.raises(PackUnsafeError):
        convert([tmp_path / "model.pkl"], name="x", accept=True)
    assert not (tmp_path / "sprung").exists()


def test_a_folder_without_models_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(PackSourceError, match="has no model files"):
        convert([tmp_path / "nothing"], name="x", accept=True)


# --- shots that were tuned elsewhere ---------------------------------------------------------------------


VECTORS = files.vector_folder()


def shot_words(tmp_path: Path, frames: str, **more: str) -> list[str]:
    words = {"plate": str(tmp_path / "sh010.####.exr"), "frames": frames, "out": str(tmp_path / "shots")}
    return [word for name, value in {**words, **more}.items() for word in (f"--{name}", value)]


def test_a_tuned_checkpoint_becomes_a_shot_with_its_own_frames(tmp_path: Path) -> None:
    from stit_vfx.tuned import load_tuned

    convert([VECTORS / "nv_tiny_p3.pkl"], name="mine", accept=True)
    source = str(VECTORS / "tuned_tiny.pt")
    words = shot_words(tmp_path, "1001-1003", pack="mine")
    refused = invoke("convert", source, *words)
    assert isinstance(refused.exception, PackLicenceError)
    result = invoke("convert", source, *words, "--accept-licence", "--json")
    assert result.exception is None
    job = Path(json.loads(result.stdout)["job"])
    told = json.loads(job.read_text())
    assert (told["pack"], told["frames"], told["shot"]) == ("mine", "1001-1003", "sh010")
    tuned = load_tuned(job.parent / told["tuned"])
    assert tuple(tuned.frames) == (1001, 1002, 1003)
    np.testing.assert_array_equal(tuned.pivots, np.load(VECTORS / "sg2ada_io.npz")["wplus"])
    wanted = load_pack("mine").model.network.state_dict()
    assert set(tuned.weights) == set(wanted)
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(tuned.weights[name], tensor.numpy(), err_msg=name)


def test_a_shot_is_refused_where_file_frames_or_pack_do_not_fit(generator: Path, tmp_path: Path) -> None:
    convert([generator], name="small", accept=True)
    convert([VECTORS / "nv_tiny_p3.pkl"], name="mine", accept=True)
    source = str(VECTORS / "tuned_tiny.pt")
    cases = [
        ([str(generator), *shot_words(tmp_path, "1-3", pack="small")], "is no checkpoint of STIT"),
        ([source, *shot_words(tmp_path, "1-3", pack="small")], "not of the kind of pack small's"),
        ([source, *shot_words(tmp_path, "1-3", pack="builtin")], "not of the kind of pack builtin's"),
        ([source, *shot_words(tmp_path, "1-4", pack="mine")], "4 frames for 3 pivots"),
        ([source, *shot_words(tmp_path, "1-3")], "--frames and --pack"),
    ]
    for words, told in cases:
        result = invoke("convert", *words, "--accept-licence")
        assert told in str(result.exception)
    assert not list((tmp_path / "shots").glob("**/job.json"))
