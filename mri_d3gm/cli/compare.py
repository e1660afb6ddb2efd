"""mri-d3gm compare."""

from pathlib import Path

import click

from mri_d3gm.cli.benchmark import data_option, numbers, output_option, report, several
from mri_d3gm.cli.options import command


def compare(config: str, data: Path, output: Path | None, dynamics: str | None, seed: str | None, steps: str | None) -> None:
    """Train and measure what CONFIG and the options say, and print the report."""
    seeds = None if seed is None else numbers("--seed", seed, int)
    evaluations = None if steps is None else numbers("--steps", steps, int)
    from mri_d3gm.lab.compare import compare_dynamics, settings
    from mri_d3gm.tasks.bundles import overlay_file

    names = None if dynamics is None else dynamics.split(",")
    chosen = settings(config, dynamics=names, seeds=seeds, evaluations=evaluations)
    folder = output or Path("runs") / overlay_file(config).stem
    compare_dynamics(config, data, folder, **chosen, on_row=report)
    print((folder / "report.md").read_text(encoding="utf-8"))


COMMAND = command(
    "compare",
    compare,
    [
        click.Argument(["config"], metavar="CONFIG"),
        data_option("Folder that the overlay's globs are relative to."),
        output_option(None, "Folder for weights and tables; runs/NAME of the configuration if left out"),
        several("dynamics", None, "Dynamics, or regression, which is the network alone"),
        several("seed", None, "Seeds, each one training of each dynamics", "seeds"),
        several("steps", None, "Counts of network evaluations"),
    ],
    "Same data, network, training and evaluations for every dynamics, as one report; what is done is not repeated. CONFIG: "
    "overlay with sources and domains to measure on; what is left out is as it says.",
)
