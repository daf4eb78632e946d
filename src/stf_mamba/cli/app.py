"""The command line: ``stf VERB``. Each verb calls the library and says what came of it.

Arguments are checked first and heavy imports happen inside the verbs, so that help and refusals come at once. The verbs
stand by subject in the other modules of this room; the short ones are here.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from stf_mamba.cli.arguments import folder_to_write, weights_source
from stf_mamba.cli.data import audit, prepare, pseudofakes, split
from stf_mamba.cli.detection import detect
from stf_mamba.cli.evaluation import evaluate
from stf_mamba.cli.options import JsonOption
from stf_mamba.cli.signals import signals
from stf_mamba.cli.study import report, study
from stf_mamba.cli.training import crossvalidate, estimate, train
from stf_mamba.cli.verbs import Verbs, hold_to_the_end
from stf_mamba.core.errors import UsageError, WeightsError

FIRST_STEPS = """\
STF-Mamba: a deepfake video detector that shows its evidence.

  stf doctor                      what this machine has, and what is missing
  stf demo                        the whole machinery on drawn videos, in minutes
  stf detect VIDEO --model RUN    a verdict on a video, by a model that you trained

stf --help lists all commands, stf COMMAND --help explains one."""

app = typer.Typer(
    name="stf",
    cls=Verbs,
    help="STF-Mamba: a deepfake video detector that shows its evidence.",
    epilog="""A verdict on your own videos takes a trained model: stf prepare, stf train, then stf detect.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some input could not be analysed, 10 an outcome of --fail-on, 130
    stopped.""",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's panels take longer to import than everything else together
)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
    app(prog_name="stf")


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """STF-Mamba: a deepfake video detector that shows its evidence."""
    if version:
        from stf_mamba import __version__

        typer.echo(f"stf-mamba {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(FIRST_STEPS)


def demo(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder for everything that the demonstration makes.", callback=folder_to_write),
    ] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random draw.")] = 42,
) -> None:
    """Show the whole machinery on drawn videos. Makes a corpus, clips, a trained model, its evaluation, a verdict."""
    from stf_mamba.cli.demo import run_demo

    hold_to_the_end(context, out, "what was finished is kept")
    run_demo(out, seed)


def weights(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Weights to check: a file, package:NAME, or hf:OWNER/NAME@COMMIT.", callback=weights_source
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Check against this one, and say what does not fit.")
    ] = None,
) -> None:
    """List the encoders, or check weights. A file fits an encoder if every tensor finds its place."""
    if file is None and encoder is not None:
        raise UsageError(f"--encoder {encoder} needs a weights file to check: stf weights FILE --encoder {encoder}")
    from stf_mamba.models.encoders.registry import ENCODERS

    if file is None:
        for known, spec in ENCODERS.items():
            typer.echo(f"{known:<20} {spec.description}")
        return
    if encoder is not None and encoder not in ENCODERS:
        raise UsageError(f"--encoder is {encoder!r}; name one of {', '.join(ENCODERS)}")
    from stf_mamba.core.files import sha256_of
    from stf_mamba.core.recipe import EncoderRecipe
    from stf_mamba.models.encoders.registry import build_encoder
    from stf_mamba.models.weights.loading import encoders_fitting, load_encoder_weights
    from stf_mamba.models.weights.sources import local_weights

    file = local_weights(file)
    if encoder is not None:
        load_encoder_weights(build_encoder(EncoderRecipe(encoder, trainable_blocks=0)), file)
    fitting = [encoder] if encoder is not None else encoders_fitting(file)
    if not fitting:
        raise WeightsError(
            f"{file} fits none of {', '.join(ENCODERS)}; add --encoder NAME with the one that you mean, to see what "
            "does not fit"
        )
    typer.echo(f"{file} fits {', '.join(fitting)}; sha256 {sha256_of(file, WeightsError)}")


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, and what is missing. Looks at versions, devices, codecs, the face detector.

    Exits with 1 if something is missing.
    """
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


# Each verb with an example of its use.
VERBS: dict[Callable[..., None], str] = {
    demo: "stf demo --out demo",
    detect: "stf detect suspect.mp4 --model runs/v8 --out verdicts",
    prepare: "stf prepare --dataset ffpp --root FaceForensics++ --out clips",
    pseudofakes: "stf pseudofakes --clips clips --out samples --count 4",
    split: "stf split identity --clips clips --out split.json --validation-fraction 0.2",
    audit: "stf audit --clips clips --split runs/v8",
    estimate: "stf estimate recipes/v8.toml --videos 1000 --clips-per-video 4",
    train: "stf train recipes/v8.toml --clips clips --weights vit.pth --out runs/v8",
    crossvalidate: "stf crossvalidate recipes/v8.toml --clips clips --from-scratch --out cv",
    evaluate: "stf evaluate runs/v8 --clips clips --dataset celebdf",
    signals: "stf signals suspect.mp4 --out signals",
    study: "stf study --clips clips --only v8 --weights dinov2_vitb14=vit.pth",
    report: "stf report study --format html",
    weights: "stf weights vit.pth --encoder dinov2_vitb14",
    doctor: "stf doctor",
}
for verb, example in VERBS.items():
    app.command(epilog=f"\b\nExample:\n  {example}")(verb)
