"""Makes the tests of this folder importable by name, for the children that they start.

Only that lives here. pytest imports the tests without ``sys.path``; a child under spawn or forkserver gets the
parent's ``sys.path`` and looks up ``conformance.test_…`` there.
"""

from __future__ import annotations

import os
import sys

_ABOVE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if _ABOVE not in sys.path:
    sys.path.append(_ABOVE)
