"""Knobs of the few node classes that our gizmos use, written down by hand from Nuke's reference."""

from __future__ import annotations

COMMON = "name xpos ypos label note_font tile_color selected disable inputs help icon hide_input"
_OWN = {
    "Group": "onCreate knobChanged autolabel updateUI onDestroy",
    "Input": "number",
    "Output": "",
    "Dot": "",
    "Read": "file file_type first last origfirst origlast before after on_error raw colorspace premultiplied "
    "frame frame_mode localizationPolicy reload format proxy",
    "Write": "file file_type channels views use_limit first last create_directories raw colorspace on_error "
    "datatype compression autocrop metadata interleave",
    "Switch": "which",
    "Copy": "from0 to0 from1 to1 from2 to2 from3 to3 bbox channels mix",
    "Crop": "box softness reformat intersect crop",
    "Merge2": "operation mix bbox Achannels Bchannels output maskChannelInput invert_mask also_merge",
    "Keymix": "channels maskChannel invertMask mix bbox",
    "Blur": "channels size filter quality crop mix maskChannelInput invert_mask",
    "Dilate": "channels size",
    "Expression": "temp_name0 temp_expr0 temp_name1 temp_expr1 temp_name2 temp_expr2 temp_name3 temp_expr3 "
    "channel0 expr0 channel1 expr1 channel2 expr2 channel3 expr3 mix",
    "MergeExpression": "temp_name0 temp_expr0 temp_name1 temp_expr1 temp_name2 temp_expr2 temp_name3 "
    "temp_expr3 channel0 expr0 channel1 expr1 channel2 expr2 channel3 expr3 mix",
}
KNOBS = {cls: frozenset(f"{COMMON} {own}".split()) for cls, own in _OWN.items()}
ROOT = [
    "colorManagement",
    "OCIO_config",
    "customOCIOConfigPath",
    "OCIOConfigPath",
    "workingSpaceLUT",
    "name",
    "proxy",
]
