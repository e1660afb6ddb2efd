"""DICOM of recon and sr: from k-space and DICOM, with and without template, whole or not at all, and nobody named elsewhere."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_checks import HAS_STANDARD, assert_same, by_dcm2niix, errors_of, missing, needs, validated
from dicom_files import ORIGIN, write_series
from raw_files import Blob, Protocol, write_ismrmrd
from scans import write_scan

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.read_dicom import read_dicom
from mri_d3gm.io.sidecar import read_sidecar
from mri_d3gm.settings import Recon, SuperResolve
from mri_d3gm.tasks import recon, sr

NAME = "ZZMARKED^NAME"
STUDY = {
    "PatientName": NAME, "PatientID": "ZZMARKED7", "PatientBirthDate": "19700203", "StudyInstanceUID": "1.2.3.4",
    "FrameOfReferenceUID": "1.2.3.5", "StudyDate": "20200102", "AccessionNumber": "ZZMARKED9", "PatientPosition": "HFS",
    "Manufacturer": "ACME", "ManufacturerModelName": "One", "ReferringPhysicianName": "ZZMARKED^DOC",
}  # fmt: skip
QUICK: dict[str, Any] = {"device": "cpu", "steps": 1, "samples": 1}


def template(folder: Path, **values: Any) -> Path:
    return write_series(folder, **STUDY | values)


def fastmri(path: Path) -> Path:
    return write_scan(path / "knee.h5")


def ismrmrd(path: Path) -> Path:
    made = Protocol(matrix=(24, 20, 1), slices=(-4.0, 0.0, 4.0), centre=tuple(ORIGIN))
    blobs = [Blob((-5.0, 20.0, 30.0), 8.0), Blob((4.0, 30.0, 34.0), 5.0)]
    return write_ismrmrd(path / "raw.h5", blobs, made)


def series(path: Path) -> Path:
    data = np.random.default_rng(2).integers(1, 900, (3, 24, 20)).astype(np.uint16)
    return template(path / "input", data=data)


SOURCES = {"fastmri": fastmri, "ismrmrd": ismrmrd, "dicom": series}


def run(path: Path, out: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Names and record of a run of recon, or of sr on DICOM."""
    if path.is_dir():
        names = sr.names_of(path, out)
        return names, sr.superresolve_file(path, SuperResolve(scale=2, **QUICK | options), names)[0]
    names = recon.names_of(path, out)
    return names, recon.reconstruct_file(path, Recon(**QUICK | {"accel": 2} | options), names)[0]


def objects(folder: Path) -> dict[str, list[pydicom.Dataset]]:
    """By series."""
    return {one.name: [pydicom.dcmread(path) for path in sorted(one.iterdir())] for one in sorted(folder.iterdir())}


@pytest.mark.parametrize("with_template", [False, True])
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
@pytest.mark.parametrize("source", SOURCES)
def test_any_input_conforms_and_lies_where_the_nifti_does(source: str, kind: str, with_template: bool, tmp_path: Path) -> None:
    more = {"template": str(template(tmp_path / "study"))} if with_template else {}
    names, record = run(SOURCES[source](tmp_path), tmp_path / "out", dicom=kind, **more)
    found = objects(names.dicom)
    main = "superres" if source == "dicom" else "recon"
    assert set(found) == {main, "std"} or set(found) == {main}
    for paths in names.dicom.iterdir():
        path = sorted(paths.iterdir())[0]
        assert missing(path) == []
        assert shutil.which("dciodvfy") is None or errors_of(path) == []
        assert not HAS_STANDARD or validated(path) == set()
    nifti, image = nibabel.load(names.result), read_dicom(names.dicom / main)
    power = 10.0 ** round(np.log10(image.array.max() / nifti.get_fdata().max()))
    step = np.ptp(image.array) / 32767
    assert_same(nifti.get_fdata() * power, nifti.affine, (image.array, image.affine), step)
    first = found[main][0]
    patient = with_template or source == "dicom"
    assert (first.PatientName == NAME) == patient and (first.StudyInstanceUID == "1.2.3.4") == patient
    assert (first.FrameOfReferenceUID == "1.2.3.5") == (patient and source != "fastmri")
    assert (first.SeriesNumber, len({one.SeriesInstanceUID for one in found[main]})) == (401 if patient else 1, 1)
    assert any("names no patient" in text for text in record["Warnings"]) != patient


