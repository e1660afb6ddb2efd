"""What the sidecar of a reconstruction says: provenance, sampling, noise, residual, trust, scores, warnings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm import pipeline
from mri_d3gm.io.sampling import center_lines, mean_accel
from mri_d3gm.io.scan import Scan, slices_of
from mri_d3gm.io.spikes import words
from mri_d3gm.metrics.bound import RULE, Bound, light, together
from mri_d3gm.physics.trust import EDGES, Support, total, weights_of_bands
from mri_d3gm.runs.bounds import bounds_of
from mri_d3gm.runs.record import provenance
from mri_d3gm.settings import SAMPLED, Recon, chosen_images, chosen_slices
from mri_d3gm.tasks.per_slice import POOR_FIT, POOR_MAPS, bounded, per_slice

Facts = dict[str, Any]
TESTED = 1.1  # acceleration from which on a result that could not be tested is named
INSTEAD = {
    "low-resolution": "maps of low resolution replace them",
    "espirit": "those of the centre lines alone replace them",
    "none": "each coil was reconstructed alone",
}


def describe(scan: Scan, settings: Recon, slices: Sequence[Facts | None]) -> dict[str, Any]:
    """The sidecar: provenance, sampling, noise, residual, trust, warnings."""
    mask, warnings = pipeline.sampling(scan, settings)
    filled = [index for index, one in zip(chosen_images(scan, settings), slices, strict=True) if one is not None]
    masks = scan.own_masks(filled) or [mask]
    chosen = chosen_slices(scan.name, scan.slices, settings.slices)
    facts = [one for one in slices if one is not None]
    noise = noise_record(facts)
    residuals = [fact["residual"] for fact in facts if fact["residual"] is not None]
    residual = float(np.sqrt(np.mean(np.square(residuals)))) if residuals else None
    trust = trust_record([fact["support"] for fact in facts], settings.trust if settings.method in SAMPLED else None)
    trust["SecondLooks"] = sum(fact["second_look"] for fact in facts)
    maps = sorted({fact["coil_maps"] for fact in facts})
    fit: list[list[float]] = sorted((fact["explained"] for fact in facts if fact["explained"]), key=sum)
    made, accel = provenance(settings, scan.files), mean_accel(masks, scan.limits)
    bounds = bounds_of(settings, scan.coils)
    places = [divmod(index, scan.slices) for index in chosen_images(scan, settings)]
    return {
        "Method": settings.method,
        "Input": {"File": Path(scan.name).name, "SHA256": made.pop("InputSHA256")},
        **made,
        "Sampling": {
            "FromFile": scan.mask is not None,
            "AccelerationAchieved": round(accel, 3),
            "CentreLines": np.min([center_lines(one) for one in masks], 0).tolist(),
        },
        "Coils": scan.coils,
        "SmoothPhaseSlices": sum(fact["smooth"] for fact in facts),
        "Slices": len(chosen),
        "Frames": len(slices) // len(chosen),
        "EmptySlices": len(slices) - len(facts),
        "Evaluations": max((fact["evaluations"] for fact in facts), default=0),
        "Draws": settings.samples if settings.method in SAMPLED else 1,
        "Noise": noise,
        "DataResidual": {
            "BeforeLastConsistency": residual,
            "RelativeToNoise": residual / noise["Sigma"] if residual is not None and noise["Sigma"] > 0 else None,
        },
        "Trust": trust,
        "Bound": bound_record(facts, bounds),
        "PerSlice": per_slice(places, slices, bounds.get("slice")),
        "CoilMaps": maps,
        "CoilMapSets": max((fact["sets"] for fact in facts), default=0),
        "CentreExplained": [round(share, 4) for share in fit[0]] if fit else [],
        "VoxelMillimetres": np.linalg.norm(slices_of(scan.affine, chosen)[:3, :3], axis=0).tolist(),
        "PositionKnown": scan.position_known,
        "ReadoutOversamplingRemoved": scan.oversampled,
        "IntendedUse": "research only, not for diagnosis",
        "Warnings": [
            *warnings,
            *spiky(places, slices),
            *doubts(noise, maps, fit, trust, accel if facts else 1.0),
            *scan.warnings,
        ],
    }


def spiky(places: Sequence[tuple[int, int]], slices: Sequence[Facts | None]) -> list[str]:
    """What to say of the spikes of slices, each at its (frame, slice)."""
    several = len({frame for frame, _ in places}) > 1
    found = [
        (f"slice {index} of frame {frame}" if several else f"slice {index}", spike)
        for (frame, index), one in zip(places, slices, strict=True)
        for spike in (() if one is None else one["spikes"])
    ]
    return [words(found)] if found else []


def bound_record(facts: list[Facts], bounds: dict[str, Bound]) -> dict[str, Any] | None:
    """What the error of the whole stays below at the bound's level, and its slices by their lights; None where unknown,
    as where a slice lacks the centre of k-space.
    """
    known = [fact for fact in facts if fact["evidence"] is not None]
    if not bounds or not known or any(fact["centreless"] for fact in facts):
        return None
    whole: Facts = {"evidence": together([fact["evidence"] for fact in known], [fact["rms"] for fact in known])}
    whole |= {"rms": float(np.sqrt(np.mean([fact["rms"] ** 2 for fact in known]))), "peak": max(fact["peak"] for fact in known)}
    lights = [light(bounds["slice"], fact["evidence"]) for fact in known]
    counted = {"Lights": {colour: lights.count(colour) for colour in ("green", "amber", "red")}}
    return {"Level": bounds["scan"].level, **bounded(whole, bounds["scan"]), **counted, "Rule": RULE}


def noise_record(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Noise of a volume: the median of its slices, reliable where all are."""
    if not facts:
        return {"Sigma": 0.0, "Source": "none", "Reliable": False}
    sources = [fact["noise"].source for fact in facts]
    return {
        "Sigma": float(np.median([fact["sigma"] for fact in facts])),
        "Source": max(sources, key=sources.count),
        "Reliable": all(fact["noise"].reliable for fact in facts),
    }


