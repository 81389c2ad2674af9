"""Tasks of the tests live in a module that workers can import under its plain name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "importable"))
