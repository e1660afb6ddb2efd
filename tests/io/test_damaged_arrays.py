"""Files of every format with bytes changed, or cut: a scan, or one line; never another exception, and no crash."""

from pathlib import Path

import numpy as np
import pytest
from test_same_phantom import WRITERS, series

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan


def damage(content: bytes, generator: np.random.Generator) -> bytes:
    """Some bytes changed, most of them near the beginning, or the end cut off."""
    if generator.random() < 0.25:
        return content[: generator.integers(len(content))]
    changed = bytearray(content)
    for _ in range(generator.integers(1, 6)):
        reach = min(len(content), int(generator.choice([200, 2000, len(content)])))
        changed[generator.integers(reach)] = generator.choice([0, 1, 127, 128, 255, generator.integers(256)])
    return bytes(changed)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.filterwarnings("error")
def test_damaged_files_are_read_or_refused_in_one_line(writer: str, tmp_path: Path) -> None:
    path = WRITERS[writer](tmp_path, series(2))
    files = {file: file.read_bytes() for file in tmp_path.iterdir()}
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        for file, content in files.items():
            file.write_bytes(damage(content, generator))
        try:
            scan = open_scan(path)
            for image in range(min(3, scan.frames * scan.slices)):
                assert np.isfinite(scan.read(image)).all()
        except InputError as error:
            refused += 1
            assert str(path.with_suffix("")) in str(error) and "\n" not in str(error)
    assert refused > 5
