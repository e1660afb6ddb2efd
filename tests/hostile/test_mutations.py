"""Damaged files of every format: a result or one line, in little time and memory, and nothing left over."""

import pytest
from hostile.attack import GOOD, Ask, attack
from hostile.formats import FORMATS

from mri_d3gm.io.open_image import READERS
from mri_d3gm.io.open_scan import SCAN_READERS

MUTATIONS = 2000


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_a_result_or_one_line(name: str, ask: Ask) -> None:
    """Repeat a failure alone by `python scripts/hostile_input.py --format NAME --seed SEED`."""
    trials = list(attack(ask, name, range(-(-MUTATIONS // len(FORMATS)))))
    failures = [trial for trial in trials if trial.answer.outcome not in GOOD]
    assert not failures, "\n".join(map(str, failures))
    assert {trial.answer.outcome for trial in trials} == set(GOOD)


def test_every_reader_is_attacked() -> None:
    for reader in (*SCAN_READERS, *READERS):
        assert any(name.partition(",")[0] == reader for name in FORMATS), f"{reader} has no line in hostile/formats.py"
