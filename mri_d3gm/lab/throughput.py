"""Slices a second and memory by processes, threads, coils and batch; and whether the cost of files and slices is linear.

Every figure is of processes of its own, on data that are made for it: a phantom under birdcage coils.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from shutil import copyfile
from statistics import median
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory, TemporaryFile
from time import monotonic, process_time
from typing import NamedTuple

import numpy as np

from mri_d3gm.compute import cores, resolve_device
from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import write_text
from mri_d3gm.io.scan import fft1c
from mri_d3gm.metrics.table import Row, to_markdown
from mri_d3gm.runs.names import make_folder
from mri_d3gm.settings import Recon

ACCEL, NOISE, REPEATS = 4.0, 0.01, 3  # undersampling; deviation of the noise, of the phantom's peak; runs that a median is of
SMALL = (40, 32)  # rows and columns of the scans of which there are many
FILES, SLICES = (10, 100, 1000), (1, 10, 100)
READ = {"axes": "slices,coils,rows,cols", "voxel": "1,1,4"}


class Case(NamedTuple):
    """What a row is of: device, coils, processes that share the slices, threads of each, slices of a batch."""

    device: str
    coils: int
    workers: int
    threads: int
    batch: int


def measure_throughput(
    output: Path,
    cases: Sequence[Case],
    *,
    size: int = 256,
    quality: str = "fast",
    files: Sequence[int] = FILES,
    slices: Sequence[int] = SLICES,
    on_row: Callable[[Row], None] = lambda row: None,
) -> str:
    """The tables in Markdown, as throughput.md and, with all conditions in every row, throughput.json in `output` have them.

    size: rows and columns of the slices of `cases`; files, slices: how many of them, of SMALL, to measure what each costs.
    on_row after each row. InputError where a process ended before it had measured, for want of memory for instance.
    """
    make_folder(output / "throughput.md")
    count = max([1, *(max(case.workers * case.threads, case.batch) for case in cases)])
    conditions = {"size": size, "slices": count, "accel": ACCEL, "quality": quality, "repeats": REPEATS, "cores": cores()}
    tables: dict[str, list[Row]] = {"throughput": [], "files": [], "slices": []}

    def keep(name: str, row: Row) -> None:
        tables[name].append(row)
        on_row(row)

    with TemporaryDirectory(dir=output) as folder:
        for case in cases:
            path = Path(folder, f"{case.coils}_coils.npy")
            if not path.exists():
                write_volume(path, (count, case.coils, size, size))
            keep("throughput", case._asdict() | measured(case, path, quality, count))
        for number in files:
            keep("files", cost_of_files(Path(folder, f"{number}_files"), number, quality))
        for number in slices:
            keep("slices", cost_of_slices(Path(folder, f"{number}_slices"), number, quality))
    every = {name: [row | conditions for row in rows] for name, rows in tables.items()}
    write_text(output / "throughput.json", json.dumps(every, indent=2) + "\n")
    text = "\n".join([said(conditions), *(to_markdown(rows) for rows in tables.values() if rows)])
    write_text(output / "throughput.md", text)
    return text


def said(conditions: Row) -> str:
    """The line above the tables."""
    return (
        "{size} x {size}, {slices} slices, R = {accel:g}, `--quality {quality}`, {cores} cores, median of {repeats}; "
        "small scans of {rows} x {cols}, one coil, one thread:\n".format(**conditions, rows=SMALL[0], cols=SMALL[1])
    )


def cases_of(
    device: str, coils: Sequence[int], workers: Sequence[int], threads: Sequence[int], batches: Sequence[int]
) -> Iterator[Case]:
    """All numbers of processes with all of threads, slice by slice; one process of the fewest threads with every larger batch;
    and where `device` is a GPU, or auto and there is one, one process of the most threads with every batch.
    """
    gpu = resolve_device(device)
    for count in coils:
        if device in ("auto", "cpu"):
            for some, each in product(workers, threads):
                yield Case("cpu", count, some, each, 1)
            yield from (Case("cpu", count, 1, min(threads), batch) for batch in batches if batch > 1)
        if gpu != "cpu":
            yield from (Case(gpu, count, 1, max(threads), batch) for batch in batches)


def write_volume(path: Path, shape: tuple[int, int, int, int]) -> None:
    """K-space (slices, coils, rows, cols) complex64 of the Shepp-Logan phantom, every slice a little brighter, as .npy."""
    import sigpy.mri

    slices, coils, *plane = shape
    maps = sigpy.mri.birdcage_maps((coils, *plane)) if coils > 1 else np.ones((1, *plane))
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in plane), indexing="ij")
    image = sigpy.shepp_logan(plane).real * np.exp(1j * (x + 0.5 * y)) * maps / np.linalg.norm(maps, axis=0)
    file = np.lib.format.open_memmap(path, "w+", np.complex64, shape)
    random = np.random.default_rng(0)
    for index in range(slices):
        noise = NOISE * (random.normal(size=image.shape) + 1j * random.normal(size=image.shape))
        file[index] = fft1c(fft1c((1 + index / slices) * image + noise, -2), -1)
    file.flush()


def measured(case: Case, path: Path, quality: str, slices: int) -> Row:
    """Slices a second, CPU seconds of a slice, and the largest process's peak memory; medians of REPEATS."""
    options = {"accel": ACCEL, "quality": quality, "device": case.device, "threads": case.threads, **READ}
    shares = [options | {"slices": f"{number}::{case.workers}"} for number in range(case.workers)]
    processes, pipes = zip(*(started(path, share, case.batch) for share in shares), strict=True)
    walls, every = [], []
    try:
        for pipe in pipes:
            pipe.recv()
        for _ in range(REPEATS):
            begun = monotonic()
            for pipe in pipes:
                pipe.send(True)
            every.append([pipe.recv() for pipe in pipes])
            walls.append(monotonic() - begun)
    except EOFError as error:
        raise InputError(f"{case}: a process ended before it had measured: give it more memory, or fewer coils") from error
    finally:
        for process in processes:
            process.kill()
            process.join()
    row = {
        "slices_per_s": round(slices / median(walls), 3),
        "cpu_s": round(median(sum(one["cpu_s"] for one in answers) for answers in every) / slices, 3),
        "rss_mb": round(max(one["rss_mb"] for one in every[-1])),
    }
    return row if case.device == "cpu" else row | {"gpu_mb": round(max(one["gpu_mb"] for one in every[-1]))}


