import sys

import pytest
from mrd_server import PLAIN

from mri_d3gm.cli import main as cli
from mri_d3gm.tasks.serve import Model, started


@pytest.fixture
def mri(capsys, monkeypatch):
    """Runs the command with arguments in a terminal, of 40 columns if not said: exit code, stdout, stderr."""

    def call(*arguments: object, columns: int = 40) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mri-d3gm", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def model() -> Model:
    """What serve and stream run, of the plainest method."""
    return started(PLAIN, ("image", "std"))
