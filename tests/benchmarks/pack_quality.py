"""How good a pack's edits are: numbers, and a page of pictures to look at.

python tests/benchmarks/pack_quality.py --out FOLDER [--source ICT-FaceKit] [--quick] [--faces a,b]

Measures real portraits (fetched once, `faces.py`) and, with `--source`, drawn heads whose edits are known
exactly. What has been measured is not measured again: the run may be cut off and goes on, and several may
share the work. docs/benchmark.md says what the numbers mean.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import click
import numbers_of as measure
import numpy as np
import seen
from cooking import FULL, PLAIN, QUICK, Cooked, Effort, Kitchen
from faces import NAMES, portrait
from report import CLIPS, draw_sheets, name_of, not_monotonic, table_of
from sheets import difference8, eyes_window, face_window, mouth_window, page
from shots import TRUTHS, Shot, head_names, portrait_shot, talking_head

from stit_vfx.atomic import atomic_bytes, atomic_write
from stit_vfx.face.detect import FaceFinder, make_finder
from stit_vfx.face.dlib_backend import DlibFinder

Array = np.ndarray

STRENGTHS = "-1,-0.8,-0.4,0.4,0.8,1"


@dataclass
class Bench:
    """Where things are and how much work goes into them."""

    out: Path
    pack: str
    effort: Effort

    @cached_property
    def judge(self) -> DlibFinder:
        """Who measures."""
        return DlibFinder()

    @cached_property
    def reader(self) -> FaceFinder:
        """Who gives a second opinion on stills: the engine's own, trained by this project on drawn faces."""
        return make_finder("builtin")

    @cached_property
    def finder(self) -> FaceFinder:
        """Who finds faces for the engine."""
        return make_finder()

    def kept(self, name: str) -> dict[str, Any] | None:
        """A measurement that is on disk."""
        path = self.out / "items" / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def keep(self, name: str, numbers: Mapping[str, Any], pictures: Mapping[str, Array]) -> None:
        """Put a measurement on disk; its pictures first."""
        folder = self.out / "items"
        atomic_write(folder / f"{name}.npz", lambda part: np.savez(part, **pictures))
        atomic_bytes(folder / f"{name}.json", json.dumps(numbers).encode())

    def pictures(self, name: str) -> dict[str, Array] | None:
        if self.kept(name) is None:
            return None
        with np.load(self.out / "items" / f"{name}.npz") as stored:
            return dict(stored)


@dataclass(frozen=True)
class Work:
    """One measurement: what it is called on disk, and how it is made."""

    name: str
    make: Callable[[], tuple[dict[str, Any], dict[str, Array]]]


