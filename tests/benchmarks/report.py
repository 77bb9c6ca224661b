"""What was measured, as tables and sheets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numbers_of as measure
import numpy as np
from sheets import labelled, sheet, tile

Array = np.ndarray
Results = Sequence[Mapping[str, Any]]

CLIPS = (("smile", 0.8), ("smile", -0.8), ("age", 0.6), ("age", -0.6))
_TILE = 220
_SAME_TAKE = 0.45  # of dlib's descriptors, see `stit_vfx.measure.identity`
_LENGTHS = ("mouth_width", "corner_lift", "mouth_opening", "eye_opening", "brow_height", "face_height")


def name_of(shot: str, direction: str, strength: float, kind: str = "still") -> str:
    """What a measurement is called on disk."""
    return f"{shot}_{kind}_{direction}_{strength:+.1f}"


def clips_of(results: Results) -> list[Mapping[str, Any]]:
    """Those measured over several frames."""
    return [each for each in results if each["steadiness"] is not None]


def stills_of(results: Results) -> list[Mapping[str, Any]]:
    return [each for each in results if each["steadiness"] is None]


# promises ---------------------------------------------------------------------------------------------------


def must_show(results: Results, truths: Results) -> list[tuple[str, str, bool]]:
    """What the pack promises, what was measured, and whether it holds."""
    clips, stills = clips_of(results), stills_of(results)
    return [
        *_smiles(clips),
        *_lifted(truths),
        *_aged([each for each in clips if each["direction"] == "age"]),
        *_same_person([each for each in results if abs(each["strength"]) == 0.8]),
        *_followed(stills),
        *_sharp(clips),
    ]


def _smiles(clips: Results) -> Iterator[tuple[str, str, bool]]:
    for strength, least in ((0.8, 0.02), (-0.8, 0.03)):
        for each in clips:
            if (each["shot"], each["direction"], each["strength"]) == ("astronaut", "smile", strength):
                grown = each["change"]["mouth_width"] / each["shape"]["mouth_width"]
                sign = 1 if strength > 0 else -1
                said = (
                    f"astronaut: smile {strength:+} changes the mouth's width by {sign * least:+.0%} or more"
                )
                yield said, f"{grown:+.1%}", sign * grown >= least


def _lifted(truths: Results) -> Iterator[tuple[str, str, bool]]:
    lifts = {e["shot"]: e["change"]["corner_lift"] for e in truths if e["edit"] == "smile=0.5"}
    if lifts:
        said = "closed mouths: smile +0.5 lifts the corners by 0.05 eye distances or more"
        told = ", ".join(f"{shot} {lift:.3f}" for shot, lift in lifts.items())
        yield said, told, min(lifts.values()) >= 0.05


def _aged(ages: Results) -> Iterator[tuple[str, str, bool]]:
    if ages:
        worst = max(each["identity"]["distance"] for each in ages)
        yield "age +-0.6: descriptor distance below 0.45", f"{worst:.2f} at most", worst < _SAME_TAKE
        worst = max(each["steadiness"] for each in ages)
        yield "age +-0.6: jitter within 1.5 times the plate's", f"{worst:.2f} at most", worst <= 1.5


def _same_person(strong: Results) -> Iterator[tuple[str, str, bool]]:
    if strong:
        worst = max(strong, key=_distance)
        told = f"{_distance(worst):.2f} at most ({worst['shot']}, {worst['direction']})"
        yield (
            "every edit at strength 0.8: descriptor distance below 0.45",
            told,
            _distance(worst) < _SAME_TAKE,
        )


def _followed(stills: Results) -> Iterator[tuple[str, str, bool]]:
    if stills:
        bent = [line.partition(":")[0] for line in not_monotonic(stills)]
        yield "every edit follows its strength", "not: " + ", ".join(bent) if bent else "all", not bent


def _sharp(clips: Results) -> Iterator[tuple[str, str, bool]]:
    if clips:
        low, high = (f(each["detail"] for each in clips) for f in (min, max))
        said = "high-frequency energy inside the matte within 10 % of the plate's"
        yield said, f"{low:.2f} to {high:.2f}", low >= 0.9 and high <= 1.1


def _distance(each: Mapping[str, Any]) -> float:
    return float(each["identity"]["distance"])


def not_monotonic(results: Results) -> Iterator[str]:
    """Shots and edits in which something the edit is for does not follow the strength, by dlib; and what the
    engine's own reader says there.
    """
    stills = stills_of(results)
    for shot, direction in sorted({(each["shot"], each["direction"]) for each in stills}):
        rows = [each for each in stills if (each["shot"], each["direction"]) == (shot, direction)]
        curve = sorted([(0.0, 0.0), *((each["strength"], _main(each)) for each in rows)])
        if not measure.monotonic([value for _, value in curve]):
            yield f"{shot} {direction}: {_curve(curve)}{_by_reader(rows)}"


def _curve(curve: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{s:+.1f} {v:+.3f}" for s, v in curve)


def _by_reader(rows: Results) -> str:
    """A second opinion on a length that does not follow its strength; nothing where there is none."""
    first = measure.MEANT.get(rows[0]["direction"], ("effect",))[0]
    if first == "effect" or any("change_by_reader" not in each for each in rows):
        return ""
    curve = sorted([(0.0, 0.0), *((each["strength"], each["change_by_reader"][first]) for each in rows)])
    agrees = "neither" if not measure.monotonic([value for _, value in curve]) else "it follows"
    return f"; by the engine's reader {agrees}: {_curve(curve)}"


def _main(each: Mapping[str, Any]) -> float:
    """The length that an edit moves first of all; how much it changes the picture, where it moves none."""
    first = measure.MEANT.get(each["direction"], ("effect",))[0]
    if first == "effect":
        return float(np.copysign(each["effect"], each["strength"]))
    return float(each["change"][first])


# tables -----------------------------------------------------------------------------------------------------


def table_of(results: Results, recons: Results, truths: Results) -> str:
    """The numbers in Markdown, as docs/benchmark.md has them; those of every still are in results.json."""
    promises = [(a, b, "yes" if ok else "NO") for a, b, ok in must_show(results, truths)]
    parts = [
        _table(("promise", "measured", "holds"), promises),
        _table(_RECONSTRUCTION, [_recon_row(each) for each in recons]),
        _table(_TRUTH, [_truth_row(each) for each in truths]),
        _table(_CLIP, [_clip_row(each) for each in clips_of(results)]),
        _table(_STILL, list(_still_rows(stills_of(results)))),
        "".join(f"* Does not follow its strength: {line}\n" for line in not_monotonic(results)),
    ]
    return "\n".join(part for part in parts if part)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Nothing where there are no rows."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(line) + " |" for line in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]]) + "\n"


_RECONSTRUCTION = (
    *(
        "shot",
        "PSNR invert",
        "tune",
        "1 - SSIM invert",
        "tune",
        "seen distance invert",
        "tune",
    ),
)


def _recon_row(each: Mapping[str, Any]) -> list[str]:
    kinds = (("psnr", ".1f"), ("unlikeness", ".3f"), ("seen", ".3f"))
    return [each["shot"], *(f"{each[step][k]:{form}}" for k, form in kinds for step in ("invert", "tune"))]


_TRUTH = ("drawn head", "edit", "PSNR to the truth", "of the plate", "corner lift", "of the truth")


def _truth_row(each: Mapping[str, Any]) -> list[str]:
    lift, true = each["change"]["corner_lift"], each["change_of_truth"]["corner_lift"]
    numbers = [f"{each['psnr']:.1f}", f"{each['psnr_of_plate']:.1f}", f"{lift:+.3f}", f"{true:+.3f}"]
    return [each["shot"], each["edit"], *numbers]


_CLIP = (
    *("shot", "edit", "mouth width", "corner lift", "mouth opening", "eye opening", "brow height"),
    *("face height", "jaw width", "distance", "leakage", "detail", "jitter", "TL-ID", "TG-ID"),
)


def _clip_row(each: Mapping[str, Any]) -> list[str]:
    told = [each["shot"], f"{each['direction']} {each['strength']:+}"]
    told += [f"{each['change'][name]:+.3f}" for name in (*_LENGTHS, "jaw_width")]
    told += [f"{_distance(each):.2f}", "" if each["leakage"] is None else f"{each['leakage']:.3f}"]
    told += [f"{each['detail']:.2f}", f"{each['steadiness']:.2f}"]
    return told + [f"{each['identity'][key]:.3f}" for key in ("tl_id", "tg_id")]


_STILL = (
    *("edit", "shots", "what it moves", "median (least to most)", "effect", "distance: median, worst"),
    *("leakage: median, worst", "detail: least to most"),
)


def _still_rows(stills: Results) -> Iterator[list[str]]:
    """An edit at -0.8 and at 0.8 a row, over all shots; at its largest strength where those are missing."""
    for direction in dict.fromkeys(each["direction"] for each in stills):
        own = [each for each in stills if each["direction"] == direction]
        for sign in (-1, 1):
            known = {each["strength"] for each in own if each["strength"] * sign > 0}
            if known:
                strength = sign * 0.8 if sign * 0.8 in known else max(known, key=abs)
                yield _still_row(direction, [each for each in own if each["strength"] == strength])


def _still_row(direction: str, rows: Results) -> list[str]:
    first = measure.MEANT.get(direction, ("effect",))[0]
    moved = [] if first == "effect" else [each["change"][first] for each in rows]
    spread = f"{median(moved):+.3f} ({min(moved):+.3f} to {max(moved):+.3f})" if moved else ""
    details = [each["detail"] for each in rows]
    return [
        f"{direction} {rows[0]['strength']:+}",
        str(len(rows)),
        "" if first == "effect" else first.replace("_", " "),
        spread,
        f"{median(each['effect'] for each in rows):.3f}",
        _worst(rows, _distance, ".2f"),
        _worst(rows, lambda each: each["leakage"], ".3f"),
        f"{min(details):.2f} to {max(details):.2f}",
    ]


def _worst(rows: Results, number: Callable[[Mapping[str, Any]], float | None], form: str) -> str:
    """Median and worst of a number and where it is worst; nothing where it was not measured."""
    known = {each["shot"]: value for each in rows if (value := number(each)) is not None}
    if not known:
        return ""
    worst = max(known, key=lambda shot: known[shot])
    return f"{median(known.values()):{form}}, {known[worst]:{form}} ({worst})"


# sheets -----------------------------------------------------------------------------------------------------


def draw_sheets(
    pictures: Callable[[str], dict[str, Array] | None],
    shots: Mapping[str, Iterable[str]],
    directions: Mapping[str, Sequence[float]],
    out: Path,
) -> list[Path]:
    """A sheet per edit (shots x strengths), one of its mouths and eyes at 100 %, one of steps between frames,
    one per truth.

    pictures  what was kept under a name (`name_of`); None where nothing was
    shots     by name, the truths they have
    """
    made = []
    for direction, strengths in directions.items():
        faces, near = [], []
        for shot in shots:
            row = [(s, pictures(name_of(shot, direction, s))) for s in strengths]
            seen = [(f"{direction} {s:+}", p) for s, p in row if p is not None]
            if not seen:
                continue
            plate = seen[0][1]
            faces.append([tile(plate["plate"], shot, _TILE), *(tile(p["edit"], t, _TILE) for t, p in seen)])
            for part in ("eyes", "mouth"):
                edits = [labelled(p[f"edit_{part}"], text) for text, p in seen]
                near.append([labelled(plate[f"plate_{part}"], shot), *edits])
        if faces:
            made.append(sheet(faces, out / f"{direction}.png"))
            made.append(sheet(near, out / f"{direction}_at_100_percent.png"))
    return made + _sheet_of_clips(pictures, shots, out) + _sheets_of_truths(pictures, shots, out)


def _sheet_of_clips(
    pictures: Callable[[str], dict[str, Array] | None], shots: Iterable[str], out: Path
) -> list[Path]:
    """What moves from the first frame to the second, in the plate and in its edits."""
    rows = []
    for shot in shots:
        clips = [(clip, pictures(name_of(shot, *clip, "clip"))) for clip in CLIPS]
        seen = [(f"{d} {s:+}", p) for (d, s), p in clips if p is not None]
        if seen:
            steps = [tile(p["edit_step"], text, _TILE) for text, p in seen]
            rows.append([tile(seen[0][1]["plate_step"], f"{shot}: step", _TILE), *steps])
    return [sheet(rows, out / "steps_between_frames.png")] if rows else []


def _sheets_of_truths(
    pictures: Callable[[str], dict[str, Array] | None], shots: Mapping[str, Iterable[str]], out: Path
) -> list[Path]:
    """Plate, edit, and what the edit should have been."""
    made = []
    for key in dict.fromkeys(key for keys in shots.values() for key in keys):
        known = [p for shot in shots if (p := pictures(f"{shot}_truth_{key}")) is not None]
        rows = [[tile(p[n], f"{n} {key}", _TILE) for n in ("plate", "edit", "truth")] for p in known]
        if rows:
            made.append(sheet(rows, out / f"truth_{key.replace('=', '_')}.png"))
    return made
