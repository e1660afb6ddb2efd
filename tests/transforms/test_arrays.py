"""The transforms of k-space on arrays in memory and on files, and that they give what `pipeline.prepare` gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import list_data_collate
from monai.transforms import Compose
from scans import four_coils, write_scan

from mri_d3gm import pipeline
from mri_d3gm.compute import one_thread
from mri_d3gm.handlers import measurement_of, prepare_batch
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import ready_slice
from mri_d3gm.transforms import (
    BlurSubsampled,
    CoilMapsd,
    Hazyd,
    LoadKspaced,
    NoiseEstimated,
    NormaliseKspaced,
    Rainyd,
    RicianNoised,
    TruncateKspaced,
    UndersampleKspaced,
    ZeroFilledd,
)

LINES = (np.arange(64) % 3 == 0) | (abs(np.arange(64) - 32) < 6)


def chain(*first: object) -> Compose:
    return Compose([*first, NormaliseKspaced(), NoiseEstimated(), CoilMapsd(), ZeroFilledd()])


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("coils", [1, 4])
def test_arrays_go_through_as_files_do(coils: int, own: bool, tmp_path: Path) -> None:
    kspace = four_coils()[:, :coils] * (LINES if own else 1)
    path = write_scan(tmp_path / "a.h5", kspace, **({"mask": LINES} if own else {}))
    item = {"kspace": torch.from_numpy(kspace[1])} | ({"mask": LINES} if own else {})
    undersample = UndersampleKspaced(accel=4)
    array, file = chain(undersample)(item), chain(LoadKspaced(), undersample)({"path": path, "slice": 1})
    for name in ("kspace", "mask", "zero_filled", "scale", "noise", *(["coil_maps"] if coils > 1 else [])):
        assert np.array_equal(array[name], file[name]) if name != "noise" else array[name] == file[name]


@pytest.mark.parametrize("coils", [1, 4])
def test_spikes_are_taken_out_as_recon_takes_them(coils: int, tmp_path: Path) -> None:
    kspace = four_coils()[:, :coils].copy()
    kspace[:, 0, 12, 50] = 3000 * np.median(np.abs(kspace))
    path = write_scan(tmp_path / "a.h5", kspace)
    undersample = UndersampleKspaced(accel=2)
    for item, first in (({"kspace": kspace[1]}, ()), ({"path": path, "slice": 1}, (LoadKspaced(),))):
        made = chain(*first, undersample)(item)
        ready = ready_slice(open_scan(path), 1, made["mask"].numpy())
        assert made["scale"] == ready.prepared.scale[0] and len(ready.spikes) == 1


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("kind", ["half", "double", "with gradient", "numpy"])
def test_tensors_of_all_kinds_are_taken(kind: str) -> None:
    plain = torch.from_numpy(four_coils()[0]).to(torch.complex32).to(torch.complex64)
    changes = {
        "half": lambda x: x.to(torch.complex32),
        "double": lambda x: x.to(torch.complex128),
        "numpy": lambda x: x.numpy(),
    }
    changed = changes.get(kind, lambda x: x.clone().requires_grad_())(plain)
    masks = [torch.from_numpy(LINES), torch.from_numpy(LINES.astype(np.float32)).requires_grad_(kind == "with gradient")]
    wanted, found = (
        chain(UndersampleKspaced())({"kspace": kspace, "mask": mask})
        for kspace, mask in zip((plain, changed), masks, strict=True)
    )
    assert torch.equal(found["zero_filled"], wanted["zero_filled"]) and not found["zero_filled"].requires_grad


@pytest.mark.parametrize("coils", [1, 4])
def test_they_give_what_prepare_gives(coils: int) -> None:
    kspace = four_coils()[:, :coils]
    d = chain(UndersampleKspaced(accel=4))({"kspace": torch.from_numpy(kspace[0])})
    mask = pipeline.make_mask((72, 64), 4)
    with one_thread():
        prepared = pipeline.prepare(torch.from_numpy(kspace[:1]), torch.from_numpy(mask))
    batch = {name: value[None] if isinstance(value, torch.Tensor) else value for name, value in d.items()}
    batch |= {"noise": {name: torch.tensor([value]) for name, value in d["noise"].items() if name == "sigma"}}
    batch |= {"coil_map_source": [d["coil_map_source"]], "slice": [0]}
    found, wanted = measurement_of(batch).tensors(), prepared.measurement.tensors()
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert torch.equal(found[name], wanted[name]), name
    assert d["scale"] == prepared.scale[0]
    inputs, reference, _, kwargs = prepare_batch(batch, "cpu", False)
    assert torch.equal(inputs[0], d["zero_filled"]) and reference is None and kwargs["indices"] == [0]


def test_collated_arrays_are_a_batch_for_monais_evaluator() -> None:
    steps = chain(UndersampleKspaced(accel=4))
    items = [steps({"kspace": torch.from_numpy(kspace[:1])}) for kspace in four_coils()]
    for numbers, indices in (({}, [0, 1]), ({"slice": [5, 3]}, [5, 3]), ({"slice": [5, 3], "index": [8, 9]}, [8, 9])):
        named = [item | {name: values[place] for name, values in numbers.items()} for place, item in enumerate(items)]
        inputs, _, _, kwargs = prepare_batch(list_data_collate(named), "cpu", False)
        assert kwargs["indices"] == indices and len(inputs) == len(kwargs["measurement"]) == 2


def test_a_masks_options_are_checked_once_they_are_named() -> None:
    from mri_d3gm.errors import InputError

    for options in ({"accel": 0.5}, {"kind": "magical"}, {"axis": "third"}, {"seed": -1}):
        with pytest.raises(InputError):
            UndersampleKspaced(**options)
    assert UndersampleKspaced().settings == Recon()


def test_normalising_can_be_inverted() -> None:
    kspace = torch.from_numpy(four_coils()[0])
    normalise = NormaliseKspaced()
    d = normalise({"kspace": kspace})
    torch.testing.assert_close(normalise.inverse(d)["kspace"], kspace, rtol=1e-5, atol=1e-5)


def test_a_chain_with_several_keys_is_inverted_as_a_whole() -> None:
    item = {"kspace": torch.from_numpy(four_coils()[0]), "other": torch.from_numpy(3 * four_coils()[1])}
    steps = Compose([UndersampleKspaced(accel=1), NormaliseKspaced(["kspace", "other"])])
    d = steps(item)
    assert d["scale"] == NormaliseKspaced()(item)["scale"]
    torch.testing.assert_close(d["other"] * d["scale"], item["other"], rtol=1e-5, atol=1e-5)
    for key, value in item.items():
        torch.testing.assert_close(steps.inverse(d)[key], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [NormaliseKspaced, TruncateKspaced, BlurSubsampled, RicianNoised, Rainyd, Hazyd])
def test_a_missing_key_is_an_error_unless_it_may_be_missing(make: type) -> None:
    with pytest.raises(KeyError):
        make(keys="absent")({"other": 1})
    lenient = make(keys="absent", allow_missing_keys=True)
    assert lenient({"other": 1}) == {"other": 1}
    if hasattr(lenient, "inverse"):
        assert lenient.inverse({"other": 1}) == {"other": 1}


def test_without_kspace_nothing_else_is_taken_for_it() -> None:
    item = {"other": torch.ones(2, 8, 8)}
    steps = NormaliseKspaced(["kspace", "other"], allow_missing_keys=True)
    assert set(steps(item)) == {"other"} and torch.equal(steps(item)["other"], item["other"])
    assert torch.equal(steps.inverse(steps(item))["other"], item["other"])