class Station:
    """One shot and all that is measured of it. Nothing is drawn, opened or looked for before it is needed."""

    def __init__(self, bench: Bench, name: str, shot: Callable[[], Shot], truths: Sequence[str] = ()) -> None:
        self.bench, self.name, self.truths, self._make_shot = bench, name, tuple(truths), shot

    @cached_property
    def shot(self) -> Shot:
        return self._make_shot()

    @cached_property
    def kitchen(self) -> Kitchen:
        bench = self.bench
        return Kitchen(
            self.shot, bench.out / "renders", effort=bench.effort, pack=bench.pack, finder=bench.finder
        )

    def reconstruction(self) -> Work:
        return Work(f"{self.name}_reconstruction", self._reconstruction)

    def truth(self, key: str) -> Work:
        return Work(f"{self.name}_truth_{key}", partial(self._truth, key))

    def still(self, direction: str, strength: float) -> Work:
        """The first frame."""
        return Work(name_of(self.name, direction, strength), partial(self._still, direction, strength))

    def clip(self, direction: str, strength: float) -> Work:
        """All frames."""
        return Work(name_of(self.name, direction, strength, "clip"), partial(self._clip, direction, strength))

    def _reconstruction(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """How near the generator's picture is to the crop, after invert and after tune."""
        found = self.kitchen.reconstructions()
        numbers: dict[str, Any] = {"shot": self.name}
        for step in ("invert", "tune"):
            numbers[step] = {
                "psnr": measure.psnr(found[step], found["crop"]),
                "unlikeness": measure.unlikeness(found[step], found["crop"]),
                "seen": seen.distance(found[step], found["crop"]),
            }
        return numbers, {key: np.rint(np.clip(p, 0, 1) * 255).astype(np.uint8) for key, p in found.items()}

    def _still(self, direction: str, strength: float) -> tuple[dict[str, Any], dict[str, Array]]:
        cooked = self.kitchen.cook({direction: strength}, self.shot.frames[:1])
        numbers, windows = self._edit(direction, strength, cooked)
        near = self._plate_marks(1)
        read = [measure.landmarks(self.bench.reader, p, near) for p in (cooked.plate8, cooked.edit8)]
        numbers["change_by_reader"] = measure.moved(*read)
        whole = {"plate": cooked.plate8[0], "edit": cooked.edit8[0]}
        return numbers, {
            f"{k}{part}": p[window] for k, p in whole.items() for part, window in windows.items()
        }

    def _clip(self, direction: str, strength: float) -> tuple[dict[str, Any], dict[str, Array]]:
        cooked = self.kitchen.cook({direction: strength})
        numbers, windows = self._edit(direction, strength, cooked)
        pairs = {"plate_step": cooked.plate_code[:2], "edit_step": cooked.edit_code[:2]}
        return numbers, {key: difference8(*pair)[windows[""]] for key, pair in pairs.items()}

    def _edit(
        self, direction: str, strength: float, cooked: Cooked
    ) -> tuple[dict[str, Any], dict[str, tuple[slice, slice]]]:
        """The numbers of an edit, and the windows of its first frame that are worth a look."""
        before = self._plate_marks(len(cooked.plate8))
        after = measure.landmarks(self.bench.judge, cooked.edit8, before)
        change = measure.moved(before, after)
        own = self._plate_descriptors(len(cooked.plate8))
        numbers = {
            "shot": self.name,
            "direction": direction,
            "strength": strength,
            "change": change,
            "effect": measure.effect(cooked.plate_code, cooked.edit_code, cooked.matte),
            "leakage": measure.leakage(direction, change),
            "identity": measure.identity(own, measure.descriptors(self.bench.judge, cooked.edit8, after)),
            "steadiness": measure.steadiness(before, after),
            "detail": measure.detail(cooked.plate_code, cooked.edit_code, cooked.matte),
            "shape": {"mouth_width": _mouth_width(before), "corner_lift": 0.0},
        }
        face = face_window(before[0], cooked.plate8.shape[1:3])
        return numbers, {"": face, "_mouth": mouth_window(before[0]), "_eyes": eyes_window(before[0])}

    @cached_property
    def _found(self) -> tuple[list[Array], list[Array]]:
        """Landmarks and descriptors of the plate's frames, as far as they were asked for."""
        return [], []

    def _plate_marks(self, count: int) -> Array:
        return np.stack(self._plate_faces(count)[0][:count])

    def _plate_descriptors(self, count: int) -> Array:
        return np.stack(self._plate_faces(count)[1][:count])

    def _plate_faces(self, count: int) -> tuple[list[Array], list[Array]]:
        marks, own = self._found
        for picture in self.kitchen.plate8(self.shot.frames[len(marks) : count]):
            marks.append(measure.landmarks(self.bench.judge, picture[None])[0])
            own.append(measure.descriptors(self.bench.judge, picture[None], marks[-1][None])[0])
        return marks, own

    def _truth(self, key: str) -> tuple[dict[str, Any], dict[str, Array]]:
        """An edit of a drawn head against the same head drawn with it, where the matte is full."""
        from stit_vfx.plate.colour import CodeSpace
        from stit_vfx.plate.source import open_plate

        direction, strength = key.split("=")
        cooked = self.kitchen.cook({direction: float(strength)}, self.shot.frames[:1])
        plate = open_plate(self.shot.truth[key])
        space, light = CodeSpace.of(plate.colour), plate.read(self.shot.frames[0]).rgb()
        truth, inside, judge = space.encode(light), cooked.matte[0] > 0.99, self.bench.judge
        before = self._plate_marks(1)
        after = measure.landmarks(judge, cooked.edit8, before)
        drawn = measure.landmarks(judge, space.to_display8(light)[None], before)
        numbers = {
            "shot": self.name,
            "edit": key,
            "psnr": measure.psnr(cooked.edit_code[0], truth, inside),
            "psnr_of_plate": measure.psnr(cooked.plate_code[0], truth, inside),
            "change": measure.moved(before, after),
            "change_of_truth": measure.moved(before, drawn),
        }
        whole = {"plate": cooked.plate8[0], "edit": cooked.edit8[0], "truth": space.to_display8(light)}
        face = face_window(before[0], inside.shape)
        return numbers, {key: picture[face] for key, picture in whole.items()}


def _mouth_width(points: Array) -> float:
    from stit_vfx.measure.edits import face_shape

    return float(np.mean(face_shape(points).mouth_width))


def stations_of(bench: Bench, faces: Sequence[str], source: Path | None, heads: int) -> list[Station]:
    """A station per shot."""
    plates = bench.out / "plates"

    def filmed(name: str) -> Shot:
        return portrait_shot(portrait(name, bench.out / "cache"), plates / name, bench.judge)

    stations = [Station(bench, name, partial(filmed, name)) for name in faces]
    if source is not None:
        for index, name in enumerate(head_names(heads)):
            drawn = partial(talking_head, source, plates / name, index)
            stations.append(Station(bench, name, drawn, TRUTHS))
    return stations


def works_of(station: Station, edits: Mapping[str, Sequence[float]], *, clips: bool) -> list[Work]:
    """All that is measured of a shot, in the order of the report."""
    return [
        station.reconstruction(),
        *(station.truth(key) for key in station.truths),
        *(station.clip(*clip) for clip in CLIPS if clips),
        *(station.still(direction, strength) for direction, some in edits.items() for strength in some),
    ]


def measure_share(
    bench: Bench, plan: Sequence[tuple[Station, Sequence[Work]]], worker: int, workers: int
) -> None:
    """Measure what is missing: every `workers`th shot first, then, from their ends, those of the others that
    are tuned already. Two processes that meet at one measurement write the same."""

    def run(work: Work, station: Station) -> None:
        if bench.kept(work.name) is None:
            started = time.time()
            bench.keep(work.name, *work.make())
            click.echo(f"{work.name}: {time.time() - started:.1f} s")

    for station, works in plan[worker::workers]:
        for work in works:
            run(work, station)
    for number, (station, works) in enumerate(plan):
        if number % workers != worker and bench.kept(station.reconstruction().name) is not None:
            for work in reversed(works):
                run(work, station)


def strengths_of(span: tuple[float, float], strengths: str = STRENGTHS) -> tuple[float, ...]:
    """Those of a list of strengths that a direction's range has."""
    return tuple(s for s in map(float, strengths.split(",")) if span[0] <= s <= span[1])


def worker_share(text: str) -> tuple[int, int]:
    """(worker, workers) from text such as 0/2."""
    worker, _, workers = text.partition("/")
    return int(worker), int(workers)


def write_report(
    bench: Bench, plan: Sequence[tuple[Station, Sequence[Work]]], edits: Mapping[str, Sequence[float]]
) -> str:
    """results.json, results.md, the sheets and index.html from what is on disk; the tables."""
    from stit_vfx.packs.load import load_pack

    kinds: dict[str, list[dict[str, Any]]] = {"results": [], "reconstruction": [], "truth": []}
    for _, works in plan:
        for work in works:
            numbers = bench.kept(work.name)
            assert numbers is not None
            kind = "truth" if "edit" in numbers else "results" if "change" in numbers else "reconstruction"
            kinds[kind].append(numbers)
    table = table_of(kinds["results"], kinds["reconstruction"], kinds["truth"])
    told = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": _versions(),
        "pack": {"name": bench.pack, "sha256": load_pack(bench.pack).spec.sha256},
        "effort": bench.effort.name,
        **kinds,
        "not_monotonic": list(not_monotonic(kinds["results"])),
    }
    (bench.out / "results.json").write_text(json.dumps(told, indent=1))
    (bench.out / "results.md").write_text(table)
    shots = {station.name: station.truths for station, _ in plan}
    made = draw_sheets(bench.pictures, shots, edits, bench.out)
    click.echo(f"Pictures: {page(bench.out, 'Pack quality', table, made)}")
    return table


