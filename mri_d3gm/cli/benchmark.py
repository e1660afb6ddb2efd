"""mri-d3gm benchmark."""

import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from mri_d3gm.cli.options import HELP, Group, command, option_of
from mri_d3gm.cli.say import say
from mri_d3gm.errors import InputError
from mri_d3gm.metrics.table import Row
from mri_d3gm.settings import QUALITIES, SAMPLED, TASKS, Recon, Restore, Settings, SlicedSettings, SuperResolve

Number = TypeVar("Number", int, float)

HEADINGS = {"files": "n", "psnr_95": "95 %", "psnr_worst": "worst", "ssim_body": "body", "evaluations": "evals", "seconds": "s"}


def report(row: Row) -> None:
    """A finished row on stderr, by its first PSNR, with the name of the metric where there are several."""
    setting = " ".join(f"{row[name]}" for name in ("file", "domain", "degrade", "accel", "axis", "method") if name in row)
    name = next(name for name in row if "psnr" in name)
    say(f"{setting}: {row[name]:.2f} dB {name.removesuffix('psnr')}".rstrip(), file=sys.stderr)


def show(table: list[Row], output: Path) -> None:
    """What of a summary fits the terminal, on stdout; on stderr what no chart was drawn for."""
    from mri_d3gm.lab.charts import missing
    from mri_d3gm.metrics.table import to_text

    print(to_text(table, shutil.get_terminal_size().columns, HEADINGS))
    say(f"all columns: {output / 'table.csv'}, {output / 'table.md'}")
    if hint := missing():
        print(hint, file=sys.stderr)


def numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Numbers separated by commas, each once; InputError for anything else."""
    try:
        return list(dict.fromkeys(kind(part) for part in text.split(",")))
    except ValueError as error:
        raise InputError(f"{option} {text}: write numbers separated by commas") from error


def several(name: str, default: str | None, help: str, plural: str | None = None) -> click.Option:
    """An option of values separated by commas, each once, by its singular and plural name; given again it adds to them."""

    def joined(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> str | None:
        return ",".join(dict.fromkeys(",".join(values).split(","))) if values else None

    names = [f"--{name}", *([f"--{plural}"] if plural else []), name]
    said = "" if default is None else f" (default {default})"
    said = f"{help}, separated by commas{said}."
    usual = () if default is None else (default,)
    return click.Option(names, default=usual, multiple=True, callback=joined, metavar="A,B,...", help=said)


def data_option(help: str, required: bool = True) -> click.Option:
    """--data, of a folder."""
    return click.Option(["--data"], type=click.Path(path_type=Path), required=required, help=help)


def output_option(default: str | None, help: str) -> click.Option:
    """-o, of a folder."""
    said = "" if default is None else f" (default {default})"
    return click.Option(["-o", "--output"], type=click.Path(path_type=Path), default=default, help=f"{help}{said}.")


MAX_MINUTES = click.Option(
    ["--max-minutes"], type=float, help="Stop training after this long; the same command goes on with it."
)


def measured(pipeline: str, protocol: Row, data: Path, output: Path, method: str, options: Row) -> None:
    """Measure over the files of a folder, show the table, and say how draws were made."""
    from mri_d3gm.lab.benchmark import run_benchmark

    methods = method.split(",")
    show(run_benchmark(pipeline, data, output, protocol, methods, options, on_row=report), output)
    if drawing := [name for name in methods if name in SAMPLED]:
        settings = next(task for task in TASKS.values() if task.bundle == pipeline).of(options)
        made, meant = drawn(vars(settings)), protocol.get("sampling", {})
        other = f"; {protocol['name']} is meant for {drawn(meant)}" if "steps" in meant and drawn(meant) != made else ""
        print(f"{', '.join(drawing)}: {made}{other}")


def drawn(options: Mapping[str, Any]) -> str:
    """How draws are made, in words."""
    steps, samples = options["steps"], options.get("samples", 1)
    return f"{steps} evaluation{'s' * (steps > 1)} a draw, {samples} draw{'s' * (samples > 1)}"


def recon(data: Path, output: Path, method: str, accel: str, axis: str, **options: Any) -> None:
    """Measure reconstruction at every acceleration along every axis."""
    accels = numbers("--accel", accel, float)
    from mri_d3gm.lab.benchmark import folder_protocol

    measured("reconstruction", folder_protocol(accels, axis.split(",")), data, output, method, options)


def by_protocol(
    pipeline: str,
    data: Path,
    output: Path,
    *,
    protocol: str,
    method: str,
    train: bool,
    max_minutes: float | None,
    **options: Any,
) -> None:
    """Train by a protocol's own sources if asked, going on where OUTPUT/train was, measure, and say a restorer's size."""
    from mri_d3gm.lab.benchmark import jobs_of, network_size, protocol_of

    keys = protocol_of(protocol)
    jobs_of(pipeline, data, keys, method.split(","), options)  # whose faults come before a training
    if train:
        from mri_d3gm.tasks.train import train as run

        done = run(protocol, str(data), str(output / "train"), options["device"], max_minutes)
        options["weights"] = str(done.weights)
    measured(pipeline, keys, data, output, method, options)
    if pipeline == "restoration":
        parameters, operations = network_size(keys["task"], options["weights"])
        print(f"{parameters / 1e6:.2f} M parameters, {operations / 1e9:.1f} GFLOPs an evaluation of 256 x 256")


def hallucinations(
    data: Path, output: Path, *, method: str, accel: str, radius: str, contrast: str, peers: tuple[str, ...], **options: Any
) -> None:
    """Measure lesions and inventions at every acceleration, and say where tables and pictures are."""
    accels, radii, contrasts = (
        numbers(f"--{name}", text, float) for name, text in (("accel", accel), ("radius", radius), ("contrast", contrast))
    )
    from mri_d3gm.lab.charts import missing
    from mri_d3gm.lab.hallucinations import Found, measure_hallucinations
    from mri_d3gm.metrics.table import to_text

    def said(found: Found, done: int, total: int) -> None:
        row, seen = found.sfrc, sum(lesion["detected"] for lesion in found.lesions)
        name = f"{row['file']} slice {row['slice']} {row['accel']:g}x {row['method']}"
        say(f"{done} of {total}  {name}: {seen} of {len(found.lesions)} lesions detected", file=sys.stderr)

    more: dict[str, Any] = {"peers": peers, "radii": radii, "contrasts": contrasts}
    table = measure_hallucinations(data, output, accels, method.split(","), options, **more, on_row=said)
    print(to_text(table, shutil.get_terminal_size().columns))
    say(f"all tables: {output / 'hallucinations.md'}; lesions: {output / 'hallucinations.csv'}")
    if hint := missing():
        print(hint, file=sys.stderr)


def throughput(
    output: Path, *, size: int, workers: str, threads: str | None, coils: str, batch: str, files: str, quality: str, device: str
) -> None:
    """Measure slices a second by processes, threads, coils and batch, and what files and slices cost; the tables on stdout."""
    from mri_d3gm.compute import cores
    from mri_d3gm.lab.throughput import cases_of, measure_throughput

    every = f"1,{cores()}" if threads is None else threads
    asked = {"coils": coils, "workers": workers, "threads": every, "batches": batch}
    cases = list(cases_of(device, **{name: counts(f"--{name}", text) for name, text in asked.items()}))
    many = counts("--files", files, 2)

    def said(row: Row) -> None:
        say("  ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr)

    print(measure_throughput(output, cases, size=size, quality=quality, files=many, on_row=said), end="")


def counts(option: str, text: str, least: int = 1) -> list[int]:
    """Whole numbers of `least` or more, as `numbers` takes them."""
    found = numbers(option, text, int)
    if min(found) < least:
        raise InputError(f"{option} {text}: must be {least} or more")
    return found


def shared(settings: type[Settings], *more: str) -> list[click.Parameter]:
    """Options of a task that hold for every row."""
    names = ["solver", "steps", "samples", "tau", *more, "weights", "device"]
    names += ["threads"] if issubclass(settings, SlicedSettings) else []
    return [option_of(settings, name) for name in names]


def given(data: str, name: str, methods: str) -> list[click.Parameter]:
    """Options of every benchmark: what lies in its data, the end of its folder's name, its methods."""
    folder = output_option(f"runs/benchmark{name}", "Folder for the tables")
    return [data_option(f"Folder of {data}."), folder, several("method", methods, "Methods", "methods")]


