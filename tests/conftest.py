"""Makes the tests' own modules importable and registers the dynamics that the documentation adds: every law must hold it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "examples"))

import goub  # noqa: F401