def _versions() -> dict[str, str]:
    """What the numbers depend on."""
    import cv2
    import torch

    import stit_vfx

    return {
        "stit": stit_vfx.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "opencv": cv2.__version__,
    }


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="folder for everything")
@click.option("--faces", default=",".join(NAMES), show_default=True, help="which portraits")
@click.option("--source", type=click.Path(path_type=Path), help="face model, for drawn heads")
@click.option("--heads", default=3, show_default=True, help="how many drawn heads")
@click.option("--pack", default="builtin", show_default=True)
@click.option("--edits", default="", help="which directions; default: all of the pack")
@click.option("--strengths", default=STRENGTHS, show_default=True)
@click.option("--clips/--stills", default=True, show_default=True, help="measure clips too, or stills alone")
@click.option("--plain-stills", is_flag=True, help="stills are not stitched; clips are")
@click.option("--quick", is_flag=True, help="short tuning and no stitching")
@click.option("--worker", default="", help="0/2: measure this share, and leave the report to a run without")
def main(
    out: Path,
    faces: str,
    source: Path | None,
    heads: int,
    pack: str,
    edits: str,
    strengths: str,
    clips: bool,
    plain_stills: bool,
    quick: bool,
    worker: str,
) -> None:
    """Measure a pack's edits."""
    from stit_vfx.packs.load import load_pack

    if worker:
        one_thread()
    bench = Bench(out, pack, QUICK if quick else PLAIN if plain_stills else FULL)
    known = load_pack(pack).directions
    chosen = {n: strengths_of(known[n].range, strengths) for n in (edits.split(",") if edits else known)}
    stations = stations_of(bench, list(filter(None, faces.split(","))), source, heads)
    plan = [(station, works_of(station, chosen, clips=clips)) for station in stations]
    measure_share(bench, plan, *worker_share(worker or "0/1"))
    if not worker:
        click.echo(write_report(bench, plan, chosen))


def one_thread() -> None:
    """Processes share the cores: threads of theirs would only wait for each other."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


if __name__ == "__main__":
    main()
