"""The command line: ``stf VERB``. Each verb calls the library and says what came of it.

Heavy imports happen inside the verbs, so that ``stf --help`` answers at once. The verbs stand by subject in
``data``, ``training``, ``evaluation``, ``detection``, ``signals`` and ``study``; the rest is here.
"""

from __future__ import annotations

import io
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from stf_mamba.cli.data import audit, prepare, pseudofakes, split
from stf_mamba.cli.detection import detect
from stf_mamba.cli.evaluation import evaluate
from stf_mamba.cli.options import JsonOption, reports_errors
from stf_mamba.cli.signals import signals
from stf_mamba.cli.study import report, study
from stf_mamba.cli.training import crossvalidate, estimate, train
from stf_mamba.core.errors import UsageError

app = typer.Typer(
    name="stf",
    help="STF-Mamba: a deepfake video detector that shows its evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
    app()


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Deepfake video detection: prepare, train, evaluate, detect."""
    if version:
        typer.echo(f"stf-mamba {metadata.version('stf-mamba')}")
        raise typer.Exit


@reports_errors
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that the demonstration makes.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option("--seed", help="Root of every draw.")] = 42,
) -> None:
    """Show the whole machinery on a generated miniature: corpus, clips, training, evaluation, a verdict."""
    from stf_mamba.cli.demo import run_demo

    run_demo(out, seed)


@reports_errors
def weights(
    file: Annotated[
        Path | None, typer.Argument(help="Weights to check: a file, package:NAME, or hf:OWNER/NAME@COMMIT.")
    ] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", help="The encoder that it should fit.")] = None,
) -> None:
    """List the encoders, or check that a weights file fits one, strictly."""
    from stf_mamba.models.encoders.registry import ENCODERS

    if file is None:
        for known, spec in ENCODERS.items():
            typer.echo(f"{known:<20} {spec.description}")
        return
    if encoder not in ENCODERS:
        raise UsageError(f"--encoder is {encoder!r}; name one of {', '.join(ENCODERS)}")
    from stf_mamba.core.files import sha256_of
    from stf_mamba.core.recipe import EncoderRecipe
    from stf_mamba.models.encoders.registry import build_encoder
    from stf_mamba.models.weights.loading import load_encoder_weights
    from stf_mamba.models.weights.sources import local_weights

    file = local_weights(file)
    load_encoder_weights(build_encoder(EncoderRecipe(encoder, trainable_blocks=0)), file)
    typer.echo(f"{file} fits {encoder}; sha256 {sha256_of(file)}")


@reports_errors
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has: versions, devices, codecs, the face detector. Exits with 1 if something is missing."""
    from stf_mamba.cli.doctor import examine

    facts, problems = examine()
    if as_json:
        typer.echo(json.dumps({"facts": facts, "problems": problems}, indent=2))
    else:
        for key, value in facts.items():
            typer.echo(f"{key:<18} {value}")
        for problem in problems:
            typer.echo(f"problem: {problem}")
    if problems:
        raise typer.Exit(1)


VERBS = (
    demo,
    detect,
    prepare,
    pseudofakes,
    split,
    audit,
    estimate,
    train,
    crossvalidate,
    evaluate,
    signals,
    study,
    report,
    weights,
    doctor,
)
for verb in VERBS:
    app.command()(verb)
