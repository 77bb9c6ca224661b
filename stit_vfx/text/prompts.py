"""The sentences that a text is put into, so that its embedding does not hang on one wording."""

from __future__ import annotations

from stit_vfx.text.library import open_clip


def prompts_of(text: str) -> list[str]:
    """The text in CLIP's 80 ImageNet sentences: `a bad photo of a smiling face.` and so on.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, 3.1.4.
    """
    return [template(text) for template in open_clip().OPENAI_IMAGENET_TEMPLATES]
