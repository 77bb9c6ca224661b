"""Edits from a text: CLIP's text half, and the directions that it gives in style space.

Importing this is quick; open_clip is imported by the first network that is loaded.
"""

from stit_vfx.text.clip import TextNetwork, TextSizes, load_text_net, text_state

__all__ = ["TextNetwork", "TextSizes", "load_text_net", "text_state"]
