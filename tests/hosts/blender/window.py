"""Runs inside a Blender with a window: sets up the panel, cooks, and takes pictures on the way.

    blender --factory-startup --app-template Video_Editing -p 0 0 1600 900 --python window.py -- TASK.json

TASK as for `inside.py`, and: `pictures`, a folder; `tall`, the editor that fills the window; `clicks`, places
to click at once it does; `press`, the operators. Needs `import` and `xdotool` (ImageMagick, X11).
"""

import json
import os
import shutil
import subprocess
import sys
import traceback

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
WORDS = sys.argv[sys.argv.index("--") + 1 :]
with open(WORDS[0]) as file:
    TASK = json.load(file)
import inside  # noqa: E402

state = {"step": 0, "waited": 0, "told": []}


def shell(*words):
    if shutil.which(words[0]):
        subprocess.run([str(word) for word in words], check=False)


def picture(name):
    shell("import", "-window", "root", os.path.join(TASK["pictures"], name + ".png"))


def areas(kind):
    window = bpy.context.window_manager.windows[0]
    return [(window, area) for area in window.screen.areas if area.type == kind]


def set_up():
    view = bpy.context.preferences.view
    view.show_splash, view.smooth_view = False, 0
    state["addon"] = inside.enable(TASK)
    shell("xdotool", "mousemove", 700, 300, "click", 1)


def fill():
    window = bpy.context.window_manager.windows[0]
    scene = window.scene
    if hasattr(window.workspace, "sequencer_scene"):
        window.workspace.sequencer_scene = scene
    state["scene"], strip = inside.make_scene(state["addon"], TASK)
    strip.select = True
    scene.frame_set(TASK["start"] + TASK.get("trim", [0])[0])
    for _window, area in areas("SEQUENCE_EDITOR"):
        area.spaces.active.show_region_ui = area.spaces.active.view_type == "SEQUENCER"
    for _window, area in areas("PROPERTIES"):
        try:
            area.spaces.active.context = "STRIP"
        except TypeError:
            pass  # before 5.0 there is no such tab


def side():
    """Make the sequencer tall, and choose our tab in its sidebar."""
    for window, area in areas("SEQUENCE_EDITOR"):
        if area.spaces.active.view_type != "SEQUENCER":
            continue
        for region in area.regions:
            if region.type == "UI":
                try:
                    region.active_panel_category = "STIT"
                except (AttributeError, TypeError) as error:
                    print("tab", error)
        if TASK.get("tall") == "SEQUENCE_EDITOR":
            with bpy.context.temp_override(window=window, area=area):
                bpy.ops.screen.screen_full_area(use_hide_panels=False)

    if TASK.get("tall") == "PROPERTIES":
        window, area = areas("PROPERTIES")[0]
        with bpy.context.temp_override(window=window, area=area):
            bpy.ops.screen.screen_full_area(use_hide_panels=False)


def look():
    """Picture and timeline in one editor, both filled."""
    if TASK.get("tall") != "SEQUENCE_EDITOR":
        return
    for _window, area in areas("SEQUENCE_EDITOR"):
        area.spaces.active.view_type = "SEQUENCER_PREVIEW"
        area.spaces.active.show_region_ui = True


def fit():
    for window, area in areas("SEQUENCE_EDITOR"):
        for region in area.regions:
            with bpy.context.temp_override(window=window, area=area, region=region):
                if region.type == "WINDOW" and bpy.ops.sequencer.view_all.poll():
                    bpy.ops.sequencer.view_all()
                if region.type == "PREVIEW" and bpy.ops.sequencer.view_all_preview.poll():
                    bpy.ops.sequencer.view_all_preview()


def tab():
    for x, y in TASK.get("clicks", []):
        shell("xdotool", "mousemove", x, y, "click", 1)


def press(name):
    window, area = next((w, a) for w, a in areas("SEQUENCE_EDITOR"))
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        state["told"].append([name, sorted(getattr(bpy.ops.stit_vfx, name)("INVOKE_DEFAULT"))])


def over():
    """Wait until the run is over, and take a picture half-way."""
    run = next(iter(state["addon"].tasks.runs.values()))
    if not run.over and run.fraction > TASK.get("half", 0.05) and "half" not in state:
        state["half"] = True
        picture("{}_running".format(run.kind))
    if run.over:
        state["told"].append([run.kind, run.message, run.ok])
        state.pop("half", None)
    return run.over


def end():
    with open(os.path.join(TASK["out"], "answer.json"), "w") as file:
        told = state["addon"] and inside.told(state["addon"], state["scene"])
        json.dump({"told": state["told"], "strips": told}, file)
    bpy.ops.wm.quit_blender()


STEPS = [set_up, fill, side, look, fit, tab, fit, None, lambda: picture("ready")] + [None] * TASK.get(
    "linger", 0
)
for word in TASK["press"]:
    STEPS += [lambda word=word: press(word), over, fit, None, lambda word=word: picture(word + "_done")]
STEPS.append(end)


def tick():
    """One step a second; `over` again until it says so."""
    try:
        step = STEPS[state["step"]]
        again = step is not None and step() is False
    except Exception:
        traceback.print_exc()
        again = False
    if not again:
        state["step"] += 1
    return 1.0 if state["step"] < len(STEPS) else None


bpy.app.timers.register(tick, first_interval=3.0)
