"""The buttons. In the interface a run goes on in the background; from a script or `-b` it is waited for."""
# mypy: disable-error-code="attr-defined,valid-type"

from typing import Any

import bpy
from bpy.props import StringProperty

from . import compat, engine, jobs, plates, prefs, props, shots, sliders, strips, tasks, words
from .plates import PlateTrouble

REFUSALS = (jobs.JobTrouble, PlateTrouble, engine.EngineError, OSError)


def _active(context: Any) -> Any:
    scene = compat.edit_scene(context)
    editor = scene.sequence_editor if scene else None
    strip = editor.active_strip if editor else None
    return (scene, strip) if strips.is_plate(strip) else (scene, None)


class _OnStrip:
    bl_options = {"REGISTER"}  # noqa: RUF012  Blender wants a plain set

    @classmethod
    def poll(cls, context: Any) -> bool:
        _scene, strip = _active(context)
        if strip is None:
            cls.poll_message_set("Select an image sequence or a movie strip")
        return strip is not None


class _Runs(_OnStrip):
    @classmethod
    def poll(cls, context: Any) -> bool:
        if not super().poll(context):
            return False
        if tasks.running(_active(context)[1]):
            cls.poll_message_set("A run of this strip goes on; cancel it first")
            return False
        return True

    def begin(self, context: Any, scene: Any, strip: Any) -> Any:
        raise NotImplementedError

    def _begun(self, context: Any) -> Any:
        scene, strip = _active(context)
        try:
            return self.begin(context, scene, strip)
        except engine.EngineError as trouble:
            self.report({"ERROR"}, trouble.dialog())
        except REFUSALS as trouble:
            self.report({"ERROR"}, str(trouble))
        return None

    def execute(self, context: Any) -> set:
        """Wait for it: scripts and `blender -b`."""
        run = self._begun(context)
        if run is None:
            return {"CANCELLED"}
        run.wait()
        kind = "INFO" if run.ok else "WARNING" if run.exit_status == 130 else "ERROR"
        self.report({kind}, run.message)
        return {"FINISHED"} if run.ok else {"CANCELLED"}

    def invoke(self, context: Any, _event: Any) -> set:
        if bpy.app.background:
            return self.execute(context)
        if self._begun(context) is None:
            return {"CANCELLED"}
        tasks.watch()
        return {"FINISHED"}


class STITVFX_OT_analyse(_Runs, bpy.types.Operator):
    """Find the faces between the strip's handles, to pick one of them"""

    bl_idname, bl_label = "stit_vfx.analyse", "Analyse"

    def begin(self, context: Any, scene: Any, strip: Any) -> Any:
        return tasks.analyse(context, scene, strip)


class STITVFX_OT_preview(_Runs, bpy.types.Operator):
    """Edit the current frame alone, as a draft, and show it beside the plate"""

    bl_idname, bl_label = "stit_vfx.preview", "Preview Frame"

    def begin(self, context: Any, scene: Any, strip: Any) -> Any:
        return tasks.preview(context, scene, strip, scene.frame_current)


class STITVFX_OT_cook(_Runs, bpy.types.Operator):
    """Edit the strip's frames and add the edit and its matte as strips. Other settings make a new version"""

    bl_idname, bl_label = "stit_vfx.cook", "Cook"

    def begin(self, context: Any, scene: Any, strip: Any) -> Any:
        return tasks.cook(context, scene, strip)


class STITVFX_OT_resume(_Runs, bpy.types.Operator):
    """Go on with the last cook of this strip as it was asked for; finished frames are not computed again"""

    bl_idname, bl_label = "stit_vfx.resume", "Resume"

    def begin(self, context: Any, scene: Any, strip: Any) -> Any:
        return tasks.resume(context, scene, strip)


class STITVFX_OT_cancel(_OnStrip, bpy.types.Operator):
    """Stop the run of this strip. Finished frames are kept"""

    bl_idname, bl_label = "stit_vfx.cancel", "Cancel"

    def execute(self, context: Any) -> set:
        run = tasks.running(_active(context)[1])
        if run is None:
            return {"CANCELLED"}
        run.process.cancel()
        return {"FINISHED"}