def doubts(noise: dict[str, Any], maps: list[str], fit: list[list[float]], trust: dict[str, Any], accel: float) -> list[str]:
    """What a user should know of a result; fit: share of the centre that each set of maps explains, the worst slice first;
    accel: of what was measured.
    """
    found = []
    if trust["Mode"] != "off" and trust["WithheldSamples"] == 0 and accel > TESTED:
        found.append(
            "nothing could be withheld to test the result: no line lies outside the centre, or all are evenly spaced without "
            "one; look for copies of the object, and hold fine detail against another image"
        )
    if noise["Source"] == "floor":
        found.append("the noise could not be estimated from this sampling: a floor stands for it")
    elif not noise["Reliable"] and noise["Sigma"] > 0:
        found.append("two ways to estimate the noise differ by more than three times: the estimate is unreliable")
    if "low-resolution" in maps:
        found.append("too few centre lines for ESPIRiT: coil maps are of low resolution")
    for source in maps:
        chosen, _, own = source.partition(" in place of ")
        if own:
            found.append(f"withheld lines contradict coil maps ({own}): {INSTEAD[chosen]}")
    wrapped = next((shares for shares in fit if len(shares) > 1), None)
    if wrapped is not None:
        found.append(
            "the field of view is smaller than the object, or something else lets two places share a pixel: "
            f"two sets of coil maps explain {100 * sum(wrapped):.1f} % of the centre lines, one {100 * wrapped[0]:.1f} %"
        )
    if fit and sum(fit[0]) < POOR_MAPS:
        found.append(
            f"the coil maps explain only {100 * sum(fit[0]):.0f} % of the energy of the centre lines: look for a broken coil, "
            "coil maps of another scan, or motion"
        )
    if trust["WithheldError"] is not None and trust["WithheldError"] > POOR_FIT:
        found.append(
            f"of the lines withheld to test it, the prediction missed {100 * trust['WithheldError']:.0f} % of the energy "
            "(100 %: no better than zero-filling); believe nothing fine that was not measured"
        )
    return found


def trust_record(supports: Sequence[Support | None], mode: str | None) -> dict[str, Any]:
    """The sidecar's word on withheld samples: error of all slices together, |y - p|^2 / |y|^2, and the mean weight by band."""
    found, whole = [support for support in supports if support is not None], total(supports)
    record: dict[str, Any] = {"Mode": mode or "off", "WithheldError": None, "WithheldSamples": 0}
    if whole is not None:
        weights = np.mean([weights_of_bands(support).numpy() for support in found], 0)
        record |= {"WithheldError": round(whole.error(), 4), "WithheldSamples": int(whole.samples.sum())}
        record |= {"BandEdges": list(EDGES), "WeightByBand": [round(float(weight), 3) for weight in weights]}
    return record


def scores(reference: np.ndarray, image: np.ndarray) -> dict[str, dict[str, float]]:
    """Metrics by protocol name."""
    from mri_d3gm.metrics import score

    return {name: score(reference, image, name) for name in ("fastmri-volume", "slice-max", "body", "haarpsi")}
