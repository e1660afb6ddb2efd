"""Makes the tests' own modules importable and registers the dynamics that the documentation adds: every law must hold it."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "examples"))

import goub  # noqa: F401

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background starts without
