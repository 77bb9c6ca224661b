"""The session is not an installed package: hosts add its folder to their path, and so do these tests."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "host_plugins" / "common"))
