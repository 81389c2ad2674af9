"""``python -m benchmarks``: all there is to measure, which so far is the primitives and the channels."""

from __future__ import annotations

import sys

from benchmarks.primitives import main

if __name__ == "__main__":
    sys.exit(main())
