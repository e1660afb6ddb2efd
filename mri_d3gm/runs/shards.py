"""Which part of a batch a process does: as it is told, or by its place in an array of jobs."""

import os
import re
from collections.abc import Mapping

from mri_d3gm.errors import InputError

# the number of a job in its array, the first number, and how many there are
ARRAYS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("JOB_COMPLETION_INDEX", "", "JOB_COMPLETIONS"),
)
STEP = "SLURM_ARRAY_TASK_STEP"


def shard_of(given: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(number from 1, how many) of i/n, or of an array of Slurm, AWS Batch or Kubernetes; (1, 1) outside of them.

    InputError where it is not known how many there are, or for what is no shard.
    """
    if given is not None:
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", given)
        index, count = (int(part) for part in found.groups()) if found else (0, 0)
        if not 1 <= index <= count:
            raise InputError(f"--shard {given}: i/n is needed, such as 1/8, the first of eight")
        return index, count
    for name, first, many in ARRAYS:
        if name in environment:
            if many not in environment:
                raise InputError(f"{name} is set, but not {many}: --shard i/n says which part of how many this is")
            numbers = (environment[name], environment.get(first) or "0", (first and environment.get(STEP)) or "1")
            try:
                own, lowest, step = map(int, numbers)
                return shard_of(f"{(own - lowest) // step + 1}/{environment[many]}")
            except (ValueError, ZeroDivisionError, InputError) as error:
                said = f"{name}={environment[name]}, {many}={environment[many]}"
                raise InputError(f"{said}: no array without gaps; --shard i/n says which part of how many this is") from error
    return 1, 1
