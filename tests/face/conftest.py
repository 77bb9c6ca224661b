from pathlib import Path

import numpy as np
import pytest

from stit_vfx.face.detect import Detection, overlap, square_of

VECTORS = Path(__file__).parents[1] / "data" / "vectors" / "align.npz"


@pytest.fixture(scope="session")
def published():
    """Alignment by the published pipeline: landmarks, axes, quads, coefficients, a crop."""
    with np.load(VECTORS) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def astronaut():
    """Eileen Collins, NASA, public domain; her face is 92 px wide at (226, 126)."""
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="session")
def dlib_finder():
    from stit_vfx.face.dlib_backend import DlibFinder

    return DlibFinder()


class PaintedFinder:
    """Finds squares of colour (200, k, 0) as the face of person k: exact, fast, and sure of who is who."""

    name, licence = "painted", "none"

    def __init__(self, template):
        self.sha256 = {"painted.dat": "0" * 64}
        square = square_of(template)
        self._template = (template - square.centre) / square.side
        self.searches = 0

    def find(self, image8, *, describe=True):
        self.searches += 1
        red = image8[..., 0] == 200
        return [self._one(image8, person, describe) for person in np.unique(image8[..., 1][red])]

    def _one(self, image8, person, describe):
        ys, xs = np.nonzero((image8[..., 0] == 200) & (image8[..., 1] == person))
        side = max(np.ptp(xs), np.ptp(ys)) + 1.0
        centre = np.array([xs.min() + xs.max(), ys.min() + ys.max()]) / 2
        landmarks = self._template * side + centre
        who = self.describe(image8, landmarks) if describe else None
        return Detection(box=square_of(landmarks).box, score=1.0, landmarks=landmarks, descriptor=who)

    def follow(self, image8, landmarks):
        box = square_of(landmarks).box
        near = [d for d in self.find(image8, describe=False) if overlap(d.box, box) > 0.3]
        return max(near, key=lambda d: overlap(d.box, box), default=None)

    def describe(self, image8, landmarks):
        x, y = square_of(landmarks).centre
        height, width = image8.shape[:2]
        person = image8[min(max(round(y), 0), height - 1), min(max(round(x), 0), width - 1), 1]
        return np.eye(128, dtype=np.float32)[person]


@pytest.fixture
def painted_finder(published):
    return PaintedFinder(published["landmarks"][0])


@pytest.fixture
def paint():
    """paint({person: (x, y)}, side=40, ground=60) is a frame with a square at each centre."""

    def painted(people, *, side=40, ground=60, size=(180, 320)):
        image8 = np.full((*size, 3), ground, dtype=np.uint8)
        for person, (x, y) in people.items():
            x0, y0 = round(x - side / 2), round(y - side / 2)
            image8[max(y0, 0) : y0 + side, max(x0, 0) : x0 + side] = (200, person, 0)
        return image8

    return painted
