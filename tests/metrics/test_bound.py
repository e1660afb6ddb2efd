"""The bound on the error: it holds as often as it says for new subjects, and calls nothing green that is new."""

import numpy as np
import pytest

from mri_d3gm.metrics.bound import GREEN, RED, Bound, Evidence, fit, known_kind, least_psnr, light, together, upper


def drawn(seed: int, subjects: int, slices: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evidence, errors that follow it with a factor of each subject and of each slice, and subjects."""
    rng = np.random.default_rng(seed)
    evidence = np.exp(rng.normal([-2, -2, -3, 1.5], [0.6, 0.5, 0.3, 0.5], (subjects * slices, 4)))
    names = np.repeat(np.arange(subjects), slices)
    scatter = rng.normal(0, 0.2, subjects)[names] + rng.normal(0, 0.15, len(names))
    errors = np.exp(0.5 * np.log(evidence[:, 0]) + 0.5 * np.log(evidence[:, 1]) + scatter)
    return evidence, errors, names


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_new_subjects_stay_below_it_as_often_as_it_says(level: float) -> None:
    found = []
    for seed in range(40):
        bound = fit(*drawn(seed, 30), level=level)
        evidence, errors, _ = drawn(1000 + seed, 20)
        found.append(np.mean([error <= upper(bound, Evidence(*one)) for one, error in zip(evidence, errors, strict=True)]))
    assert level - 0.02 < np.mean(found) < level + 0.06


def test_a_subject_counts_once_however_many_slices_it_has() -> None:
    evidence, errors, names = drawn(0, 30)
    many = np.concatenate([np.arange(len(names)), np.tile(np.flatnonzero(names == 3), 50)])
    once, often = fit(evidence, errors, names), fit(evidence[many], errors[many], names[many])
    assert often.subjects == once.subjects == 30 and often.margin == pytest.approx(once.margin, abs=0.15)


def test_few_subjects_are_refused() -> None:
    with pytest.raises(ValueError, match="5 subjects: 10 are needed"):
        fit(*drawn(0, 5))


def test_lights_go_with_the_bound_and_nothing_new_is_green() -> None:
    bound = Bound(0.9, [1.0, 0.0, 0.0, 0.0, 0.0], 0.0, [0.01, 0.01, 0.01, 2.0], [0.5, 0.5, 0.5, 16.0], 30)
    for error, colour in ((GREEN / 2, "green"), (1.01 * GREEN, "amber"), (0.99 * RED, "amber"), (1.01 * RED, "red")):
        one = Evidence(error, 0.1, 0.1, 4.0)
        assert upper(bound, one) == pytest.approx(error) and light(bound, one) == colour
    new = Evidence(GREEN / 2, 0.1, 0.1, 64.0)
    assert not known_kind(bound, new) and light(bound, new) == "amber"


def test_a_volume_has_the_evidence_of_its_slices_by_their_energy() -> None:
    parts = [Evidence(0.1, 0.2, 0.3, 4.0), Evidence(0.3, 0.1, 0.1, 4.0)]
    assert together(parts[:1] * 3, [1.0, 2.0, 3.0]) == pytest.approx(parts[0])
    both = together(parts, [1.0, 2.0])
    assert both.foretold**2 * 5 == pytest.approx(0.1**2 * 1 + 0.3**2 * 4) and both.accel == 4


def test_psnr_goes_with_the_relative_error() -> None:
    rng = np.random.default_rng(0)
    reference = rng.random((9, 9))
    image = reference + 0.05 * rng.normal(size=reference.shape)
    rms = np.sqrt(np.mean(reference**2))
    relative = np.sqrt(np.mean((image - reference) ** 2)) / rms
    psnr = 20 * np.log10(reference.max() / np.sqrt(np.mean((image - reference) ** 2)))
    assert least_psnr(float(relative), float(reference.max()), float(rms)) == pytest.approx(psnr)
