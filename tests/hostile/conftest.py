import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile.opener import Answer, opener


@pytest.fixture(scope="session")
def ask() -> Iterator[Callable[[str, Path], Answer]]:
    """Opens a file (format, path) in a child process with limits."""
    if not sys.platform.startswith("linux"):
        pytest.skip("forks, and reads /proc")
    with opener() as function:
        yield function
