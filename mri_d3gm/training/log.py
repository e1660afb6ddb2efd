"""What a training says of each step: log.csv, and events for TensorBoard."""

import csv
import math
import os
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_path

COLUMNS = ("step", "loss", "lr", "gain_db")


def rows_before(path: Path, step: int) -> list[dict[str, str]]:
    """Rows of a log.csv before a step; lines that a crash filled with zeros, and what has no number of a step, are left out."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:  # spreadsheets add a mark
        rows = csv.DictReader(line for line in file if "\0" not in line)
        return [row for row in rows if (row.get("step") or "").isdecimal() and int(row["step"]) < step]


class Log:
    """log.csv, and TensorBoard events where tensorboard is installed; rows from `step` on are written anew. Without a folder
    nothing is kept.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        path = Path(os.devnull) if folder is None else folder / "log.csv"
        if folder is not None:
            kept = rows_before(path, step)
            with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(kept)
        self.path, self.finite = path, True
        self.file = open(path, "a", newline="")  # noqa: SIM115
        self.writer = csv.DictWriter(self.file, COLUMNS)
        self.held: dict[str, Any] | None = None
        self.loss = math.nan
        self.board: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
        except ImportError:
            pass

    def write(self, row: dict[str, Any]) -> None:
        """Keep a row and write the one before, whose loss, a tensor, a GPU has ready by now."""
        self.flush()
        self.held = row

    def flush(self) -> None:
        """Write the row that is kept; `finite` says whether its loss was."""
        if self.held is None:
            return
        row = self.held | {"loss": self.held["loss"].item()}
        self.held, self.loss, self.finite = None, row["loss"], math.isfinite(row["loss"])
        try:
            self.writer.writerow(row)
            self.file.flush()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}; make room for it") from error
        if self.board is not None:
            for name in set(row) - {"step"}:
                self.board.add_scalar(name, row[name], int(row["step"]))

    def close(self) -> None:
        self.flush()
        self.file.close()
        if self.board is not None:
            self.board.close()
