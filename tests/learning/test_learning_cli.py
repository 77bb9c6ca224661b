"""`stit directions`, in process: what a person types, and what they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from learning_pack import fill_table, side
from PIL import Image

from stit_vfx.cli import stit
from stit_vfx.errors import JobError, JobFieldError, OutputError, StitError, UnknownDirectionError
from stit_vfx.learning.samples import read_samples
from stit_vfx.packs.load import load_pack


def invoke(*args: object) -> Result:
    words = ["directions", *map(str, args), "--device", "cpu", "--events", "none"]
    return CliRunner().invoke(stit, words, standalone_mode=False)


def refused(*args: object) -> StitError:
    error = invoke(*args).exception
    assert isinstance(error, StitError), error
    return error


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, pack: Any, truth: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "faces"
    made = invoke(
        "sample", "--pack", pack.folder, "--count", 80, "--seed", 3, "--column", "hat", "--out", folder
    )
    assert made.exception is None
    value = side(read_samples(folder), truth)
    return fill_table(folder / "labels.csv", {"hat": np.where(value > 0, "yes", "no")}).parent


def test_from_nothing_to_a_sheet(own_pack: Path, faces: Path, tmp_path: Path) -> None:
    labels = f"{faces / 'labels.csv'}:hat"
    common = ("--pack", own_pack, "--samples", faces, "--labels", labels, "--save-to", own_pack)
    told = invoke("learn", "hat", *common, "--title", "Hat", "--orthogonal-to", "smile")
    assert told.exception is None
    assert "ROC AUC" in told.output
    assert "held-out samples; 0.5 is chance" in told.output
    assert invoke("learn", "channels", *common, "--space", "style", "--channels", 12).exception is None
    machine = invoke("learn", "bend", *common, "--method", "transformer", "--json")
    measured = json.loads(machine.output)
    assert measured["held_out"] == 16
    assert measured["saved"] == str(own_pack / "pack.json")
    assert set(load_pack(own_pack).directions) >= {"hat", "channels", "bend"}
    sheet = tmp_path / "sheet.png"
    names = ("hat", "channels", "bend")
    shown = invoke("preview", *names, "--pack", own_pack, "--samples", faces, "--count", 2, "--out", sheet)
    assert shown.exception is None
    with Image.open(sheet) as image:
        picture = np.asarray(image.convert("RGB"))
    # Three directions, two faces each, five strengths, each picture 192 px and its label 26 px.
    assert picture.shape[1] == 5 * (192 + 8) + 8
    assert picture.shape[0] > 6 * (192 + 26)
    alone = tmp_path / "alone.png"
    drawn = invoke("preview", "hat", "--pack", own_pack, "--count", 1, "--strengths=-1,0.5", "--out", alone)
    assert drawn.exception is None
    with Image.open(alone) as image:
        assert image.size[0] == 2 * (192 + 8) + 8


def test_columns_of_a_sheet_show_what_a_run_would_do(own_pack: Path, faces: Path, tmp_path: Path) -> None:
    from stit_vfx.learning.drawing import as_8bit
    from stit_vfx.learning.ruler import render

    sheet = tmp_path / "sheet.png"
    words = ("--pack", own_pack, "--samples", faces, "--count", 1, "--strengths", "0,1", "--out", sheet)
    assert invoke("preview", "smile", *words).exception is None
    with Image.open(sheet) as image:
        picture = np.asarray(image.convert("RGB")).astype(float)
    pack, samples = load_pack(own_pack), read_samples(faces)
    for place, strength in enumerate((0.0, 1.0)):
        expected = as_8bit(render(pack.model, samples.ws[0], pack.directions["smile"], strength))
        large = np.asarray(Image.fromarray(expected).resize((192, 192), Image.Resampling.LANCZOS)).astype(
            float
        )
        left = 8 + place * 200
        rows = [
            np.abs(picture[y : y + 192, left : left + 192] - large).mean() for y in range(len(picture) - 191)
        ]
        assert min(rows) < 1e-6


def test_a_picture_of_a_face_goes_through_the_pipeline(own_pack: Path, tmp_path: Path) -> None:
    from skimage import data

    image, sheet = tmp_path / "astronaut.png", tmp_path / "sheet.png"
    Image.fromarray(data.astronaut()[:300, 80:380]).save(image)
    shown = invoke(
        "preview", "smile", "--pack", own_pack, "--image", image, "--strengths", "0,1", "--out", sheet
    )
    assert shown.exception is None
    with Image.open(sheet) as opened:
        picture = np.asarray(opened.convert("RGB")).astype(float)
    before, after = picture[60:200, 8:200], picture[60:200, 208:400]
    assert 1 < np.abs(before - after).mean() < 100


def test_a_new_pack_is_a_copy_with_the_direction(pack: Any, faces: Path, tmp_path: Path) -> None:
    labels = f"{faces / 'labels.csv'}:hat"
    words = ("--pack", pack.folder, "--samples", faces, "--labels", labels)
    terms = ("--licence", "CC0-1.0", "--commercial", "yes")
    assert invoke("learn", "hat", *words, "--new-pack", tmp_path / "fresh", *terms).exception is None
    fresh = load_pack(tmp_path / "fresh")
    assert fresh.name == "fresh"
    assert fresh.spec.commercial_use == "yes"
    assert "hat" not in load_pack(pack.folder).directions
    assert isinstance(refused("learn", "hat", *words, "--new-pack", tmp_path / "fresh"), OutputError)


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        ((), JobError, "either --labels or --measure"),
        (("--labels", "L:hat", "--measure", "smile"), JobError, "either --labels or --measure"),
        (("--labels", "labels.csv"), JobFieldError, "is not FILE:COLUMN"),
        (("--labels", "L:cap"), JobFieldError, "no column 'cap'"),
        (("--labels", "nowhere.csv:hat"), JobError, "there is no such file"),
        (("--measure", "smiles"), JobFieldError, "Did you mean smile"),
        (("--labels", "L:hat", "--keep", "yaw"), JobFieldError, "only transformers keep"),
        (("--labels", "L:hat", "--save-to", "builtin"), OutputError, "came with the engine"),
        (("--labels", "L:hat", "--new-pack", "a b"), JobFieldError, "no name for a pack"),
        (("--labels", "L:hat", "--save-to", "x", "--new-pack", "y"), JobError, "not both"),
        (("--labels", "L:hat", "--layers", "0-9"), JobFieldError, "layers 0 to 7"),
        (("--labels", "L:hat", "--layers", "-2"), JobFieldError, "goes below 0"),
        (("--labels", "L:hat", "--orthogonal-to", "grin"), UnknownDirectionError, "no direction 'grin'"),
    ],
)
def test_words_that_cannot_be_followed_are_refused(
    pack: Any, faces: Path, words: tuple[str, ...], kind: type[Exception], told: str
) -> None:
    words = tuple(word.replace("L:", f"{faces / 'labels.csv'}:") for word in words)
    error = refused("learn", "hat", "--pack", pack.folder, "--samples", faces, *words)
    assert isinstance(error, kind)
    assert told in str(error)


def test_other_refusals(pack: Any, faces: Path, tmp_path: Path) -> None:
    labels = ("--samples", faces, "--labels", f"{faces / 'labels.csv'}:hat")
    assert "no name for a direction" in str(refused("learn", "a hat", "--pack", pack.folder, *labels))
    assert "generator is another" in str(refused("learn", "hat", "--pack", "builtin", *labels))
    preview = ("--out", tmp_path / "s.png", "--pack", pack.folder)
    assert "no direction 'grin'" in str(refused("preview", "grin", *preview))
    assert "goes from -1 to 1, not to 3" in str(refused("preview", "smile", *preview, "--strengths", "3"))
    assert "no list of numbers" in str(refused("preview", "smile", *preview, "--strengths", "a"))
    assert "Give --image" in str(
        refused("preview", "smile", "--out", tmp_path / "s.png", "--pack", "builtin")
    )
    assert "with --images" in str(refused("sample", "--pack", "builtin", "--out", tmp_path / "b"))
    assert not list(tmp_path.glob("*"))
