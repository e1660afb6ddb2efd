"""What a report says of a result, out of its sidecar and nothing else, in the words of who reads images."""

from collections.abc import Iterable
from typing import Any, NamedTuple

Record = dict[str, Any]

FLAGS = {
    "red": "The error of the slice may be large. Compare it with the image without AI before you believe what you see.",
    "without-centre": "The centre of k-space was not measured: brightness and shape are unknown. Do not use this slice.",
    "spikes": "Samples of k-space were far larger than those around them, as after a spark, and were set to zero.",
    "bright-voxel": "A voxel was far brighter than all others, as no anatomy is, and was given the median of its neighbours.",
    "poor-prediction": "The scan contradicts the AI: measured lines that were hidden from it were not predicted. "
    "Do not rely on fine detail here.",
    "poor-maps": "The receive coils do not fit this slice: a broken coil, motion, or coil maps of another scan.",
    "replaced-maps": "The coil maps contradicted the scan and were replaced by coarser ones.",
    "without-maps": "No coil maps fit, as where more than two places share a pixel: each coil was reconstructed alone.",
    "wrapped": "Two places share a pixel: the field of view is smaller than the object.",
    "coarse-maps": "Too few lines in the centre for sharp coil maps: brightness may drift slowly across the image.",
    "noise-unknown": "The noise could not be measured.",
    "noise-unsure": "Two estimates of the noise differ by more than three times.",
    "second-look": "Withheld lines were missed at first: more of them were withheld, and other coil maps tried.",
    "empty": "No signal was measured.",
}
NOTES = ("second-look", "empty")  # worth knowing, no reason to doubt
UNKNOWN_SIDES = "Left and right are not known: the file does not say how the patient lay. The picture may be mirrored."
HALF = 0.5  # of the energy of withheld lines: missing more is said


class Lane(NamedTuple):
    """One row of the strip: its name, what it means, its unit, factor from the sidecar's value, the bar's end at least, and
    the flags that colour it.
    """

    key: str
    name: str
    meaning: str
    unit: str
    factor: float
    least: float
    flags: tuple[str, ...]


LANES = (
    Lane(
        "ErrorBelow",
        "Error at most",
        "With 90 % probability the error against a full scan is below this part of the image.",
        " %",
        100,
        30,
        ("red",),
    ),
    Lane(
        "WithheldError",
        "Withheld lines missed",
        "Energy of withheld measured lines that was not predicted; 100 % is no better than leaving them empty.",
        " %",
        100,
        100,
        ("poor-prediction", "replaced-maps", "without-maps"),
    ),
    Lane(
        "ResidualRelativeToNoise",
        "Misfit to the data",
        "Difference to the measured lines before the last agreement with them, in units of the noise.",
        " × noise",
        1,
        2,
        (),
    ),
    Lane("Residual", "Misfit to the data", "Difference to the input's voxels, in the image's units.", "", 1, 0, ()),
    Lane("Sigma", "Noise", "Standard deviation, in the data's units.", "", 1, 0, ("noise-unknown", "noise-unsure")),
    Lane(
        "CentreMissed",
        "Coil maps miss",
        "Energy of the centre lines that the coil maps do not explain.",
        " %",
        100,
        20,
        ("poor-maps", "coarse-maps", "wrapped"),
    ),
)


def kind(record: Record) -> str:
    """What the image is, in one line."""
    made = f"AI ({record['Method']})" if record["Weights"] else f"{record['Method']}, no AI"
    if "Sampling" in record:
        return f"Reconstruction by {made} · R = {record['Sampling']['AccelerationAchieved']:.3g}"
    how = "through the slices" if "Stack" in record else f"{record['Options']['scale']} × in plane"
    return f"Super-resolution by {made} · {how}"


def names(record: Record) -> dict[str, str]:
    """What the volumes are called, by role."""
    plain = "Zero-filled · no AI" if "Sampling" in record else "Interpolated · no AI"
    own = "AI" if record["Weights"] else f"{record['Method']} · no AI"
    return {"result": own, "plain": plain, "reference": "Reference", "std": "Expected error (std)", "error": "Error"}


def sentences(record: Record, sides_known: bool) -> tuple[list[str], list[str]]:
    """What the image is and how it did, and what to beware of."""
    said: list[str] = [_made(record)]
    beware: list[str] = []
    missed = (record.get("Trust") or {}).get("WithheldError")
    if missed is not None:
        share = f"{_percent(1 - missed)} of the energy" if missed < 1 else "nothing"
        text = f"Test on this scan: of measured lines that were hidden from the AI, {share} was predicted."
        (said if missed < HALF else beware).append(text)
    if record.get("Bound"):
        said.append(_bounded(record["Bound"]))
    if "Metrics" in record:
        said.append(_scored(record))
    if not sides_known:
        beware.append(UNKNOWN_SIDES)
    return said, beware


