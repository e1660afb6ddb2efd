"""Paths that the laws are tested on: every member of the registry, those with a schedule under each of them (PATHS).

MEMBERS, for slow tests, has every member under its default schedule and D3GM under each.
"""

from dataclasses import fields

import pytest

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.dynamics.schedules import SCHEDULES


def options(name: str) -> set[str]:
    return {field.name for field in fields(DYNAMICS[name])}


SCHEDULED = [(name, schedule) for name in DYNAMICS if "schedule" in options(name) for schedule in SCHEDULES]
PATHS = {f"{name}-{schedule}": make_path(name, schedule=schedule) for name, schedule in SCHEDULED}
PATHS |= {name: make_path(name) for name in DYNAMICS if "schedule" not in options(name)}
MEMBERS = {name: make_path(name) for name in DYNAMICS}
MEMBERS |= {name: path for name, path in PATHS.items() if name.startswith("d3gm-") and path not in MEMBERS.values()}
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
each_member = pytest.mark.parametrize("path", MEMBERS.values(), ids=MEMBERS)


def last(path: Dynamics, before: float = 0.01) -> float:
    """T, or a little earlier where the path starts at a point."""
    return path.T if path.start()[1] > 0 else path.T - before