@pytest.mark.parametrize(("code", "place", "shared"), [(1, ORIGIN, True), (2, ORIGIN, False), (1, ORIGIN + 1000, False)])
def test_a_nifti_joins_the_space_of_its_template(code: int, place: np.ndarray, shared: bool, tmp_path: Path) -> None:
    affine = np.diag([2.0, 2, 4, 1])
    affine[:3, 3] = place * (-1, -1, 1)
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((10, 9, 3), np.float32), affine)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    nibabel.save(image, tmp_path / "a.nii")
    names = sr.names_of(tmp_path / "a.nii", tmp_path / "out")
    settings = SuperResolve(scale=2, method="cubic", dicom="classic", template=str(template(tmp_path / "study")))
    sr.superresolve_file(tmp_path / "a.nii", settings, names)
    found = objects(names.dicom)["superres"][0]
    assert (found.FrameOfReferenceUID == "1.2.3.5") == shared and found.StudyInstanceUID == "1.2.3.4"


@needs("dcm2niix")
def test_dcm2niix_makes_the_same_volume(tmp_path: Path) -> None:
    names, _ = run(series(tmp_path), tmp_path / "out", dicom="classic", method="cubic")
    nifti, image = nibabel.load(names.result), read_dicom(names.dicom)
    found = by_dcm2niix(names.dicom, tmp_path / "nii")[0]
    assert_same(nifti.get_fdata(), nifti.affine, found, np.ptp(image.array) / 32767)


@pytest.mark.parametrize("sibling", ["zero-filled", "sense"])
def test_a_sibling_shares_study_place_and_window(sibling: str, tmp_path: Path) -> None:
    names, record = run(fastmri(tmp_path), tmp_path / "out", dicom="classic", sibling=sibling)
    found = objects(names.dicom)
    assert set(found) == {"recon", "std", sibling} and record["Options"]["sibling"] == sibling
    ours, other = found["recon"][0], found[sibling][0]
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient", "WindowCenter", "WindowWidth"):
        assert ours[name].value == other[name].value
    assert ours.SeriesInstanceUID != other.SeriesInstanceUID
    assert [found[name][0].SeriesNumber for name in ("recon", sibling, "std")] == [1, 2, 3]
    assert ours.SeriesDescription == "d3gm R2 AI" and other.SeriesDescription == f"{sibling} R2"
    assert "neural network" in ours.DerivationDescription and "neural network" not in other.DerivationDescription
    assert other.SoftwareVersions == "mri-d3gm 0.2.0"


def test_frames_and_parts(tmp_path: Path) -> None:
    made = Protocol(matrix=(24, 20, 1), slices=(0.0, 4.0), counts={"repetition": 3, "contrast": 2})
    path = write_ismrmrd(tmp_path / "raw.h5", [Blob((3.0, 4.0, 0.0), 8.0)], made)
    names, record = run(path, tmp_path / "out", dicom="classic", method="zero-filled", accel=1)
    uids = set()
    for part in record["Parts"]:
        items = objects(names.of_part(part).dicom)["recon"]
        assert len(items) == 6 and [one.TemporalPositionIdentifier for one in items] == [1, 1, 2, 2, 3, 3]
        uids |= {one.SOPInstanceUID for one in items}
    assert len(record["Parts"]) == 2 and len(uids) == 12


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
@pytest.mark.parametrize("step", [2.0, None])
def test_a_series_in_time_keeps_its_time_step(kind: str, step: float | None, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((10, 9, 3, 4), np.float32), np.diag([2.0, 2, 4, 1]))
    image.header.set_xyzt_units("mm", "sec" if step else "unknown")
    image.header["pixdim"][4] = step or 0
    nibabel.save(image, tmp_path / "a.nii")
    names = sr.names_of(tmp_path / "a.nii", tmp_path / "out")
    sr.superresolve_file(tmp_path / "a.nii", SuperResolve(scale=2, method="cubic", dicom=kind), names)
    again = read_dicom(names.dicom / "superres")
    assert again.array.shape[3] == 4 and again.time_step == step
    for path in (names.dicom / "superres").iterdir():
        assert shutil.which("dciodvfy") is None or errors_of(path) == []
        assert not HAS_STANDARD or validated(path) == set()


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
@pytest.mark.parametrize(("axis", "thickness"), [(0, 0.75), (1, 1.5), (2, 3.0)])
def test_planes_have_the_thickness_of_the_slices_that_they_are(axis: int, thickness: float, kind: str, tmp_path: Path) -> None:
    names = sr.names_of(template(tmp_path / "input"), tmp_path / "out")
    settings = SuperResolve(scale=2, method="cubic", dicom=kind, slice_axis=axis)
    sr.superresolve_file(tmp_path / "input", settings, names)
    assert float(read_dicom(names.dicom / "superres").source["SliceThickness"]) == thickness


def begun(*_: Any, **__: Any) -> None:
    raise AssertionError("was begun")


