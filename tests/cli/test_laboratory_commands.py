from mri_d3gm.cli.reproduce import NAMES
from mri_d3gm.lab.reproduce import OVERLAYS


def test_a_dry_run_needs_no_data_and_a_real_one_does(mri, tmp_path) -> None:
    code, text, error = mri("reproduce", "rain100h", "--dry-run")
    assert code == 0 and "y-crop4" in text and "32.41" in text and error == ""
    for arguments in (["rain100h"], ["rain100h", "--data", tmp_path / "none"]):
        code, text, error = mri("reproduce", *arguments)
        assert code == 2 and text == "" and error.count("\n") == 1 and "--dry-run" in error
    code, _, error = mri("reproduce", "fastmri-32x", "--dry-run")
    assert code == 2 and "one of fastmri-8x" in error and error.count("\n") == 1
    code, _, error = mri("reproduce", "rain100h", "--data", tmp_path, "-o", tmp_path / "out")
    assert code == 2 and "nothing matches RainTrainH" in error


def test_help_names_every_reproduction() -> None:
    assert all(name in NAMES for name in OVERLAYS)


def test_compare_takes_its_settings_from_the_overlay_and_refuses_bad_ones(mri, tmp_path) -> None:
    code, _, error = mri("compare", "compare-recon", "--data", tmp_path, "--dynamics", "warp", "-o", tmp_path / "out")
    assert code == 2 and "unknown; one of" in error and error.count("\n") == 1
    code, _, error = mri("compare", "compare-recon", "--data", tmp_path, "-o", tmp_path / "out")
    assert code == 2 and "nothing matches bench/kspace/brain_mprage" in error
    code, _, error = mri("compare", "compare-recon", "--data", tmp_path, "--seeds", "a")
    assert code == 2 and "--seeds a" in error
