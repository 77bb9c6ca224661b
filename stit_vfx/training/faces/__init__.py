"""Synthetic faces: everything but the public source's geometry is procedural, and every face has a number."""

from stit_vfx.training.faces.head import Head
from stit_vfx.training.faces.render import Picture, Studio
from stit_vfx.training.faces.sample import Face, draw, draw_face

__all__ = ["Face", "Head", "Picture", "Studio", "draw", "draw_face"]