def _made(record: Record) -> str:
    if "Sampling" in record:
        share = _percent(1 / record["Sampling"]["AccelerationAchieved"])
        if record["Weights"]:
            return (
                f"A neural network completed this image from {share} of a full scan. "
                "What was not measured can be missing, blurred or invented."
            )
        return f"This image was made without AI from {share} of a full scan."
    made = "A neural network" if record["Weights"] else "Interpolation, without AI,"
    if "Stack" in record:
        stack = record["Stack"]
        finer = f"of slices {stack['ThicknessMillimetres']:.3g} mm thick, {stack['SpacingMillimetres']:.3g} mm apart."
    else:
        finer = f"{record['Options']['scale']} times finer in plane than it was measured."
    return f"{made} made this image {finer}" + (" The added detail was not measured." if record["Weights"] else "")


def _bounded(bound: Record) -> str:
    counts = ", ".join(f"{count} {colour}" for colour, count in bound["Lights"].items() if count)
    level, below = _percent(bound["Level"]), _percent(bound["ErrorBelow"])
    return f"With {level} probability the error of the whole is below {below} of the image. Slices: {counts} ({bound['Rule']})."


def _scored(record: Record) -> str:
    score, plain = (record.get(name, {}).get("fastmri-volume", {}) for name in ("Metrics", "MetricsZeroFilled"))
    digits = {"psnr": ".1f", "ssim": ".3f"}
    own, zeros = ({name: format(each[name], form) for name, form in digits.items() if each} for each in (score, plain))
    text = f"Against the reference: PSNR {own['psnr']} dB, SSIM {own['ssim']}"
    if not plain:
        return text + "."
    text += f" (zero-filled {zeros['psnr']} dB, {zeros['ssim']})."
    worse = [name.upper() for name in digits if float(own[name]) < float(zeros[name])]
    return text + (f" {' and '.join(worse)} {'is' if len(worse) == 1 else 'are'} below zero-filled." if worse else "")


def flagged(slices: Iterable[Record]) -> dict[str, list[int]]:
    """Places in `slices` of each flag, in the order of FLAGS; those alone that some have."""
    every = list(slices)
    found = {flag: [place for place, one in enumerate(every) if flag in one["Flags"]] for flag in FLAGS}
    return {flag: places for flag, places in found.items() if places}


def lanes(slices: list[Record]) -> list[dict[str, Any]]:
    """Rows of the strip that have values: one for each of `slices`, in the lane's unit, None where it is unknown."""
    found = []
    for lane in LANES:
        values = [_value(one, lane) for one in slices]
        known = [value for value in values if value is not None]
        if known:
            top = max(lane.least, *known) or 1.0
            found.append({"name": lane.name, "meaning": lane.meaning, "unit": lane.unit, "values": values, "top": top})
            found[-1]["doubted"] = [any(flag in one["Flags"] for flag in lane.flags) for one in slices]
    return found


def _value(one: Record, lane: Lane) -> float | None:
    value = one.get(lane.key)
    if lane.key == "CentreMissed" and one.get("CentreExplained") is not None:
        value = max(0.0, 1 - one["CentreExplained"])
    return None if value is None else float(f"{value * lane.factor:.4g}")


def provenance(record: Record) -> list[tuple[str, str]]:
    """How the image was made, line by line; of the sidecar what is listed here, and nothing else of it."""
    weights, noise, sampling = record["Weights"], record.get("Noise"), record.get("Sampling")
    lines = [("Input", record["Input"]["File"]), ("Input SHA-256", record["Input"]["SHA256"]), ("Method", record["Method"])]
    if sampling is not None:
        centre = _by([count for count in sampling["CentreLines"] if count > 1] or ["no"])
        lines.append(("Acceleration", f"R = {sampling['AccelerationAchieved']:g}, {centre} centre lines"))
        lines.append(("Mask", "the file's own" if sampling["FromFile"] else "drawn from the seed"))
        lines.append(("Coils", f"{record['Coils']}; maps {', '.join(record['CoilMaps'])}"))
    else:
        lines.append(("Matrix", f"{_by(record['MatrixBefore'])} to {_by(record['Matrix'])}"))
    if noise is not None:
        lines.append(("Noise", f"{noise['Sigma']:.4g} ({noise['Source']}{'' if noise['Reliable'] else ', unreliable'})"))
    lines.append(("Voxel", f"{_by(f'{size:.3g}' for size in record['VoxelMillimetres'])} mm"))
    lines.append(("Draws", f"{record['Draws']}, {record['Evaluations']} network evaluations a slice"))
    lines.append(("Seed", str(record["Options"]["seed"])))
    if weights is not None:
        lines += [("Weights", weights["File"]), ("Weights SHA-256", weights["SHA256"])]
    lines.append(("Software", ", ".join(f"{name} {number}" for name, number in record["Software"].items() if number)))
    options = {name: value for name, value in record["Options"].items() if value not in (None, False)}
    lines.append(("Options", ", ".join(f"{name} {value}" for name, value in options.items())))
    return lines


def _by(sizes: Iterable[Any]) -> str:
    return " × ".join(map(str, sizes))


def _percent(share: float) -> str:
    return f"{100 * max(share, 0):.{0 if share >= 0.095 else 1}f} %"
