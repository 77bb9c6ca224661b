"""Folders of samples: the same faces every time, whole or unfinished, never mixed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from learning_pack import Killed, killed_at, linear, write_pack
from PIL import Image

from stit_vfx.errors import CancelledError, JobError, NoFaceError, OutputError
from stit_vfx.events import Cancel, Reporter
from stit_vfx.face.detect import Detection
from stit_vfx.learning.drawing import Sampling, draw_samples
from stit_vfx.learning.learn import Learned
from stit_vfx.learning.samples import Samples, read_samples
from stit_vfx.learning.saving import save_direction
from stit_vfx.packs.load import Pack, load_pack


def draw(
    pack: Pack, folder: Path, *, finder: Any = None, cancel: Cancel | None = None, **wish: Any
) -> Samples:
    cancel = cancel or Cancel()
    reporter = Reporter("none", cancel=cancel)
    return draw_samples(
        pack, folder, Sampling(**{"count": 3, **wish}), finder=finder, reporter=reporter, cancel=cancel
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_samples_are_what_the_generator_draws(pack: Pack, tmp_path: Path) -> None:
    samples = draw(pack, tmp_path / "s", seed=9, truncation=0.5)
    network = pack.model.network
    z = np.stack([np.random.default_rng([9, n]).standard_normal(24) for n in range(3)])
    with torch.no_grad():
        ws = network.mapping(torch.from_numpy(z).float(), psi=0.5)
        picture = (pack.model.synthesize(ws[2:], None)[0].permute(1, 2, 0) + 1) * 127.5
        styles = torch.cat(network.synthesis.styles(ws), 1)
    np.testing.assert_allclose(samples.ws, ws.numpy(), atol=1e-6)
    np.testing.assert_allclose(samples.styles, styles.numpy(), atol=1e-5)
    assert np.abs(samples.picture8(2) - picture.clamp(0, 255).numpy()).max() <= 1
    assert samples.files == ("sample_0001.png", "sample_0002.png", "sample_0003.png")
    assert samples.record["sha256"] == dict(pack.sha256)
    assert samples.record["generator"] == pack.sha256["generator.safetensors"]
    assert (tmp_path / "s" / "labels.csv").read_text().splitlines()[:2] == ["file,label", "sample_0001.png,"]
    assert (tmp_path / "s" / "contact_sheet.png").stat().st_size > 1000
    assert not (tmp_path / "s" / "parts").exists()


def test_more_samples_leave_the_first_ones_and_their_labels(pack: Pack, tmp_path: Path) -> None:
    few = draw(pack, tmp_path / "s")
    (tmp_path / "s" / "labels.csv").write_text("file,label\n" + "".join(f"{f},yes\n" for f in few.files))
    more = draw(pack, tmp_path / "s", count=5)
    assert np.array_equal(more.ws[:3], few.ws)
    assert np.array_equal(more.ws, draw(pack, tmp_path / "t", count=5).ws)
    lines = (tmp_path / "s" / "labels.csv").read_text().splitlines()
    assert lines[1:] == [*(f"{file},yes" for file in few.files), "sample_0004.png,", "sample_0005.png,"]


def test_other_samples_need_another_folder(pack: Pack, tmp_path: Path) -> None:
    draw(pack, tmp_path / "s")
    with pytest.raises(OutputError, match="their seed is not the same"):
        draw(pack, tmp_path / "s", seed=1)
    with pytest.raises(OutputError, match="already holds 3"):
        draw(pack, tmp_path / "s", count=2)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "labels.csv").write_text("mine")
    with pytest.raises(OutputError, match="something else"):
        draw(pack, tmp_path / "t")


def test_killed_at_any_call_the_same_command_ends_with_the_same_bits(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(draw(pack, tmp_path / "whole", count=2).folder)
    kills = 0
    for call in range(0, 400, 3):
        folder = tmp_path / f"s{call}"
        with killed_at(call, monkeypatch) as killed:
            try:
                draw(pack, folder, count=2)
            except Killed:
                kills += 1
        if not killed:
            break
        if (folder / "samples.safetensors").exists():
            assert contents(folder).items() >= whole.items()
        else:
            with pytest.raises(JobError, match=r"not finished|no samples"):
                read_samples(folder)
        draw(pack, folder, count=2)
        assert {k: v for k, v in contents(folder).items() if not k.startswith(".tmp")} == whole
    assert kills > 10


def test_a_cancelled_run_keeps_what_it_has(pack: Pack, tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.request("sigint")
    with pytest.raises(CancelledError):
        draw(pack, tmp_path / "s", cancel=cancel)
    with pytest.raises(JobError, match="not finished"):
        read_samples(tmp_path / "s")
    assert len(draw(pack, tmp_path / "s").files) == 3


def test_samples_belong_to_their_generator_and_not_to_its_directions(
    pack: Pack, own_pack: Path, tmp_path: Path
) -> None:
    draw(load_pack(own_pack), tmp_path / "s")
    save_direction(own_pack, Learned(linear(), {}, ()))
    again = load_pack(own_pack)
    assert len(read_samples(tmp_path / "s", pack=again).files) == 3
    assert len(draw(again, tmp_path / "s", count=4).files) == 4
    other = load_pack(write_pack(tmp_path / "other", seed=8))
    with pytest.raises(JobError, match="generator is another"):
        read_samples(tmp_path / "s", pack=other)
    with pytest.raises(JobError, match="holds no samples"):
        read_samples(tmp_path / "nowhere")


def test_a_damaged_file_of_codes_is_said(pack: Pack, tmp_path: Path) -> None:
    draw(pack, tmp_path / "s")
    path = tmp_path / "s" / "samples.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(JobError, match="is damaged"):
        read_samples(tmp_path / "s")


# pictures of faces ------------------------------------------------------------------------------------------


class Everywhere:
    """Finds a face in the middle of every picture that is not black."""

    name, licence = "everywhere", "none"
    sha256: ClassVar = {"painted.dat": "0" * 64}

    def __init__(self, landmarks: np.ndarray) -> None:
        self.landmarks = landmarks
        self.asked = 0

    def find(self, image8: np.ndarray, *, describe: bool = True) -> list[Detection]:
        self.asked += 1
        if not image8.any():
            return []
        return [Detection(box=(0, 0, 1, 1), score=1.0, landmarks=self.landmarks * image8.shape[0])]


@pytest.fixture
def finder(face: np.ndarray) -> Everywhere:
    return Everywhere(face)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    sizes = {"anna.png": 80, "shot.1001.png": 64, "shot.1002.png": 64, "zoe.jpg": 120}
    for name, size in sizes.items():
        Image.fromarray(rng.integers(1, 255, (size, size, 3), np.uint8)).save(folder / name)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "nobody.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_pictures_of_faces_become_codes(
    pack: Pack, tmp_path: Path, pictures: Path, finder: Everywhere
) -> None:
    samples = draw(pack, tmp_path / "s", count=20, images=str(pictures), finder=lambda: finder)
    assert samples.files == tuple(f"sample_{n:04d}.png" for n in (1, 3, 4, 5))
    assert samples.record["without_face"] == ["sample_0002.png"]
    sources = [Path(name).name for name in samples.record["sources"].values()]
    assert sources == ["anna.png", "shot.1001.png", "shot.1002.png", "zoe.jpg"]
    assert samples.landmarks is not None
    np.testing.assert_allclose(samples.landmarks[3], finder.landmarks * 120)
    assert samples.ws.shape == (4, 8, 24)
    assert samples.ws.std(0).max() > 0
    asked = finder.asked
    again = draw(pack, tmp_path / "s", count=20, images=str(pictures), finder=lambda: finder)
    assert finder.asked == asked
    assert np.array_equal(again.ws, samples.ws)


def test_a_folder_that_has_changed_gives_other_samples(
    pack: Pack, tmp_path: Path, pictures: Path, finder: Everywhere
) -> None:
    draw(pack, tmp_path / "s", count=20, images=str(pictures), finder=lambda: finder)
    (pictures / "anna.png").unlink()
    with pytest.raises(OutputError, match="their pictures is not the same"):
        draw(pack, tmp_path / "s", count=20, images=str(pictures), finder=lambda: finder)


def test_of_many_pictures_some_are_taken_evenly(
    pack: Pack, tmp_path: Path, pictures: Path, finder: Everywhere
) -> None:
    pattern = str(pictures / "shot.####.png")
    assert len(draw(pack, tmp_path / "s", count=9, images=pattern, finder=lambda: finder).files) == 2
    samples = draw(pack, tmp_path / "t", count=2, images=str(pictures), finder=lambda: finder)
    assert [Path(name).name for name in samples.record["sources"].values()] == ["anna.png", "zoe.jpg"]


def test_pictures_without_any_face_are_an_error(pack: Pack, tmp_path: Path, finder: Everywhere) -> None:
    folder = tmp_path / "dark"
    folder.mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "a.png")
    with pytest.raises(NoFaceError, match="no picture shows a face"):
        draw(pack, tmp_path / "s", images=str(folder), finder=lambda: finder)


def test_the_built_in_pack_samples_pictures_and_draws_none(tmp_path: Path, find: Callable[[], Any]) -> None:
    from skimage import data

    builtin = load_pack("builtin")
    with pytest.raises(JobError, match="draws no faces of its own"):
        draw(builtin, tmp_path / "s")
    folder = tmp_path / "people"
    folder.mkdir()
    Image.fromarray(data.astronaut()[:300, 80:380]).save(folder / "a.png")
    samples = draw(builtin, tmp_path / "t", images=str(folder), finder=find)
    assert samples.ws.shape == (1, builtin.model.num_ws, builtin.model.w_dim)
    assert samples.styles is None
    assert samples.picture8(0).shape == (512, 512, 3)
