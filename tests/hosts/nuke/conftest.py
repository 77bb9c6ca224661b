"""The plug-in and its helpers are found as Nuke finds them: by folders on the path."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
for folder in (ROOT / "host_plugins" / "common", ROOT / "host_plugins" / "nuke", Path(__file__).parent):
    sys.path.insert(0, str(folder))
