"""What the numbers of a training may be, each once."""

import math
import sys
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

from mri_d3gm.errors import InputError


class Limits(NamedTuple):
    """From `least` to `most`; whole: without a fraction; none: or null."""

    least: float
    most: float = sys.float_info.max
    whole: bool = False
    none: bool = False

    def fit(self, value: Any) -> bool:
        """Whether a value is such a number."""
        if value is None:
            return self.none
        kind = Integral if self.whole else Real
        return isinstance(value, kind) and not isinstance(value, bool) and self.least <= value <= self.most  # type: ignore[operator]

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        span = f"from {self.least:g} to {self.most:.0f}" if self.most < sys.float_info.max else f"of at least {self.least:g}"
        return f"{kind} {span}"


SHARE = Limits(0, 1)
TRAINER = {
    "steps": Limits(0, whole=True),
    "lr": Limits(0),
    "weight_decay": Limits(0),
    "spread_after": SHARE,
    "early": SHARE,
    "ema": SHARE,
    "validate_every": Limits(1, whole=True),
    "checkpoint_seconds": Limits(0, math.inf),
    "parts": Limits(1, 2**10, whole=True),
}
OWN = {"seed": Limits(0, 2**32 - 1, whole=True), "max_minutes": Limits(0, math.inf)}
# keywords of this package's simulators
SIMULATED = {
    "batch": Limits(1, 4096, whole=True),
    **dict.fromkeys(("rows", "cols", "crop"), Limits(8, 4096, whole=True)),
    "accel": Limits(1, none=True),
    "factor": Limits(1, 16, whole=True, none=True),
    **dict.fromkeys(("rough", "many", "planar", "correlated", "partial", "apart", "ghosted"), SHARE),
    **dict.fromkeys(("blind", "heavy", "misty"), SHARE),
}
NUMBERS = [*(f"train#trainer#{name}" for name in TRAINER), *(f"train#simulate#{name}" for name in SIMULATED)]
LEAST_LINES = 6  # that a mask of a given acceleration has


def check_numbers(values: Mapping[str, Any], limits: Mapping[str, Limits], prefix: str = "") -> None:
    """InputError that names the first of `values` that is not within its limits, by its name in a configuration."""
    for name in limits:
        if name in values and not limits[name].fit(values[name]):
            raise InputError(f"{prefix}{name}: must be {limits[name]}, not {values[name]!r}")


def check_simulated(values: Mapping[str, Any]) -> None:
    """InputError for keywords that this package's simulators cannot have."""
    check_numbers(values, SIMULATED, "train#simulate#")
    accel, cols = values.get("accel"), values.get("cols")
    if accel is not None and cols is not None and cols < LEAST_LINES * accel:
        most = cols / LEAST_LINES
        raise InputError(f"train#simulate#accel: {accel:g} leaves under {LEAST_LINES} of {cols} columns; at most {most:.1f}")
