"""How good a pack's edits are: numbers, and a page of pictures to look at.

python tests/benchmarks/pack_quality.py --out FOLDER [--source ICT-FaceKit] [--quick] [--faces a,b]

Measures real portraits (fetched once, `faces.py`) and, with `--source`, drawn heads whose edits are known
exactly. What has been measured is not measured again: the run may be cut off and goes on. docs/benchmark.md
says what the numbers mean.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numbers_of as measure
import numpy as np
from cooking import FULL, QUICK, Cooked, Effort, cook, reconstructions
from faces import NAMES, portrait
from sheets import difference8, eyes_window, face_window, labelled, mouth_window, page, sheet, tile
from shots import Shot, portrait_shot, talking_heads

from stit_vfx.face.dlib_backend import DlibFinder

Array = np.ndarray

STRENGTHS = "-1,-0.8,-0.4,0.4,0.8,1"
CLIPS = (("smile", 0.8), ("smile", -0.8), ("age", 0.6), ("age", -0.6))
_TILE = 220


@dataclass(frozen=True)
class Bench:
    """Where things are and how much work goes into them."""

    out: Path
    pack: str
    effort: Effort
    finder: DlibFinder

    def kept(self, name: str) -> dict[str, Any] | None:
        """A measurement that is on disk."""
        path = self.out / "items" / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def keep(self, name: str, numbers: dict[str, Any], pictures: dict[str, Array]) -> dict[str, Any]:
        """Put a measurement on disk; its pictures first."""
        folder = self.out / "items"
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{name}.npz", **pictures)
        (folder / f"{name}.part").write_text(json.dumps(numbers))
        (folder / f"{name}.part").replace(folder / f"{name}.json")
        return numbers

    def pictures(self, name: str) -> dict[str, Array]:
        with np.load(self.out / "items" / f"{name}.npz") as stored:
            return dict(stored)

    def cook(self, shot: Shot, edits: dict[str, float], frames: tuple[int, ...] | None = None) -> Cooked:
        return cook(shot, edits, self.out / "renders", frames=frames, effort=self.effort, pack=self.pack)


def name_of(shot: Shot, direction: str, strength: float, kind: str = "still") -> str:
    return f"{shot.name}_{kind}_{direction}_{strength:+.1f}"


def measure_edit(bench: Bench, shot: Shot, direction: str, strength: float, *, clip: bool) -> dict[str, Any]:
    """One edit at one strength, on the first frame or on the whole shot."""
    name = name_of(shot, direction, strength, "clip" if clip else "still")
    if (known := bench.kept(name)) is not None:
        return known
    cooked = bench.cook(shot, {direction: strength}, None if clip else shot.frames[:1])
    before = measure.landmarks(bench.finder, cooked.plate8)
    after = measure.landmarks(bench.finder, cooked.edit8, before)
    change = measure.moved(before, after)
    numbers = {
        "shot": shot.name,
        "direction": direction,
        "strength": strength,
        "change": change,
        "effect": measure.effect(cooked.plate_code, cooked.edit_code, cooked.matte),
        "leakage": measure.leakage(direction, change),
        "identity": measure.identity(bench.finder, cooked.plate8, cooked.edit8, before, after),
        "steadiness": measure.steadiness(before, after),
        "detail": measure.detail(cooked.plate_code, cooked.edit_code, cooked.matte),
        "shape": {"mouth_width": _mouth_width(before), "corner_lift": 0.0},
    }
    face = face_window(before[0], cooked.plate8.shape[1:3])
    windows = {"": face, "_mouth": mouth_window(before[0]), "_eyes": eyes_window(before[0])}
    seen = {"plate": cooked.plate8[0], "edit": cooked.edit8[0]}
    pictures = {f"{k}{part}": p[window] for k, p in seen.items() for part, window in windows.items()}
    if clip:
        first, second = (cooked.plate_code[k][face] for k in (0, 1))
        pictures["plate_step"] = difference8(first, second)
        first, second = (cooked.edit_code[k][face] for k in (0, 1))
        pictures["edit_step"] = difference8(first, second)
    return bench.keep(name, numbers, pictures)


def _mouth_width(points: Array) -> float:
    from stit_vfx.measure.edits import face_shape

    return float(np.mean(face_shape(points).mouth_width))


def measure_reconstruction(bench: Bench, shot: Shot) -> dict[str, Any]:
    """PSNR and unlikeness of the generator's picture to the crop, after invert and after tune."""
    name = f"{shot.name}_reconstruction"
    if (known := bench.kept(name)) is not None:
        return known
    found = reconstructions(shot, bench.out / "renders", effort=bench.effort, pack=bench.pack)
    numbers: dict[str, Any] = {"shot": shot.name}
    for step in ("invert", "tune"):
        numbers[step] = {
            "psnr": measure.psnr(found[step], found["crop"]),
            "unlikeness": measure.unlikeness(found[step], found["crop"]),
        }
    pictures = {key: np.rint(np.clip(value, 0, 1) * 255).astype(np.uint8) for key, value in found.items()}
    return bench.keep(name, numbers, pictures)


