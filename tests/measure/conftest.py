from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[1] / "data" / "vectors"


@pytest.fixture(scope="session")
def landmarks():
    """(68, 2) landmarks of one upright frontal face."""
    with np.load(DATA / "align.npz") as arrays:
        return arrays["landmarks"][0]


@pytest.fixture(scope="session")
def identity_vectors():
    """Embeddings of a source and an edit with TL-ID and TG-ID worked out elsewhere."""
    with np.load(DATA / "arcface_io.npz") as arrays:
        names = ("tracks_src", "tracks_edit", "TL_ID", "TG_ID", "tl_src", "tg_src")
        return {name: arrays[name] for name in names}
