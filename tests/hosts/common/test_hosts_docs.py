"""What the hosts' pages tell people to type is understood by the command line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import List, Tuple

import pytest
from stit_vfx.cli import COMMANDS, stit
from stit_vfx.errors import WARNINGS

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted((ROOT / "docs" / "hosts").glob("*.md"))


def commands(page: Path) -> List[str]:
    """Lines in code blocks that begin with `stit`, without comments."""
    blocks = re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.match(r"stit [a-z]", line)]


TYPED: List[Tuple[str, str]] = [(page.name, line) for page in PAGES for line in commands(page)]


def test_there_is_something_to_look_at() -> None:
    assert {"farm.md", "comfyui.md"} <= {page.name for page in PAGES}
    assert len([line for page, line in TYPED if page == "farm.md"]) >= 4


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_a_command_of_a_page_is_one_of_ours(page: str, line: str, tmp_path: Path) -> None:
    here = tmp_path / "job.json"
    here.write_text("{}")
    # A file that a command wants to exist is one that does.
    words = [str(here) if word.endswith(".json") else word for word in shlex.split(line)][1:]
    assert words[0] in COMMANDS
    command = stit.get_command(None, words[0])  # type: ignore[arg-type]
    assert command is not None
    assert command.make_context(words[0], words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_error_codes_and_links_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    tree = (ROOT / "stit_vfx" / "errors.py").read_text()
    host = (ROOT / "host_plugins" / "common" / "stit_session" / "trouble.py").read_text()
    for code in set(re.findall(r"STIT-[A-Z]\d{3}", text)):
        assert code in tree or code in host or code in WARNINGS, code
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        if target not in ("blender.md", "nuke.md"):
            assert (page.parent / target).exists(), target
