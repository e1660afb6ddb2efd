"""Small files that ask for much, reach outside of themselves or cannot be read: one line that says so."""

import subprocess
import sys
from pathlib import Path

import pytest
from hostile.attack import BOUND, Ask
from hostile.bombs import BOMBS
from hostile.formats import fastmri

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import reading
from mri_d3gm.io.open_scan import open_scan


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_one_line_and_takes_little(name: str, ask: Ask, tmp_path: Path) -> None:
    bomb = BOMBS[name]
    path = bomb.write(tmp_path)
    answer = ask(bomb.format, path)
    assert answer.outcome == "refused" and bomb.words in answer.text, answer
    assert answer.memory < 4 * path.stat().st_size + BOUND and answer.seconds < 5, answer


def test_a_file_that_another_program_writes_is_said_to_be_open(tmp_path: Path) -> None:
    path = fastmri(tmp_path)
    code = f"import h5py, sys; file = h5py.File({str(path)!r}, 'r+'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdin is not None
        writer.stdout.readline()
        with pytest.raises(InputError, match="another program"):
            open_scan(path)
        writer.stdin.close()
    open_scan(path)


def test_a_file_without_permission_is_said_to_be_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no permission to read it"), reading(tmp_path):
        raise PermissionError(13, "Permission denied")