def test_what_dicom_cannot_hold_is_known_before_super_resolution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    affine = np.diag([2.0, 2, 4, 1])
    affine[0, 1] = 0.1
    nibabel.save(nibabel.Nifti1Image(np.ones((10, 9, 3), np.float32), affine), tmp_path / "a.nii")
    names = sr.names_of(tmp_path / "a.nii", tmp_path / "out")
    sr.superresolve_file(tmp_path / "a.nii", SuperResolve(scale=2, method="cubic"), names)
    before = contents(tmp_path / "out")
    monkeypatch.setattr(sr, "superresolve", begun)
    for axis, error, said in ((None, InputError, "not at right angles"), (0, AssertionError, "was begun")):
        settings = SuperResolve(scale=2, method="cubic", dicom="classic", slice_axis=axis)
        with pytest.raises(error, match=said):
            sr.superresolve_file(tmp_path / "a.nii", settings, names, overwrite=True)
    assert contents(tmp_path / "out") == before


def test_what_dicom_cannot_hold_is_known_before_reconstruction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = recon.open_scan(ismrmrd(tmp_path))
    skewed = replace(scan, affine=scan.affine @ (np.eye(4) + 0.005 * np.eye(4, k=1)))
    monkeypatch.setattr(recon, "open_scan", lambda *_: skewed)
    monkeypatch.setattr(recon, "reconstruct", begun)
    for kind, error, said in (("classic", InputError, "not at right angles"), (None, AssertionError, "was begun")):
        with pytest.raises(error, match=said):
            run(tmp_path / "raw.h5", tmp_path / "out", dicom=kind)


