"""The table that a person fills in, and what is wrong with it in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stit_vfx.errors import JobError, JobFieldError
from stit_vfx.learning.labels import read_column, read_table
from stit_vfx.learning.samples import write_labels

FILES = ("a.png", "b.png", "c.png", "d.png")


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode("utf-8"))
    return path


def rows(*cells: str) -> str:
    return "file,label\n" + "".join(f"{file},{cell}\n" for file, cell in zip(FILES, cells, strict=False))


@pytest.mark.parametrize(
    ("cells", "values", "kind"),
    [
        (("yes", "no", "", "YES "), [1, 0, np.nan, 1], "binary"),
        (("1", "0", "0", "1"), [1, 0, 0, 1], "binary"),
        (("x", "n", "false", "true"), [1, 0, 0, 1], "binary"),
        (("3", "7", "7", ""), [0, 1, 1, np.nan], "binary"),
        (("20", "31.5", "-4", "20"), [20, 31.5, -4, 20], "numeric"),
        (("yes", "yes", "yes", ""), [1, 1, 1, np.nan], "binary"),
    ],
)
def test_cells_are_classes_or_numbers(tmp_path: Path, cells: Any, values: Any, kind: str) -> None:
    found = read_column(table(tmp_path, rows(*cells)), "label", FILES)
    np.testing.assert_array_equal(found.values, values)
    assert found.kind == kind


def test_other_words_need_to_know_which_is_more(tmp_path: Path) -> None:
    path = table(tmp_path, rows("old", "young", "young", "old"))
    with pytest.raises(JobFieldError, match=r"old or young does not say which is more\. Add --positive"):
        read_column(path, "label", FILES)
    found = read_column(path, "label", FILES, positive="Old")
    assert found.values.tolist() == [1, 0, 0, 1]
    assert (found.positive, found.negative) == ("old", "young")


def test_rows_come_in_any_order_and_spelling_of_spreadsheets(tmp_path: Path) -> None:
    text = "\ufefflabel;file\r\n2,5;d.png\r\n0,5;a.png\r\n;c.png\r\n1,5;b.png\r\n"
    found = read_column(table(tmp_path, text), "label", FILES)
    np.testing.assert_array_equal(found.values, [0.5, 1.5, np.nan, 2.5])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rows("yes", "no", "yes"), "has no row for d.png"),
        ("file,label\na.png,yes\n", "no row for b.png and 2 more"),
        (rows("yes", "no", "yes", "no") + "e.png,yes\n", "row for e.png, which is no sample"),
        (rows("yes", "no", "yes", "no") + "a.png,yes\n", "two rows for a.png"),
        (rows("nan", "1", "2", "3"), "'nan' is no number"),
        (rows("inf", "1", "2", "3"), "'inf' is no number"),
        (rows("yes", "no", "maybe", "no"), "'maybe' is neither a number nor one of two words"),
        (rows("", "", "", ""), "column label is empty"),
        ("file,lable\na.png,1\n", "no column 'label'. Did you mean lable"),
    ],
)
def test_a_table_that_does_not_say_enough_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(JobFieldError, match=words):
        read_column(table(tmp_path, text), "label", FILES)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"name,label\na.png,1\n", "column called file"),
        (b"file,file\na.png,1\n", "no name twice"),
        (b"", "column called file"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b'file,label\n"a.png,1\n', "is no table"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(JobError, match=words):
        read_table(tmp_path / "labels.csv")
    with pytest.raises(JobError, match="no such file"):
        read_table(tmp_path / "other.csv")


def test_rows_are_added_and_filled_cells_stay(tmp_path: Path) -> None:
    path = table(tmp_path, "file;label;mine\nb.png;yes;7\n")
    write_labels(path, FILES, ("label",))
    told = read_table(path)
    assert told.columns == ("file", "label", "mine")
    assert [dict(row) for row in told.rows[:2]] == [
        {"file": "b.png", "label": "yes", "mine": "7"},
        {"file": "a.png", "label": "", "mine": ""},
    ]
    before = path.stat().st_mtime_ns
    write_labels(path, FILES, ("label",))
    assert path.stat().st_mtime_ns == before