def started(path: Path, options: Row, batch: int) -> tuple[BaseProcess, Connection]:
    """A process that does `work`, and the pipe to it."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, path, options, batch), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def work(pipe: Connection, path: Path, options: Row, batch: int) -> None:
    """A process of a case: it says that it is ready, and reconstructs its slices each time that it is asked to."""
    import torch

    from mri_d3gm.io.open_scan import open_scan
    from mri_d3gm.runs.model import load
    from mri_d3gm.tasks.recon import reconstruct

    settings = Recon.of(options)
    scan, network = open_scan(path, settings.reading()), load(settings)
    reconstruct(scan, replace(settings, slices="0"), network=network)
    pipe.send(True)
    while pipe.recv():
        before = process_time()
        reconstruct(scan, settings, network=network, batch=batch)
        answer = {"cpu_s": process_time() - before, "rss_mb": peak_memory(os.getpid())}
        pipe.send(answer | ({} if settings.device == "cpu" else {"gpu_mb": torch.cuda.max_memory_reserved() / 2**20}))


def peak_memory(process: int) -> float:
    """Largest resident memory of a process so far in MB; 0 where the system does not say.

    What `getrusage` tells is never less than that of the process which started it.
    """
    with suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)
    return 0.0


def cost_of_files(folder: Path, count: int, quality: str) -> Row:
    """A batch of `count` small files: seconds to the first, milliseconds of each after it, of each of the last tenth and, once
    all are done, of each in a second run, and peak memory.
    """
    folder.mkdir()
    write_volume(folder / "0.npy", (1, 1, *SMALL))
    for number in range(1, count):
        copyfile(folder / "0.npy", folder / f"{number}.npy")
    stamps, peak = batch_of(folder, quality)
    again, _ = batch_of(folder, quality)
    return {
        "files": count,
        "start_s": round(stamps[0], 2),
        "each_ms": each_ms(stamps, count - 1),
        "last_tenth_ms": each_ms(stamps, max(1, count // 10)),
        "again_ms": each_ms(again, count - 1),
        "rss_mb": round(peak),
    }


def cost_of_slices(folder: Path, count: int, quality: str) -> Row:
    """A file of `count` small slices after one of a single slice: seconds, milliseconds of each slice, and peak memory."""
    folder.mkdir()
    for name, slices in (("first", 1), ("second", count)):
        write_volume(folder / f"{name}.npy", (slices, 1, *SMALL))
    stamps, peak = batch_of(folder, quality)
    seconds = stamps[1] - stamps[0]
    return {"slices": count, "seconds": round(seconds, 2), "each_ms": round(1000 * seconds / count, 1), "rss_mb": round(peak)}


def each_ms(stamps: Sequence[float], last: int) -> float:
    """Milliseconds of each of the last ones, of stamps in seconds."""
    return round(1000 * (stamps[-1] - stamps[-1 - last]) / last, 1)


def batch_of(folder: Path, quality: str) -> tuple[list[float], float]:
    """Seconds until `mri-d3gm batch` says of each file that it is done, one thread on a CPU, and its peak memory in MB."""
    options: Row = {"accel": ACCEL, "quality": quality, "device": "cpu", "threads": 1, **READ}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "mri_d3gm", "batch", str(folder), "-o", f"{folder}_out", "--json", *words]
    begun, stamps, peak = monotonic(), [], 0.0
    with TemporaryFile("w+") as errors, Popen(command, stdout=PIPE, stderr=errors, text=True) as process:
        for _ in process.stdout or ():
            stamps.append(monotonic() - begun)
            peak = max(peak, peak_memory(process.pid))
        if process.wait():
            errors.seek(0)
            raise InputError(f"{folder}: {(errors.read().splitlines() or ['the batch ended early'])[-1]}")
    return stamps, peak
