"""Runs inside Blender, or beside the bpy wheel: makes a scene, does as it is told, writes down what it saw.

    blender -b --factory-startup --python inside.py -- TASK.json
    python inside.py TASK.json

TASK: {addon, engine, out, plate | movie, start, trim: [from head, from tail], sliders, keys, settings, do}.
The answer is `answer.json` in `out`.
"""

import json
import os
import re
import shutil
import sys
import time
import traceback

import bpy  # isort: skip  in a wheel it has to be first: it is what makes the others known
import addon_utils  # isort: skip


def enable(task):
    """The add-on from its folder, as the legacy path does it."""
    sys.path.append(os.path.dirname(task["addon"]))
    name = os.path.basename(task["addon"])
    addon_utils.enable(name, default_set=True, persistent=True)
    bpy.context.preferences.addons[name].preferences.engine = task.get("engine", "")
    return sys.modules[name]


def make_scene(addon, task):
    """A scene of the plate's size with one strip, trimmed, that works in scene-linear light."""
    scene = bpy.context.scene
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    scene.render.fps = 24
    scene.sequence_editor_create()
    linear = addon.compat.scene_linear_name()
    scene.sequencer_colorspace_settings.name = linear
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x, scene.render.resolution_y = task["size"]
    scene.render.resolution_percentage = 100
    collection = addon.compat.strips_of(scene.sequence_editor)
    if "movie" in task:
        strip = collection.new_movie("plate", task["movie"], 1, task["start"], fit_method="ORIGINAL")
    else:
        names = sorted(os.listdir(task["plate"]))
        first = os.path.join(task["plate"], names[0])
        strip = collection.new_image("plate", first, 1, task["start"], fit_method="ORIGINAL")
        for name in names[1:]:
            strip.elements.append(name)
    head, tail = task.get("trim", (0, 0))
    if hasattr(strip, "left_handle"):
        strip.left_handle += head
        strip.right_handle -= tail
    else:
        strip.frame_final_start += head
        strip.frame_final_end -= tail
    scene.sequence_editor.active_strip = strip
    settings = {"stit_output": os.path.join(task["out"], "renders"), **task.get("settings", {})}
    for name, value in settings.items():
        setattr(strip, name, value)
    for name, value in task.get("sliders", {}).items():
        setattr(strip, "stit_edit_" + name, value)
    for name, keys in task.get("keys", {}).items():
        for frame, value in keys:
            setattr(strip, name, value)
            assert strip.keyframe_insert(name, frame=frame)
    return scene, strip


def render(addon, scene, out, names, frame, mute=()):
    """A frame of the scene as float EXR."""
    images = scene.render.image_settings
    if hasattr(images, "media_type"):
        images.media_type = "IMAGE"
    images.file_format, images.color_depth, images.color_mode = "OPEN_EXR", "32", "RGB"
    scene.frame_start = scene.frame_end = frame
    muted = [s for s in addon.compat.all_strips(scene.sequence_editor) if s.name in mute and not s.mute]
    for strip in muted:
        strip.mute = True
    scene.render.filepath = os.path.join(out, names + ".####")
    bpy.ops.render.render(animation=True, scene=scene.name)
    for strip in muted:
        strip.mute = False
    return os.path.join(out, "{}.{:04d}.exr".format(names, frame))


def told(addon, scene):
    """Every strip, as plain data."""
    return [
        {
            "name": strip.name,
            "role": strip.stit_role,
            "version": strip.stit_version,
            "channel": strip.channel,
            "mute": strip.mute,
            "blend": strip.blend_type,
            "handles": addon.compat.handles(strip),
            "space": strip.colorspace_settings.name,
            "files": [element.filename for element in strip.elements] if strip.type == "IMAGE" else [],
            "folder": getattr(strip, "directory", ""),
        }
        for strip in addon.compat.all_strips(scene.sequence_editor)
    ]


def do(addon, scene, strip, task, answer):
    """The task's steps, in order."""
    for step in task["do"]:
        word, *rest = step if isinstance(step, list) else [step]
        if word == "operator":
            try:
                answer[rest[0]] = sorted(getattr(bpy.ops.stit_vfx, rest[0])())
            except RuntimeError as error:
                answer[rest[0]] = "error: {}".format(error)
        elif word == "job":
            answer["job"] = addon.strips.job_of(scene, strip)[0]
        elif word == "freshness":
            addon.tasks._looked.clear()
            answer.setdefault("freshness", []).append(addon.tasks.freshness(scene, strip)[0])
        elif word == "set":
            setattr(strip, rest[0], rest[1])
        elif word == "render":
            answer.setdefault("rendered", {})[rest[0]] = render(addon, scene, task["out"], *rest)
        elif word == "cancel_cook":
            run = addon.tasks.cook(bpy.context, scene, strip)
            while run.fraction <= rest[0]:
                assert not run.process.finished, run.process.log_tail(5)
                time.sleep(0.05)
            run.process.cancel()
            run.wait()
            answer["run"] = {"status": run.exit_status, "message": run.message}
        elif word == "cook":
            run = addon.tasks.cook(bpy.context, scene, strip).wait()
            answer["run"] = {"status": run.exit_status, "message": run.message, "details": run.details}
        elif word == "registered":
            answer["sliders"] = sorted(name for name in dir(strip) if re.match("stit_edit_", name))
        elif word == "warnings":
            told = addon.strips.colour_warning(scene), addon.strips.picture_warning(strip)
            answer.setdefault("warnings", []).append(told)
        elif word == "display_light":
            names = addon.compat.sequencer_space_names()
            linear = addon.compat.scene_linear_name()
            scene.sequencer_colorspace_settings.name = next(name for name in names if name != linear)
        elif word == "linear_light":
            scene.sequencer_colorspace_settings.name = addon.compat.scene_linear_name()
        elif word == "picture":
            # Blender's temporary folder goes with it.
            answer["picture"] = shutil.copy(addon.tasks.pictures[strip.stit_uuid], task["out"])
        elif word == "write_job":
            answer["written"] = addon.tasks.write_job(bpy.context, scene, strip)
        elif word == "faces":
            answer["faces"] = addon.props.faces_of(strip)
        elif word == "save":
            bpy.ops.wm.save_as_mainfile(filepath=rest[0])
        else:
            raise ValueError(word)


def main():
    """Do the task; whatever happens, leave an answer."""
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    with open(words[0]) as file:
        task = json.load(file)
    answer = {"version": bpy.app.version_string}
    try:
        addon = enable(task)
        scene, strip = make_scene(addon, task)
        do(addon, scene, strip, task, answer)
        answer["strips"] = told(addon, scene)
    except Exception:
        answer["exception"] = traceback.format_exc()
    with open(os.path.join(task["out"], "answer.json"), "w") as file:
        json.dump(answer, file, indent=1)


if __name__ == "__main__":
    main()