def measure_truth(bench: Bench, shot: Shot, key: str, pattern: str) -> dict[str, Any]:
    """An edit of a drawn head against the same head drawn with it, where the matte is full."""
    from stit_vfx.plate.colour import CodeSpace
    from stit_vfx.plate.source import open_plate

    name = f"{shot.name}_truth_{key}"
    if (known := bench.kept(name)) is not None:
        return known
    direction, strength = key.split("=")
    cooked = bench.cook(shot, {direction: float(strength)}, shot.frames[:1])
    plate = open_plate(pattern)
    space, light = CodeSpace.of(plate.colour), plate.read(shot.frames[0]).rgb()
    truth, inside = space.encode(light), cooked.matte[0] > 0.99
    before = measure.landmarks(bench.finder, cooked.plate8)
    after = measure.landmarks(bench.finder, cooked.edit8, before)
    drawn = measure.landmarks(bench.finder, space.to_display8(light)[None], before)
    numbers = {
        "shot": shot.name,
        "edit": key,
        "psnr": measure.psnr(cooked.edit_code[0], truth, inside),
        "psnr_of_plate": measure.psnr(cooked.plate_code[0], truth, inside),
        "change": measure.moved(before, after),
        "change_of_truth": measure.moved(before, drawn),
    }
    face = face_window(before[0], inside.shape)
    pictures = {
        "plate": cooked.plate8[0][face],
        "edit": cooked.edit8[0][face],
        "truth": space.to_display8(light)[face],
    }
    return bench.keep(name, numbers, pictures)


# the report -------------------------------------------------------------------------------------------------