class STITVFX_OT_clear_cache(_OnStrip, bpy.types.Operator):
    """Remove what the shot keeps for the next cook. Results and jobs stay"""

    bl_idname, bl_label = "stit_vfx.clear_cache", "Clear Cache"

    def _folder(self, context: Any) -> str:
        scene, strip = _active(context)
        plate = strips.plate_of(scene, strip)
        name = strip.stit_shot or plates.shot_name(plate.pattern)
        return jobs.shot_folder({"output": {"folder": strips.output_of(strip)}, "shot": name})

    def invoke(self, context: Any, event: Any) -> set:
        if bpy.app.background:
            return self.execute(context)
        return context.window_manager.invoke_props_dialog(self, width=420)

    def draw(self, context: Any) -> None:
        try:
            folder = self._folder(context)
            size = shots.in_words(shots.cache_bytes(folder))
            self.layout.label(text="Free {} in {}?".format(size, folder))
        except REFUSALS as trouble:
            self.layout.label(text=str(trouble))
        self.layout.label(text="The next cook tunes again from the start.")

    def execute(self, context: Any) -> set:
        _scene, strip = _active(context)
        if tasks.running(strip):
            self.report({"ERROR"}, "A run of this strip goes on; cancel it first")
            return {"CANCELLED"}
        try:
            freed = shots.clear_cache(self._folder(context))
        except (*REFUSALS, ValueError) as trouble:
            self.report({"ERROR"}, str(trouble))
            return {"CANCELLED"}
        self.report({"INFO"}, "{} freed".format(shots.in_words(freed)))
        return {"FINISHED"}


class STITVFX_OT_write_job(_OnStrip, bpy.types.Operator):
    """Write the job for a farm, and put the command that cooks it into the clipboard"""

    bl_idname, bl_label = "stit_vfx.write_job", "Write Job"

    def execute(self, context: Any) -> set:
        try:
            path, command = tasks.write_job(context, *_active(context))
        except REFUSALS as trouble:
            self.report({"ERROR"}, str(trouble))
            return {"CANCELLED"}
        if not bpy.app.background:
            context.window_manager.clipboard = command
        self.report({"INFO"}, "{} (the clipboard has the command)".format(path))
        return {"FINISHED"}


class STITVFX_OT_show_picture(_OnStrip, bpy.types.Operator):
    """Open the picture of the last preview or analysis in a window of its own"""

    bl_idname, bl_label = "stit_vfx.show_picture", "Open Picture"

    def execute(self, context: Any) -> set:
        path = tasks.pictures.get(_active(context)[1].stit_uuid)
        if not path:
            return {"CANCELLED"}
        image = bpy.data.images.load(path, check_existing=True)
        if not bpy.app.background:
            bpy.ops.wm.window_new()
            area = context.window_manager.windows[-1].screen.areas[0]
            area.type = "IMAGE_EDITOR"
            area.spaces.active.image = image
        return {"FINISHED"}


class STITVFX_OT_show_trouble(bpy.types.Operator):
    """Why the last run ended"""

    bl_idname, bl_label, bl_options = "stit_vfx.show_trouble", "STIT VFX", {"INTERNAL"}
    run: StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: Any, _event: Any) -> set:
        return context.window_manager.invoke_props_dialog(self, width=480)

    def draw(self, _context: Any) -> None:
        run = tasks.runs.get(self.run)
        for line in words.wrapped((run.details or run.message) if run else "", 460, limit=24):
            self.layout.label(text=line)

    def execute(self, _context: Any) -> set:
        return {"FINISHED"}


class STITVFX_OT_test_engine(bpy.types.Operator):
    """Start the engine, ask what it is and which packs it has, and learn their edits"""

    bl_idname, bl_label = "stit_vfx.test_engine", "Test Engine"

    def execute(self, context: Any) -> set:
        chosen = prefs.of(context)
        try:
            command = engine.find(chosen.engine)
            info = engine.stit_session.probe(command)
            folder = bpy.path.abspath(chosen.pack_path) if chosen.pack_path else ""
            packs = engine.packs_of(command, folder)
            told = engine.stit_session.doctor(command)
            sliders.remember(props.packs_path(), packs)
        except engine.EngineError as trouble:
            return self._failed(trouble.dialog())
        except (OSError, ValueError, KeyError, TypeError) as trouble:
            return self._failed(str(trouble))
        props.register()
        names = ", ".join(str(pack["name"]) for pack in packs)
        lines = [str(info), "{} ({})".format(command, command.source), "Packs: {}".format(names)]
        lines += ["{}: {}".format(c.get("name"), c.get("found")) for c in told.get("checks", ())]
        prefs.test_report.update(lines=lines, ok=bool(told.get("ok")))
        self.report({"INFO"}, lines[0])
        return {"FINISHED"}

    def _failed(self, text: str) -> set:
        prefs.test_report.update(lines=text.split("\n"), ok=False)
        self.report({"ERROR"}, text)
        return {"CANCELLED"}


CLASSES = (
    STITVFX_OT_analyse,
    STITVFX_OT_preview,
    STITVFX_OT_cook,
    STITVFX_OT_resume,
    STITVFX_OT_cancel,
    STITVFX_OT_clear_cache,
    STITVFX_OT_write_job,
    STITVFX_OT_show_picture,
    STITVFX_OT_show_trouble,
    STITVFX_OT_test_engine,
)
