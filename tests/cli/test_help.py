"""Help in terminals of 40 and 80 columns: every option, default and value is there, whole."""

import tomllib
from pathlib import Path

import pytest
from click import Context, Group

import mri_d3gm
from mri_d3gm.cli.main import COMMANDS, app
from mri_d3gm.settings import TASKS, entries, flag_of


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("task", TASKS)
def test_every_option_its_default_and_its_values_are_whole(task: str, columns: int, mri) -> None:
    code, text, _ = mri(task, "--help", columns=columns)
    assert code == 0 and max(map(len, text.splitlines())) <= columns
    words = [word.strip("[]().,;") for word in text.split()]
    for entry in entries(TASKS[task]):
        flag = flag_of(entry)
        assert (flag in words) == entry.metadata["shown"]
        if not entry.metadata["shown"]:
            continue
        about = words[words.index(flag) :]
        following = [place for place, word in enumerate(about[1:], 1) if word.startswith("--") and word != f"--no-{flag[2:]}"]
        about = about[: following[0]] if following else about
        assert {str(choice) for choice in entry.metadata["choices"]} <= set(about)
        if entry.default is not None and not isinstance(entry.default, bool) and entry.name != "task":
            assert about[about.index(str(entry.default), -1) - 1] == "default", about


def test_what_is_required_has_no_default(mri) -> None:
    assert "default derain" not in mri("restore", "--help", columns=80)[1]
    code, _, error = mri("restore", "a.png", "-o", "b")
    assert code == 2 and "--task" in error and error.count("\n") == 1


@pytest.mark.parametrize("columns", [40, 80])
def test_the_commands_and_the_version_are_shown(columns: int, mri) -> None:
    code, text, _ = mri("--help", columns=columns)
    assert code == 0 and {"recon", "sr", "restore", "--version"} <= set(text.split())
    assert max(map(len, text.splitlines())) <= columns
    code, text, _ = mri("--version")
    assert code == 0 and text == f"mri-d3gm {mri_d3gm.__version__}\n"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert mri_d3gm.__version__ == project["version"]


@pytest.mark.parametrize("columns", [40, 80])
def test_every_command_of_a_group_fits_and_is_summed_up_whole(columns: int, mri) -> None:
    groups = {name: group for name in COMMANDS if isinstance(group := app.get_command(Context(app), name), Group)}
    assert {"benchmark", "workflow"} <= set(groups)
    for name, group in groups.items():
        for words, one in ((name,), group), *(((name, under), command) for under, command in group.commands.items()):
            code, text, _ = mri(*words, "--help", columns=columns)
            assert code == 0 and max(len(line.rstrip()) for line in text.splitlines()) <= columns
            assert "".join(one.help.split()) in "".join(text.split())
        text = "".join(mri(name, "--help", columns=columns)[1].split())
        assert all("".join(command.help.split()) in text for command in group.commands.values())
