"""What a batch is to do is known, or refused in one line, before anything runs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mri_d3gm.errors import InputError
from mri_d3gm.runs.manifest import frozen, is_bids, jobs_of_shard, missing, read_frozen, read_jobs, settings_of
from mri_d3gm.runs.rows import merged, row_name, states
from mri_d3gm.runs.shards import shard_of


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def table(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "jobs.tsv").write_text(text)
    return str(folder / "jobs.tsv")


def test_columns_are_settings_and_what_is_empty_is_as_for_all(tmp_path: Path) -> None:
    files(tmp_path, "a.h5", "deep/b.npz", "c.nii.gz")
    text = (
        "input\trun\taccel\treport\toutput\na.h5\t\t4\ttrue\tn/a\ndeep/b.npz\trecon\tn/a\t\tmine\nc.nii.gz\tsr\t{}\tfalse\t\n"
    )
    assert len(read_jobs(table(tmp_path, text.format("")), "out", "recon", {})) == 3
    text = text.format("n/a").replace("n/a\t\tmine", "2\t\tmine").replace("n/a\tfalse", "5\tfalse")
    with pytest.raises(InputError, match=r"unknown column accel; run, input, output, .* are known to sr"):
        read_jobs(table(tmp_path, text), "out", "recon", {})
    text = text.replace("accel", "seed")
    jobs = read_jobs(table(tmp_path, text), "out", "recon", {"seed": "9", "dicom": "classic"})
    assert [job.result for job in jobs] == ["out/a_recon.nii.gz", "out/mine/b_recon.nii.gz", "out/c_sr.nii.gz"]
    found = [vars(settings_of(job)) for job in jobs]
    assert [(one["seed"], one["report"], one["dicom"]) for one in found] == [
        (4, True, "classic"),
        (2, False, "classic"),
        (5, False, "classic"),
    ]


BAD = {
    "no column input": ("file\na.h5\n", "no column input"),
    "empty": ("", "no column input"),
    "no rows": ("input\n", "no inputs for recon"),
    "missing files": ("input\na.h5\nb.h5\nc.h5\n", r"2 of 3 inputs are not there; the first is .*b\.h5"),
    "one result twice": ("input\taccel\na.h5\t4\na.h5\t8\n", r"2 inputs write out/a_recon\.nii\.gz.*a column output"),
    "unknown column": ("input\tacceleration\na.h5\t4\n", "unknown column acceleration"),
    "column twice": ("input\taccel\taccel\na.h5\t4\t4\n", "two columns are called accel"),
    "unknown task": ("input\trun\na.h5\tmagic\n", "magic is no task; one of recon, sr, restore"),
    "bad value": ("input\taccel\na.h5\tmany\n", r"a\.h5: --accel many: must be a number"),
    "value out of range": ("input\taccel\na.h5\t0\n", r"a\.h5: --accel 0: must be 1 or more"),
    "not a switch": ("input\treport\na.h5\tmaybe\n", "--report maybe: must be true or false"),
    "short line": ("input\taccel\na.h5\n", "line 2 has 1 cells, the first has 2"),
    "no name": ("input\taccel\nn/a\t4\n", "line 2 names no input"),
    "missing file of an option": ("input\tcoil_maps\na.h5\tmaps.h5\n", r"coil_maps: .*maps\.h5 is not there"),
    "output of another kind": ("input\toutput\na.h5\tx.png\n", "-o takes a folder or a name"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    text, said = BAD[name]
    files(tmp_path, "a.h5")
    with pytest.raises(InputError, match=said) as caught:
        read_jobs(table(tmp_path, text), "out", "recon", {})
    assert "\n" not in str(caught.value)


def test_a_table_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    files(tmp_path, "a.h5", "b, c.h5", "maps.h5")
    text = '\ufeff"input"\taccel\tcoil_maps\t\t\r\na.h5\t4\tn/a\t\t\r\n\t\t\t\t\r\n\r\n"b, c.h5"\t\tmaps.h5\r\n'
    jobs = read_jobs(table(tmp_path, text), str(tmp_path / "out"), "recon", {})
    assert [Path(job.input).name for job in jobs] == ["a.h5", "b, c.h5"]
    assert [dict(job.options) for job in jobs] == [{"accel": "4"}, {"coil_maps": str(tmp_path / "maps.h5")}]
    frozen(jobs, str(tmp_path / "out"), False)
    assert read_frozen(str(tmp_path / "out")) == jobs


@pytest.mark.parametrize("name", ["a\tb.h5", "a\rb.h5", "a\nb.h5", "a\udcff.h5"])
def test_a_name_that_no_table_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="a tab, a line end or bytes that are no text in a name"):
        read_jobs(str(files(tmp_path / "in", name)), "out", "recon", {})


@pytest.mark.parametrize("name", ['"quoted".h5', " a .h5", "-x.h5", "n,a.h5", "\u2028.h5", "#.h5"])
def test_a_table_that_is_kept_is_read_again_whatever_the_names(tmp_path: Path, name: str) -> None:
    jobs = read_jobs(str(files(tmp_path / "in", name)), str(tmp_path / "out"), "recon", {"slices": '"0"'})
    frozen(jobs, str(tmp_path / "out"), False)
    assert read_frozen(str(tmp_path / "out")) == jobs


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, listed = files(tmp_path / "in", "a.h5", "locked/b.h5"), os.scandir

    def scandir(folder: str) -> Any:
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="locked: cannot be read: Permission denied"):
        read_jobs(str(place), "out", "recon", {})


def test_folders_may_have_any_name_and_results_of_a_batch_are_no_inputs(tmp_path: Path) -> None:
    place = files(tmp_path / "in", "2024.05.01/p.png", "x.png/q.png", "old/batch.tsv", "old/r.png")
    jobs = read_jobs(str(place), str(tmp_path / "out.2"), "restore", {})
    assert [job.result for job in jobs] == [str(tmp_path / "out.2" / one) for one in ("2024.05.01/p.png", "x.png/q.png")]
    files(place, "sub.h5/x.h5")
    (job,) = read_jobs(str(place), str(tmp_path / "out"), "recon", {})
    assert job.result == str(tmp_path / "out" / "sub.h5" / "x_recon.nii.gz")


@pytest.mark.parametrize("bids", [False, True])
def test_a_link_that_leads_nowhere_leaves_the_rest_of_a_folder_as_it_is(bids: bool, tmp_path: Path) -> None:
    names = ("sub-01/anat/a.h5", "sub-02/anat/c.h5", *(["dataset_description.json"] if bids else []))
    place = files(tmp_path / "in", *names)
    link = place / "sub-01" / "anat" / "b.h5"
    link.symlink_to(tmp_path / "gone.h5")
    jobs = read_jobs(str(place), str(tmp_path / "out"), "recon", {})
    assert [Path(job.input).name for job in jobs] == ["a.h5", "b.h5", "c.h5"] and missing(jobs) == [str(link)]
    with pytest.raises(InputError, match=r"1 of 2 inputs are not there; the first is .*b\.h5"):
        read_jobs(table(place, "input\nsub-01/anat/a.h5\nsub-01/anat/b.h5\n"), str(tmp_path / "out"), "recon", {})


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scan.h5").write_bytes(b"\x89HDF\xff\xfe")
    for name in ("scan.h5", "absent"):
        with pytest.raises(InputError, match="a table \\(TSV\\), a folder or a BIDS data set is needed"):
            read_jobs(str(tmp_path / name), "out", "recon", {})
    with pytest.raises(InputError, match="is the folder of the inputs"):
        read_jobs(str(tmp_path), str(tmp_path), "recon", {})
    files(tmp_path / "in", "a.nii.gz")
    with pytest.raises(InputError, match="would be written over by its own result"):
        read_jobs(table(tmp_path, "input\toutput\nin/a.nii.gz\tin/a.nii.gz\n"), str(tmp_path), "sr", {})


def test_a_folder_is_read_with_its_folders_whose_names_the_results_keep(tmp_path: Path) -> None:
    place = files(
        tmp_path / "in", "x.h5", "one/x.h5", "one/x.npz", "one/two/y.dat", "one/notes.txt", ".hidden/z.h5", "out/q.h5"
    )
    jobs = read_jobs(str(place), str(place / "out"), "recon", {})
    found = sorted(str(Path(job.result).relative_to(place / "out")) for job in jobs)
    assert found == ["one/h5/x_recon.nii.gz", "one/npz/x_recon.nii.gz", "one/two/y_recon.nii.gz", "x_recon.nii.gz"]


def test_a_bids_data_set_becomes_a_derivative_of_it(tmp_path: Path) -> None:
    place = files(
        tmp_path / "in",
        "dataset_description.json",
        "sub-01/ses-a/anat/sub-01_ses-a_run-2_T2w.nii.gz",
        "sub-01/ses-a/func/sub-01_ses-a_task-rest_bold.nii.gz",
        "sub-02/anat/sub-02_T1w.nii",
        "sub-02/kspace/sub-02_T1w.h5",
        "sourcedata/sub-03/raw/meas_01.dat",
        "derivatives/old/sub-02/anat/sub-02_T1w.nii",
    )
    found = {run: read_jobs(str(place), str(tmp_path / "out"), run, {}) for run in ("sr", "recon")}
    names = {run: [str(Path(job.result).relative_to(tmp_path / "out")) for job in jobs] for run, jobs in found.items()}
    assert sorted(names["sr"]) == [
        "sub-01/ses-a/anat/sub-01_ses-a_run-2_desc-sr_T2w.nii.gz",
        "sub-02/anat/sub-02_desc-sr_T1w.nii.gz",
    ]
    assert sorted(names["recon"]) == [
        "sub-02/anat/sub-02_desc-recon_T1w.nii.gz",
        "sub-03/anat/sub-03_acq-meas01_desc-recon_MR.nii.gz",
    ]
    outputs = found["recon"][-1].names
    assert outputs.std is not None and outputs.std.name.endswith("_desc-reconStd_T1w.nii.gz") == ("T1w" in outputs.std.name)
    assert outputs.of_part("echo-2").result.name.split("_desc-")[0].endswith("_echo-2")
    assert is_bids(str(place))
    frozen(found["sr"], str(tmp_path / "out"), True)
    about = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative" and about["GeneratedBy"][0]["Name"] == "mri-d3gm"


def test_a_batch_may_grow_and_not_change(tmp_path: Path) -> None:
    place, out = files(tmp_path / "in", "a.h5", "b c.h5"), str(tmp_path / "out")
    jobs = read_jobs(str(place), out, "recon", {"accel": "4.0"})
    frozen(jobs, out, False)
    assert read_frozen(out) == jobs
    files(place, "c.h5")
    grown = read_jobs(str(place), out, "recon", {"accel": "4.0"})
    frozen(grown, out, False)
    assert read_frozen(out) == grown and len(grown) == 3
    with pytest.raises(InputError, match="a batch with other options, --accel, --center-fraction"):
        frozen(read_jobs(str(place), out, "recon", {"accel": "8.0", "center_fraction": "0.1", "threads": "1"}), out, False)
    frozen(read_jobs(str(place), out, "recon", {"accel": "4.0", "threads": "1", "device": "cpu"}), out, False)
    frozen(jobs, out, False)  # as a process does that looked into the folder before
    assert read_frozen(out) == grown
    other = read_jobs(str(files(tmp_path / "other", "d.h5")), out, "recon", {"accel": "4.0"})
    with pytest.raises(InputError, match="another batch"):
        frozen(other, out, False)
    with pytest.raises(InputError, match="no folder that a batch wrote to"):
        read_frozen(str(tmp_path))


@given(st.integers(0, 60), st.integers(1, 9))
def test_shards_are_all_of_it_once(jobs: int, count: int) -> None:
    parts = [jobs_of_shard(range(jobs), index, count) for index in range(1, count + 1)]  # type: ignore[arg-type]
    assert sorted(job for part in parts for job in part) == list(range(jobs))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_that_of_an_array_of_jobs() -> None:
    slurm = {"SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_STEP": "2"}
    assert [shard_of(None, slurm | {"SLURM_ARRAY_TASK_ID": str(one)}) for one in (4, 6, 8)] == [(1, 3), (2, 3), (3, 3)]
    assert shard_of(None, {"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "2"}) == (1, 2)
    assert shard_of("2/2", {"AWS_BATCH_JOB_ARRAY_INDEX": "0"}) == (2, 2) and shard_of(None, {}) == (1, 1)
    with pytest.raises(InputError, match="JOB_COMPLETION_INDEX is set, but not JOB_COMPLETIONS"):
        shard_of(None, {"JOB_COMPLETION_INDEX": "3"})
    for one, many in (("7", "3"), ("", "3"), ("x", "3"), ("1", "")):
        with pytest.raises(InputError, match=r"no array without gaps; --shard i/n says"):
            shard_of(None, {"SLURM_ARRAY_TASK_ID": one, "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": many})
    for wrong in ("0/4", "5/4", "1", "a/b", "-1/4", "1/0"):
        with pytest.raises(InputError, match="i/n is needed"):
            shard_of(wrong, {})


def test_many_rows_cost_in_proportion(tmp_path: Path) -> None:
    """Each row is looked at a fixed number of times: no row is compared with all others."""
    rows = "".join(f"a.h5\tx{number}\n" for number in range(30_000))
    files(tmp_path, "a.h5")
    jobs = read_jobs(table(tmp_path, f"input\toutput\n{rows}"), str(tmp_path / "out"), "recon", {})
    assert len({job.result for job in jobs}) == 30_000 and len({row_name(job) for job in jobs[::300]}) == 100
    assert merged(states(jobs[::300], str(tmp_path)))["missing"] == 100
