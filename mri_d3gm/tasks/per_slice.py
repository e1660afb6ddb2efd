"""What is known of each slice of a reconstruction without a reference: the sidecar's `PerSlice`."""

from collections.abc import Sequence
from typing import Any

from mri_d3gm.metrics.bound import Bound, least_psnr, light, upper

POOR_FIT, POOR_MAPS = 0.9, 0.9  # energy of withheld lines missed, of centre lines explained, at which a slice is doubted


def per_slice(
    places: Sequence[tuple[int, int]], facts: Sequence[dict[str, Any] | None], bound: Bound | None = None
) -> list[dict[str, Any]]:
    """Small records of slices, in their order.

    places: (frame, slice) of each, as the file counts; the frame is told where there are several. facts: as
    `tasks.recon.Slice` holds them. bound: of a slice's error, where one is known. What is unknown is None; an empty slice has
    its place and its flag alone.
    """
    several = len({frame for frame, _ in places}) > 1
    records = []
    for (frame, index), fact in zip(places, facts, strict=True):
        place = {"Frame": frame, "Slice": index} if several else {"Slice": index}
        records.append(place | ({"Flags": ["empty"]} if fact is None else _of(fact, bound)))
    return records


def _of(fact: dict[str, Any], bound: Bound | None) -> dict[str, Any]:
    support, residual, sigma = fact["support"], fact["residual"], fact["sigma"]
    record = bounded(fact, bound) | {
        "WithheldError": _short(support.error()) if support is not None and support.samples.any() else None,
        "ResidualRelativeToNoise": _short(residual / sigma) if residual is not None and sigma > 0 else None,
        "Sigma": _short(sigma),
        "CoilMaps": fact["coil_maps"],
        "CentreExplained": _short(sum(fact["explained"])) if fact["explained"] else None,
    }
    light = ["red"] if record["Light"] == "red" else []
    return record | {"Flags": [*light, *_flags(fact, record["WithheldError"], record["CentreExplained"])]}


def bounded(fact: dict[str, Any], bound: Bound | None) -> dict[str, Any]:
    """What the error stays below, relative and as PSNR in dB, at the bound's level, and the light; None where unknown."""
    evidence = fact["evidence"]
    if bound is None or evidence is None:
        return {"ErrorBelow": None, "PSNRAbove": None, "Light": None}
    greatest = upper(bound, evidence)
    psnr = least_psnr(greatest, fact["peak"], fact["rms"])
    return {"ErrorBelow": _short(greatest), "PSNRAbove": round(psnr, 2), "Light": light(bound, evidence)}


def _flags(fact: dict[str, Any], missed: float | None, explained: float | None) -> list[str]:
    """What to doubt of a slice, of `io.report_text.FLAGS`."""
    found = {
        "without-centre": fact["centreless"],
        "spikes": bool(fact["spikes"]),
        "poor-prediction": missed is not None and missed > POOR_FIT,
        "poor-maps": explained is not None and explained < POOR_MAPS,
        "replaced-maps": fact["coil_maps"].startswith("low-resolution in place of "),
        "without-maps": fact["coil_maps"].startswith("none in place of "),
        "coarse-maps": fact["coil_maps"] == "low-resolution",
        "wrapped": fact["sets"] > 1,
        "noise-unknown": fact["noise"].source == "floor",
        "noise-unsure": fact["noise"].source != "floor" and not fact["noise"].reliable and fact["sigma"] > 0,
        "second-look": fact["second_look"],
    }
    return [name for name, holds in found.items() if holds]


def _short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