def must_show(results: list[dict[str, Any]], truths: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    """What the pack promises, what was measured, and whether it holds."""
    rows = []

    def of(shot: str, direction: str, strength: float, clip: bool) -> dict[str, Any] | None:
        wanted = (shot, direction, strength, clip)
        for each in results:
            if (each["shot"], each["direction"], each["strength"], each["steadiness"] is not None) == wanted:
                return each
        return None

    for strength, least in ((0.8, 0.02), (-0.8, 0.03)):
        if (one := of("astronaut", "smile", strength, True)) is not None:
            grown = one["change"]["mouth_width"] / one["shape"]["mouth_width"]
            sign = 1 if strength > 0 else -1
            said = f"astronaut: smile {strength:+} changes the mouth's width by {sign * least:+.0%} or more"
            rows.append((said, f"{grown:+.1%}", sign * grown >= least))
    lifts = [each["change"]["corner_lift"] for each in truths if each["edit"] == "smile=0.5"]
    if lifts:
        said = "closed mouths: smile +0.5 lifts the corners by 0.05 eye distances or more"
        rows.append((said, " ".join(f"{lift:.3f}" for lift in lifts), min(lifts) >= 0.05))
    clips = [each for each in results if each["steadiness"] is not None]
    if ages := [each for each in clips if each["direction"] == "age"]:
        worst = max(each["identity"]["distance"] for each in ages)
        rows.append(("age +-0.6: descriptor distance below 0.45", f"{worst:.2f} at most", worst < 0.45))
        worst = max(each["steadiness"] for each in ages)
        rows.append(("age +-0.6: jitter within 1.5 times the plate's", f"{worst:.2f} at most", worst <= 1.5))
    if strong := [each for each in results if abs(each["strength"]) == 0.8]:
        worst = max(strong, key=lambda each: each["identity"]["distance"])
        told = f"{worst['identity']['distance']:.2f} at most ({worst['shot']}, {worst['direction']})"
        said = "every edit at strength 0.8: descriptor distance below 0.45"
        rows.append((said, told, worst["identity"]["distance"] < 0.45))
    if curves := [each for each in results if each["steadiness"] is None]:
        bent = [line.partition(":")[0] for line in not_monotonic(curves)]
        rows.append(
            ("every edit follows its strength", "not: " + ", ".join(bent) if bent else "all", not bent)
        )
    if clips:
        low, high = (f(each["detail"] for each in clips) for f in (min, max))
        said = "high-frequency energy inside the matte within 10 % of the plate's"
        rows.append((said, f"{low:.2f} to {high:.2f}", low >= 0.9 and high <= 1.1))
    return rows


def table_of(
    results: list[dict[str, Any]], recons: list[dict[str, Any]], truths: list[dict[str, Any]]
) -> str:
    """All numbers in Markdown."""
    lines = ["| promise | measured | holds |", "|---|---|---|"]
    lines += [f"| {a} | {b} | {'yes' if ok else 'NO'} |" for a, b, ok in must_show(results, truths)]
    lines += ["", "| shot | PSNR invert | tune | 1 - SSIM invert | tune |", "|---|---|---|---|---|"]
    for each in recons:
        a, b = each["invert"], each["tune"]
        numbers = f"{a['psnr']:.1f} | {b['psnr']:.1f} | {a['unlikeness']:.3f} | {b['unlikeness']:.3f}"
        lines.append(f"| {each['shot']} | {numbers} |")
    if truths:
        lines += ["", "| drawn head | edit | PSNR to the truth | of the plate | corner lift | of the truth |"]
        lines += ["|---|---|---|---|---|---|"]
    for each in truths:
        lift, true = each["change"]["corner_lift"], each["change_of_truth"]["corner_lift"]
        numbers = f"{each['psnr']:.1f} | {each['psnr_of_plate']:.1f} | {lift:+.3f} | {true:+.3f}"
        lines.append(f"| {each['shot']} | {each['edit']} | {numbers} |")
    lines += ["", f"| shot | edit | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 2) + "|"]
    lines += [_line(each) for each in results]
    return "\n".join(lines) + "\n"


_LENGTHS = ("mouth_width", "corner_lift", "mouth_opening", "eye_opening", "brow_height", "face_height")
_COLUMNS = (
    *("mouth width", "corner lift", "mouth opening", "eye opening", "brow height", "face height"),
    *("jaw width", "distance", "leakage", "detail", "jitter", "TL-ID", "TG-ID"),
)


def _line(each: dict[str, Any]) -> str:
    told = [f"{each['change'][name]:+.3f}" for name in (*_LENGTHS, "jaw_width")]
    told += [f"{each['identity']['distance']:.2f}"]
    told += ["" if each["leakage"] is None else f"{each['leakage']:.3f}", f"{each['detail']:.2f}"]
    told += ["" if each["steadiness"] is None else f"{each['steadiness']:.2f}"]
    told += [f"{each['identity'][key]:.3f}" if key in each["identity"] else "" for key in ("tl_id", "tg_id")]
    return f"| {each['shot']} | {each['direction']} {each['strength']:+} | {' | '.join(told)} |"


def not_monotonic(results: list[dict[str, Any]]) -> Iterator[str]:
    """Shots and edits in which something the edit is for does not follow the strength."""
    stills = [each for each in results if each["steadiness"] is None]
    for shot, direction in sorted({(each["shot"], each["direction"]) for each in stills}):
        rows = [each for each in stills if (each["shot"], each["direction"]) == (shot, direction)]
        curve = sorted([(0.0, 0.0), *((each["strength"], _main(each)) for each in rows)])
        if not measure.monotonic([value for _, value in curve]):
            yield f"{shot} {direction}: " + ", ".join(f"{s:+.1f} {v:+.3f}" for s, v in curve)


def _main(each: dict[str, Any]) -> float:
    """The length that an edit moves first of all; how much it changes the picture, where it moves none."""
    first = measure.MEANT.get(each["direction"], ("effect",))[0]
    if first == "effect":
        return float(np.copysign(each["effect"], each["strength"]))
    return float(each["change"][first])


def draw_sheets(bench: Bench, shots: list[Shot], directions: dict[str, tuple[float, ...]]) -> list[Path]:
    """A sheet per edit (shots x strengths), one of its mouths and eyes at 100 %, one of steps between frames,
    one per truth."""
    made = []
    for direction, strengths in directions.items():
        seen = [[bench.pictures(name_of(shot, direction, s)) for s in strengths] for shot in shots]
        faces, near = [], []
        for shot, row in zip(shots, seen, strict=True):
            texts = [f"{direction} {s:+}" for s in strengths]
            faces.append([tile(row[0]["plate"], shot.name, _TILE)])
            faces[-1] += [tile(p["edit"], text, _TILE) for p, text in zip(row, texts, strict=True)]
            for part in ("eyes", "mouth"):
                near.append([labelled(row[0][f"plate_{part}"], shot.name)])
                near[-1] += [labelled(p[f"edit_{part}"], t) for p, t in zip(row, texts, strict=True)]
        made.append(sheet(faces, bench.out / f"{direction}.png"))
        made.append(sheet(near, bench.out / f"{direction}_at_100_percent.png"))
    return made + _sheets_of_clips(bench, shots) + _sheets_of_truths(bench, shots)


def _sheets_of_clips(bench: Bench, shots: list[Shot]) -> list[Path]:
    """What moves from the first frame to the second, in the plate and in its edits."""
    rows = []
    for shot in shots:
        clips = [clip for clip in CLIPS if bench.kept(name_of(shot, *clip, "clip")) is not None]
        seen = [bench.pictures(name_of(shot, *clip, "clip")) for clip in clips]
        if seen:
            tiles = [tile(p["edit_step"], f"{d} {s:+}", _TILE) for p, (d, s) in zip(seen, clips, strict=True)]
            rows.append([tile(seen[0]["plate_step"], f"{shot.name}: step", _TILE), *tiles])
    return [sheet(rows, bench.out / "steps_between_frames.png")] if rows else []


def _sheets_of_truths(bench: Bench, shots: list[Shot]) -> list[Path]:
    """Plate, edit, and what the edit should have been."""
    made = []
    for key in ("smile=0.5", "age=0.6"):
        known = [bench.pictures(f"{s.name}_truth_{key}") for s in shots if s.truth and key in s.truth]
        rows = [[tile(p[n], f"{n} {key}", _TILE) for n in ("plate", "edit", "truth")] for p in known]
        if rows:
            made.append(sheet(rows, bench.out / f"truth_{key.replace('=', '_')}.png"))
    return made


def strengths_of(span: tuple[float, float], strengths: str = STRENGTHS) -> tuple[float, ...]:
    """Those of a list of strengths that a direction's range has."""
    return tuple(s for s in map(float, strengths.split(",")) if span[0] <= s <= span[1])


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
@click.option("--quick", is_flag=True, help="short tuning and no stitching")
def main(
    out: Path,
    faces: str,
    source: Path,
    heads: int,
    pack: str,
    edits: str,
    strengths: str,
    clips: bool,
    quick: bool,
) -> None:
    """Measure a pack's edits."""
    from stit_vfx.packs.load import load_pack

    started = time.time()
    bench = Bench(out, pack, QUICK if quick else FULL, DlibFinder())
    shots = [
        portrait_shot(portrait(n, out / "cache"), out / "plates" / n, bench.finder)
        for n in filter(None, faces.split(","))
    ]
    shots += talking_heads(source, out / "plates", heads) if source else []
    loaded = load_pack(pack)
    known = loaded.directions
    chosen = {n: strengths_of(known[n].range, strengths) for n in (edits.split(",") if edits else known)}
    results, recons, truths = [], [], []
    for shot in shots:
        click.echo(f"{shot.name}: {shot.credit}")
        recons.append(measure_reconstruction(bench, shot))
        for clip in CLIPS if clips else ():
            results.append(measure_edit(bench, shot, *clip, clip=True))
        truths += [measure_truth(bench, shot, *each) for each in (shot.truth or {}).items()]
        for direction, chosen_strengths in chosen.items():
            results += [measure_edit(bench, shot, direction, s, clip=False) for s in chosen_strengths]
    table = table_of(results, recons, truths)
    bent = list(not_monotonic(results))
    told = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": _versions(),
        "pack": {"name": pack, "sha256": loaded.spec.sha256},
        "effort": "quick" if quick else "full",
        "seconds": round(time.time() - started),
        "results": results,
        "reconstruction": recons,
        "truth": truths,
        "not_monotonic": bent,
    }
    (out / "results.json").write_text(json.dumps(told, indent=1))
    (out / "results.md").write_text(table)
    made = draw_sheets(bench, shots, chosen)
    click.echo(table)
    click.echo("not monotonic: " + ("; ".join(bent) or "nothing"))
    click.echo(f"Pictures: {page(out, 'Pack quality', table, made)}")


if __name__ == "__main__":
    main()
