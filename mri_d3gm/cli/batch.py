"""mri-d3gm batch."""

import json
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from mri_d3gm.cli.many import named, with_progress
from mri_d3gm.cli.options import JSON, Command, options_of
from mri_d3gm.cli.say import say
from mri_d3gm.settings import TASKS


class BatchCommand(Command):
    """A command that also takes the options of the task that it runs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The rest of the words goes to the task."""
        ctx.ignore_unknown_options = ctx.allow_extra_args = True
        return super().parse_args(ctx, args)


@click.pass_context
def batch(ctx: click.Context, manifest: str, output: str | None, status: bool, as_json: bool, **how: Any) -> int:
    """Run a batch, or say how it stands; the exit code, 1 where some jobs are not done."""
    named([manifest] if output is None else [manifest, output])
    if status:
        return say_status(manifest, as_json)
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    from mri_d3gm.runs.manifest import frozen, is_bids, jobs_of_shard, missing, read_jobs
    from mri_d3gm.runs.shards import shard_of

    options = _options(how["run"], ctx.args)
    index, count = shard_of(how["shard"])
    jobs = read_jobs(manifest, output, how["run"], options)
    if how["check"]:
        gone = missing(jobs)
        there = f"{len(gone)} not there: {', '.join(gone)}" if gone else "all there"
        say(json.dumps({"inputs": len(jobs), "missing": gone}) if as_json else f"{manifest}: {len(jobs)} inputs, {there}")
        return 1 if gone else 0
    frozen(jobs, output, is_bids(manifest))
    part = jobs_of_shard(jobs, index, count)
    if count > 1:
        say(f"{manifest}: shard {index} of {count}: {len(part)} of {len(jobs)} inputs", file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a scheduler sends before it kills

    from mri_d3gm.tasks.batch import Outcome, run_batch

    counts: dict[str, int] = {}

    def told(outcome: Outcome) -> None:
        counts[outcome.state] = counts.get(outcome.state, 0) + 1
        say_outcome(outcome, as_json)

    def show(name: str, work: Any) -> Any:
        return with_progress(Path(name).name, as_json, work)

    run_batch(part, told, retry=how["retry"] is not None, timeout=how["timeout"], with_progress=show)
    failed = counts.get("failed", 0)
    say(f"{output}: {counts.get('done', 0)} done, {failed} failed, of {len(part)}", file=sys.stderr)
    return 1 if failed else 0


def say_outcome(outcome: Any, as_json: bool) -> None:
    """What became of a job: its line, or that it was so before."""
    name = outcome.job.result
    if as_json:
        say(json.dumps({"output": name, "state": outcome.state, "why": outcome.why, "before": outcome.before}))
    elif outcome.state == "failed":
        again = "; failed before, --retry failed tries it again" if outcome.before else ""
        say(f"mri-d3gm: {' '.join(outcome.why.split())}{again}", file=sys.stderr)
    elif not outcome.before:
        say(import_module(f"mri_d3gm.cli.{outcome.job.run}").summary(name, outcome.record))


def say_status(output: str, as_json: bool) -> int:
    """How the batch of a folder stands: a line for each job that is not done, then the counts."""
    from mri_d3gm.runs.manifest import read_frozen
    from mri_d3gm.runs.rows import DONE, merged, states

    every = states(read_frozen(output), output)
    for one in every:
        if as_json:
            say(json.dumps({"input": one.job.input, "state": one.state, "why": one.why, **one.row}))
        elif one.state != DONE:
            why = one.why.removeprefix(f"{one.job.input}: ")
            say(f"{one.state}  {one.job.input}{'  ' if why else ''}{why}")
    total = merged(every)
    if as_json:
        say(json.dumps(total))
    else:
        lights = ", ".join(f"{number} {colour}" for colour, number in total["Lights"].items())
        counts = ", ".join(f"{total[name]} {name}" for name in ("done", "failed", "running", "missing"))
        say(f"{output}: {counts}, of {total['Jobs']}; {total['Seconds']:.0f} s{'; slices: ' if lights else ''}{lights}")
    return 0 if total["done"] == total["Jobs"] else 1


def _options(run: str, words: list[str]) -> dict[str, str]:
    """The options of a task among the words, in text by name, those that were given alone."""
    parser = Command(run, params=options_of(TASKS[run]))
    ctx = parser.make_context(run, list(words))
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    return {name: str(value) for name, value in ctx.params.items() if name in given}


COMMAND = BatchCommand(
    "batch",
    callback=batch,
    params=[
        click.Argument(["manifest"], metavar="MANIFEST"),
        click.Option(["-o", "--output"], help="Folder for the results."),
        click.Option(["--run"], type=click.Choice(list(TASKS)), default="recon", help="The task (default recon)."),
        click.Option(["--shard"], metavar="I/N", help="The I-th of N parts; that of an array of jobs if left out."),
        click.Option(["--check"], is_flag=True, help="Check the manifest; nothing runs."),
        click.Option(["--status"], is_flag=True, help="Say how the batch of a folder of results stands."),
        click.Option(["--retry"], type=click.Choice(["failed"]), help="Run those again that failed."),
        click.Option(
            ["--timeout"],
            type=click.FloatRange(min=1),
            default=1800.0,
            metavar="SECONDS",
            help="Without progress, after which a job has failed (default 1800).",
        ),
        JSON,
    ],
    help="Many inputs. MANIFEST: a table (TSV) with a column input and any option as a column, a folder, or a BIDS data set; "
    "with --status the folder of the results. All options of the task may follow, for all inputs.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