def protocol_options(default: str) -> list[click.Parameter]:
    """Options of benchmarks whose data a protocol names."""
    text = f"Overlay with domains to measure on: a file or a name in configs/ (default {default})."
    return [
        click.Option(["--protocol"], default=default, metavar="NAME", help=text),
        click.Option(["--train"], is_flag=True, help="First train by the protocol's own sources, in OUTPUT/train."),
        MAX_MINUTES,
    ]


RECON = command(
    "recon",
    recon,
    [
        *given("fully sampled scans", "", "zero-filled,sense,l1-wavelet,tv,regression,d3gm"),
        several("accel", "8,16", "Accelerations", "accels"),
        several("axis", "phase,readout", "Axes that are undersampled", "axes"),
        *shared(Recon, "trust", "center_fraction"),
    ],
    "Method x acceleration x axis: mean, worst slice, 95 % interval, evaluations, seconds a slice, peak memory.",
)
SR = command(
    "sr",
    partial(by_protocol, "super_resolution"),
    [
        *given("volumes, as the protocol's globs expect it", "-sr", "nearest,linear,cubic,lanczos,sinc,regression,d3gm"),
        *protocol_options("open-sr"),
        *shared(SuperResolve),
    ],
    "Domain x degradation x method: mean, worst slice, 95 % interval, evaluations, seconds a slice, peak memory.",
)
RESTORE = command(
    "restore",
    partial(by_protocol, "restoration"),
    [
        *given("photographs, as the protocol's globs expect it", "-restore", "identity,median,dark-channel,regression,d3gm"),
        *protocol_options("open-derain"),
        *shared(Restore),
    ],
    "Domain x method by every protocol of restoration; parameters and FLOPs of the network.",
)
HALLUCINATIONS = command(
    "hallucinations",
    hallucinations,
    [
        click.Argument(["data"], type=click.Path(path_type=Path), metavar="FOLDER"),
        output_option("runs/hallucinations", "Folder for tables and pictures"),
        several("method", "zero-filled,l1-wavelet,d3gm", "Methods", "methods"),
        several("accel", "4,8", "Accelerations", "accels"),
        several("radius", "2,3,5,8", "Radii of the lesions in pixels", "radii"),
        several("contrast", "-0.4,-0.2,0.2,0.4", "Their contrasts, fractions of the local intensity", "contrasts"),
        click.Option(
            ["--peer", "peers"],
            multiple=True,
            metavar="FILE",
            help="Weights file of another network (fastmri-unet, fastmri-varnet), evaluated once; may be repeated.",
        ),
        *(option_of(Recon, name) for name in ("axis", "slices", "seed")),
        *shared(Recon, "trust", "center_fraction"),
    ],
    "What methods lose and invent on fully sampled scans in FOLDER: lesions inserted before undersampling, contrast where "
    "there was none, and sFRC.",
)
THROUGHPUT = command(
    "throughput",
    throughput,
    [
        output_option("runs/throughput", "Folder for the tables"),
        click.Option(["--size"], type=click.IntRange(min=32), default=256, help="Rows and columns (default 256)."),
        several("workers", "1,2", "Processes that share the slices"),
        several("threads", None, "Threads of each; 1 and all cores if left out"),
        several("coils", "1,8,32", "Coils"),
        several("batch", "1,4", "Slices of a batch", "batches"),
        several("files", "10,100,1000", "Small files of a batch"),
        click.Option(
            ["--quality"], type=click.Choice(list(QUALITIES)), default="fast", help="Of the reconstruction (default fast)."
        ),
        option_of(Recon, "device"),
    ],
    "Slices a second and memory by processes, threads, coils and batch, on a phantom, and what one more file or slice costs.",
)
COMMAND = Group(
    "benchmark",
    [RECON, SR, RESTORE, HALLUCINATIONS, THROUGHPUT],
    help="Tables of methods on data with a reference.",
    context_settings=HELP,
)
