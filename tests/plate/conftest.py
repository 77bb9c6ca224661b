from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stit_vfx.plate.colour import CodeSpace, load_config, resolve_space


@pytest.fixture(autouse=True)
def _no_ocio_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    monkeypatch.delenv("STIT_MAX_PIXELS", raising=False)


@pytest.fixture(scope="session")
def ocio() -> Any:
    return load_config("ocio://studio-config-v4.0.0_aces-v2.0_ocio-v2.5")


@pytest.fixture(scope="session")
def acescg(ocio: Any) -> CodeSpace:
    return CodeSpace.of(resolve_space({}, "plate.exr", override="acescg", config=ocio))


@pytest.fixture(scope="session")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from plates import nasty_files

    return nasty_files(tmp_path_factory.mktemp("nasty"))
