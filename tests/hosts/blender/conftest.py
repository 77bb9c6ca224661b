"""Fixtures of the Blender add-on's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from blender_host import DEFAULT_HOST, PROJECT, Host, installed_module, wheels, why_no_module


@pytest.fixture(scope="session")
def host() -> Host:
    """The Blender that is tested by default."""
    if DEFAULT_HOST is None:
        pytest.skip("no Blender here: install one, or set STIT_BLENDER or STIT_BPY_PYTHONS")
    return DEFAULT_HOST


@pytest.fixture(scope="session")
def any_blender() -> Host:
    """A real Blender that costs no one anything to have: the module, else whichever is here."""
    found = installed_module() or DEFAULT_HOST
    if found is None:
        pytest.skip(f"no Blender here: {why_no_module()}")
    return found


@pytest.fixture(scope="session")
def executable(host: Host) -> Host:
    """A Blender that is a program: only it has a command line."""
    if host.wheel:
        pytest.skip("a bpy wheel has no command line")
    return host


@pytest.fixture(scope="session", params=[pytest.param(w, id=w.name) for w in wheels()] or [None])
def wheel(request: pytest.FixtureRequest) -> Host:
    if request.param is None:
        pytest.skip("no bpy wheel here: set STIT_BPY_PYTHONS to Pythons that have one")
    return request.param


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree's engine, as a studio would wrap one: a script that sets what the engine needs."""
    script = tmp_path_factory.mktemp("engine") / "stit"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={PROJECT} OMP_NUM_THREADS=1 exec {sys.executable} -m stit_vfx "$@"\n'
    )
    script.chmod(0o755)
    return script


@pytest.fixture(scope="session")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four EXR frames of the demo shot, 1001-1004, without metadata about their colours."""
    from stit_vfx.demo import write_plate

    folder = tmp_path_factory.mktemp("plate")
    write_plate(folder, frames=(1001, 1002, 1003, 1004))
    return folder