def test_what_is_done_is_known_and_what_is_lost_is_said(tmp_path: Path) -> None:
    path, options = fastmri(tmp_path), {"dicom": "classic", "method": "zero-filled", "template": str(template(tmp_path / "s"))}
    names, record = run(path, tmp_path, **options)
    before = {file: file.stat().st_mtime_ns for file in names.dicom.rglob("*")}
    assert run(path, tmp_path, **options)[1] == json.loads(json.dumps(record))
    assert {file: file.stat().st_mtime_ns for file in names.dicom.rglob("*")} == before
    for other in ({"dicom": "enhanced"}, {"template": str(template(tmp_path / "t", PatientName="B"))}, {"anonymous": True}):
        with pytest.raises(InputError, match="other options"):
            run(path, tmp_path, **options | other)
    first = {one.SOPInstanceUID for one in objects(names.dicom)["recon"]}
    settings = Recon(**QUICK | {"accel": 2} | options)
    recon.reconstruct_file(path, settings, names, overwrite=True)
    assert {one.SOPInstanceUID for one in objects(names.dicom)["recon"]} == first
    shutil.rmtree(names.dicom)
    with pytest.raises(InputError, match="without the rest of its run"):
        run(path, tmp_path, **options)


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_nothing_is_left_of_what_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = fastmri(tmp_path), tmp_path / "out"
    options = {"dicom": "classic", "method": "zero-filled"}
    names, _ = run(path, out, **options)
    before = contents(out)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pydicom.Dataset, "save_as", full)
        with pytest.raises(InputError, match="No space left on device") as caught:
            recon.reconstruct_file(path, Recon(**QUICK | {"accel": 2} | options), names, overwrite=True)
        assert str(names.dicom) in str(caught.value) and contents(out) == before
        with pytest.raises(InputError, match="No space left on device"):
            run(path, tmp_path / "new", **options)
        assert contents(tmp_path / "new") == []
    (names.dicom / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is no folder of DICOM alone"):
        recon.reconstruct_file(path, Recon(**QUICK | {"accel": 2} | options), names, overwrite=True)
    assert (names.dicom / "notes.txt").read_text() == "mine"


def test_a_locked_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fastmri(tmp_path)

    def locked(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("mri_d3gm.io.atomic.Path.mkdir", locked)
    with pytest.raises(InputError, match="Permission denied"):
        run(path, tmp_path / "out", dicom="classic", method="zero-filled")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("anonymous", [False, True])
def test_the_patient_is_named_in_dicom_alone(
    source: str, anonymous: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {"dicom": "classic", "template": str(template(tmp_path / "study")), "anonymous": anonymous}
    names, record = run(
        SOURCES[source](tmp_path), tmp_path / "out", method="cubic" if source == "dicom" else "sense", **options
    )
    said = caplog.text + "".join(capfd.readouterr()) + repr(record)
    assert "ZZMARKED" not in said and "1.2.3.4" not in said
    paths = list(names.dicom.rglob("*.dcm"))
    assert paths
    for path in (tmp_path / "out").rglob("*"):
        named = path.is_file() and b"ZZMARKED" in path.read_bytes()
        assert named == (path.suffix == ".dcm" and not anonymous)
    for path in paths if anonymous else ():
        data = path.read_bytes()
        for secret in (b"19700203", b"20200102", b"1.2.3.4\0", b"1.2.3.5\0"):
            assert secret not in data


@pytest.mark.parametrize("anonymous", [False, True])
def test_an_anonymous_sidecar_has_no_free_text(anonymous: bool, tmp_path: Path) -> None:
    path = template(tmp_path / "in", SeriesDescription="Of Marvin")
    names, record = run(path, tmp_path / "out", dicom="classic", anonymous=anonymous, method="cubic", report=True)
    assert record["Input"]["Description"] == ("" if anonymous else "Of Marvin")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and (anonymous or path.suffix != ".dcm")]
    named = [path.name for path in files if b"Marvin" in path.read_bytes()]
    assert named == ([] if anonymous else [names.sidecar.name])


def test_anonymous_studies_stay_together(tmp_path: Path) -> None:
    study = str(template(tmp_path / "study"))
    found = [
        objects(run(SOURCES[source](tmp_path), tmp_path / source, dicom="classic", template=study, anonymous=True)[0].dicom)
        for source in ("ismrmrd", "dicom")
    ]
    firsts = [items[0] for by_name in found for items in by_name.values()]
    assert len({one.StudyInstanceUID for one in firsts}) == 1 and len({one.FrameOfReferenceUID for one in firsts}) == 1


def test_templates_that_contradict_the_input(tmp_path: Path) -> None:
    path = series(tmp_path)
    for other, text in (({"PatientID": "8"}, "another patient"), ({"PatientPosition": "FFP"}, "lies FFP in the template")):
        study = str(template(tmp_path / text.split()[0], **other))
        with pytest.raises(InputError, match=text) as caught:
            run(path, tmp_path / "out", dicom="classic", template=study)
        assert "ZZMARKED" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_uid_that_is_taken(tmp_path: Path) -> None:
    path, study = fastmri(tmp_path), template(tmp_path / "study")
    options = {"dicom": "classic", "method": "zero-filled"}
    names, _ = run(path, tmp_path / "out", template=str(study), **options)
    uid = objects(names.dicom)["recon"][0].SeriesInstanceUID
    write_series(study / "more", **STUDY | {"SeriesInstanceUID": uid})
    with pytest.raises(InputError, match="holds this very series already"):
        run(path, tmp_path / "again", template=str(study), **options)
    assert contents(tmp_path / "again") == []


def test_the_sidecar_says_dicom_and_hides_the_template(tmp_path: Path) -> None:
    study = template(tmp_path / "ZZMARKED")
    names, _ = run(fastmri(tmp_path), tmp_path / "out", dicom="classic", template=str(study), method="zero-filled")
    options = read_sidecar(names.sidecar)["Options"]
    assert options["dicom"] == "classic" and len(options["template"]) == 64


def test_options_of_dicom_need_dicom() -> None:
    for options in ({"template": "a"}, {"anonymous": True}, {"sibling": "sense"}):
        with pytest.raises(InputError, match="give --dicom too"):
            Recon(**options)


def test_a_sibling_of_itself() -> None:
    with pytest.raises(InputError, match="is the method itself"):
        Recon(dicom="classic", method="sense", sibling="sense")


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_identity_is_kept_as_it_is(tmp_path: Path) -> None:
    odd = {"StudyInstanceUID": "1.2.03.4", "PatientID": "7" * 70, "AccessionNumber": "A" * 20, "StudyDate": "2020-01-02"}
    names, _ = run(fastmri(tmp_path), tmp_path / "out", dicom="classic", template=str(template(tmp_path / "study", **odd)))
    for items in objects(names.dicom).values():
        assert (items[0].StudyInstanceUID, items[0].PatientID, items[0].AccessionNumber) == tuple(odd.values())[:3]
        assert not items[0].StudyDate  # which is no date


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("StudyDate", "00010101", False),
        ("StudyDate", "99991231", False),
        ("StudyDate", "19000101", True),
        ("StudyDate", "20200101-20200102", False),
        ("PatientBirthDate", "00010101", False),
        ("PatientBirthDate", "18991231", True),
        ("StudyTime", "1200-1300", False),
        ("StudyTime", "120000.5", True),
    ],
)
def test_dates_that_are_none_are_left_empty(name: str, value: str, kept: bool, tmp_path: Path) -> None:
    names, _ = run(template(tmp_path / "in", **{name: value}), tmp_path / "out", dicom="classic", method="cubic")
    paths = list(names.dicom.rglob("*.dcm"))
    assert paths
    for path in paths:
        assert pydicom.dcmread(path)[name].value == (value if kept else "")
        assert pydicom.dcmread(path).StudyInstanceUID == STUDY["StudyInstanceUID"]
        assert shutil.which("dciodvfy") is None or errors_of(path) == []


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=r"pip install 'mri-d3gm\[dicom\]'"):
        run(fastmri(tmp_path), tmp_path / "out", dicom="classic")
