"""The targets of these tests live in a module that children can import, whatever way they are started."""

from __future__ import annotations

import sys
from pathlib import Path

# Spawned children and the fork server's get this path with multiprocessing's preparation data.
sys.path.insert(0, str(Path(__file__).parent / "importable"))
