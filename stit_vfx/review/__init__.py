"""What a person looks at: contact sheet and preview movie."""

from stit_vfx.review.movie import write_movie
from stit_vfx.review.sheet import SheetFrame, contact_sheet, write_png
from stit_vfx.review.version import write_review

__all__ = ["SheetFrame", "contact_sheet", "write_movie", "write_png", "write_review"]
