"""Is the Hydra layer the fastest choice at every length, and how exact is it? Measured side by side, in one run.

    python benchmarks/hydra.py --json hydra.json --plot hydra.png     about ten minutes on two quiet cores
    python benchmarks/hydra.py --quick                                about one minute, for a look

Float32, width 512, batch 8 (batch 1 from 8,192 positions), two threads. The contestants of a length take turns, so that
a disturbance hits all of them; a figure is the median over the turns. "Bare GEMMs" are the layer's two projections
alone. Memory is what the process adds at its peak; error is against the layer in float64.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from published_hydra import PublishedHydra
from stf_mamba.core.recipe import Recipe
from stf_mamba.models.clip_detector import build_detector
from stf_mamba.models.encoders.timm_import import import_timm
from stf_mamba.models.mixers.hydra import Hydra
from stf_mamba.models.mixers.registry import build_mixer
from stf_mamba.models.mixers.scan import DUAL_MAX_LENGTH, scan_chunked, scan_dual
from timing import machine, take_turns

WIDTH, BATCH, THREADS = 512, 8, 2
LONG = 8192  # positions from which one sequence is measured instead of a batch
MEMORY_FROM = 1024  # positions; below, the process's own noise is larger than what is measured
RACE_LENGTHS = (32, 128, 512, 1024)
COMPILED_LENGTHS = (32,)
CROSSOVER_LENGTHS = (64, 128, 170, 256, 512)
LENGTHS = (32, 64, 128, 256, 512, 1024, 4096, 16384, 131072)
QUICK_RACE_LENGTHS, QUICK_LENGTHS = (32, 512), (64, 512, 4096)

GEMMS, HYDRA, COMPILED = "bare GEMMs", "hydra", "hydra, compiled"
PUBLISHED, KINDER = "published, plain PyTorch", "published, C·B once for all heads"
TRANSFORMER, MAMBA2 = "transformer layer", "two Mamba-2 (transformers)"
GRU, WIDE_GRU = "bidirectional GRU, 2 × 256", "bidirectional GRU, 2 × 512"  # as wide as the layer's output, inner width
FORWARD, TRAINING = "forward", "forward+backward"

# (contestant, against, lengths, how many times as long `against` takes at least)
AT_LEAST = [
    (HYDRA, TRANSFORMER, (32,), 1.0),
    (HYDRA, GRU, (32,), 2.2),
    (HYDRA, WIDE_GRU, (32,), 2.2),
    (HYDRA, PUBLISHED, (32,), 2.2),
    (HYDRA, KINDER, (32,), 2.2),
    (HYDRA, MAMBA2, (32,), 2.2),
    (HYDRA, TRANSFORMER, (512, 1024), 1.0),
    (HYDRA, GRU, (512, 1024), 1.6),
    (HYDRA, WIDE_GRU, (512, 1024), 1.6),
    (HYDRA, PUBLISHED, (512, 1024), 3.0),
    (HYDRA, KINDER, (512, 1024), 3.0),
]
AT_MOST = [(COMPILED, (32,), 1.35), (HYDRA, (32,), 1.6), (HYDRA, (512, 1024), 2.0)]
FLATNESS, ENCODER_SHARE = 1.3, 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw time per frame and error by length")
    parser.add_argument("--quick", action="store_true", help="two race lengths, few turns, no compiler, no encoder")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    prime_allocator()
    report: dict[str, Any] = {"machine": machine(THREADS), "quick": arguments.quick}
    print(report["machine"])
    report["race"] = race(arguments.quick)
    report["crossover"] = crossover()
    report["lengths"] = by_length(QUICK_LENGTHS if arguments.quick else LENGTHS)
    report["encoder"] = None if arguments.quick else encoder_share()
    report["bounds"] = bounds(report)
    report["machine"]["load_after"] = os.getloadavg()[0]
    print_bounds(report["bounds"])
    print(f"load average {report['machine']['load_before']:.2f} before, {report['machine']['load_after']:.2f} after")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if arguments.plot:
        plot_lengths(report).savefig(arguments.plot, dpi=150)


def race(quick: bool) -> list[dict[str, Any]]:
    """Median seconds of every contestant at every race length, forward and forward with backward."""
    rows = []
    for length in QUICK_RACE_LENGTHS if quick else RACE_LENGTHS:
        x = torch.randn(BATCH, length, WIDTH)
        runners = contestants(length, x, compile_too=not quick and length in COMPILED_LENGTHS)
        turns = 3 if quick else max(5, min(40, 2500 // length))
        for kind in (FORWARD, TRAINING):
            passes = {name: forward(run, x) if kind == FORWARD else training(run, x) for name, run in runners.items()}
            seconds = take_turns(passes, turns)
            rows += [
                {"length": length, "pass": kind, "contestant": name, "seconds": value, "gemms": value / seconds[GEMMS]}
                for name, value in seconds.items()
            ]
            print(f"\nL = {length}, {kind}, {turns} turns")
            for name, value in sorted(seconds.items(), key=lambda item: item[1]):
                print(f"  {name:34} {1e3 * value:9.2f} ms   {value / seconds[GEMMS]:6.2f} × bare GEMMs")
    return rows


def contestants(length: int, x: Tensor, *, compile_too: bool) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is raced at one length, each a function of (B, L, 512)."""
    layer = Hydra(WIDTH)
    runners: dict[str, Callable[[Tensor], Tensor]] = {
        GEMMS: BareGemms(layer),
        HYDRA: layer,
        TRANSFORMER: nn.TransformerEncoderLayer(WIDTH, 8, dropout=0.0, batch_first=True),
        GRU: build_mixer("gru", WIDTH),
        WIDE_GRU: FirstOutput(nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)),
        MAMBA2: two_mamba2(length),
        PUBLISHED: PublishedHydra(layer, shared_products=False),
        KINDER: PublishedHydra(layer, shared_products=True),
    }
    with torch.no_grad():
        for name in (PUBLISHED, KINDER):
            torch.testing.assert_close(runners[name](x), layer(x), rtol=1e-3, atol=1e-4)
    if compile_too:
        torch._dynamo.reset()
        runners[COMPILED] = torch.compile(layer, fullgraph=True)
    return runners


def crossover() -> list[dict[str, Any]]:
    """Median seconds of the mix alone in its dense and its chunked form, on 512 positions cut into sequences."""
    rows = []
    print("\n      L   dense mix   chunked mix (ms, forward + backward)")
    for length in CROSSOVER_LENGTHS:
        batch, heads, states = 512 // length, 16, 64
        x, dt = torch.randn(batch, length, heads, 64), torch.rand(batch, length, 2, heads) * 0.1
        b, c = torch.randn(2, batch, length, 2, 1, states)
        arguments = (
            x.requires_grad_(),
            dt.requires_grad_(),
            -torch.ones(heads),
            b,
            c,
            torch.ones(batch, length, heads),
        )
        calls = {form.__name__: partial(run_backward, form, arguments) for form in (scan_dual, scan_chunked)}
        seconds = take_turns(calls, turns=9)
        rows.append({"length": length, **seconds})
        print(f"{length:7} {1e3 * seconds['scan_dual']:11.2f} {1e3 * seconds['scan_chunked']:13.2f}")
    print(f"the layer changes from dense to chunked after L = {DUAL_MAX_LENGTH}")
    return rows


def run_backward(form: Callable[..., Tensor], arguments: tuple[Tensor, ...]) -> None:
    """Runs one form of the mix forward and backward."""
    out = form(*arguments)
    torch.autograd.grad(out, arguments[:2], torch.ones_like(out))


class BareGemms(nn.Module):
    """The two projections of a layer with nothing between them: the work that no form of the mix can save."""

    def __init__(self, layer: Hydra) -> None:
        super().__init__()
        self.layer = layer
        self.mixed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.mixed is None or self.mixed.shape[:2] != x.shape[:2]:
            self.mixed = torch.randn(*x.shape[:2], self.layer.inner, requires_grad=True)
        projected = self.layer.in_proj(x)
        out: Tensor = self.layer.out_proj(self.mixed)
        if torch.is_grad_enabled():
            # Gives the first projection a full gradient, at the price of no arithmetic.
            out = _WithGradient.apply(out, projected)
        return out


class _WithGradient(torch.autograd.Function):
    """Returns its first argument; hands the second a gradient that is not zero."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, projected: Tensor) -> Tensor:
        ctx.save_for_backward(projected)
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, ctx.saved_tensors[0]


def two_mamba2(length: int) -> Callable[[Tensor], Tensor]:
    """Two of transformers' Mamba-2 layers, one on the reversed sequence, at Hydra's sizes and a chunk that fits."""
    import_timm()  # takes care of torchvision, which transformers imports
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Config, Mamba2Mixer

    config = Mamba2Config(
        hidden_size=WIDTH, num_heads=16, head_dim=64, state_size=64, n_groups=1, expand=2, chunk_size=min(256, length)
    )
    return AddedBothWays(*(Mamba2Mixer(config, layer_idx=0) for _ in range(2)))


class FirstOutput(nn.Module):
    """The first thing that a module returns."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.module(x)[0]
        return out


class AddedBothWays(nn.Module):
    """One layer on the sequence plus another on the reversed one."""

    def __init__(self, ahead: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.ahead, self.back = ahead, back

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ahead(x) + self.back(x.flip(1)).flip(1)
        return out


def forward(run: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    """A call that runs forward without gradients."""

    def call() -> None:
        with torch.no_grad():
            run(x)

    return call


def training(run: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    """A call that runs forward and backward, gradients of input and parameters included."""
    leaf = x.clone().requires_grad_()
    parameters = list(run.parameters()) if isinstance(run, nn.Module) else []

    def call() -> None:
        out = run(leaf)
        out.backward(torch.ones_like(out))
        for tensor in (leaf, *parameters):
            tensor.grad = None

    return call


def by_length(lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    """Time per frame, memory and error of the layer at each length, forward; the lengths take turns too."""
    layer = Hydra(WIDTH)
    exact = copy.deepcopy(layer).double()
    rows, calls = [], {}
    for length in lengths:
        x = torch.randn(1 if length >= LONG else BATCH, length, WIDTH)
        calls[str(length)] = forward(layer, x)
        row = {"length": length, "batch": x.shape[0], **errors(layer, exact, x[:1])}
        rows.append(row | {"mib_added": memory(length, x.shape[0]) if length >= MEMORY_FROM else None})
    short = take_turns({name: call for name, call in calls.items() if int(name) < LONG}, turns=9)
    long = take_turns({name: call for name, call in calls.items() if int(name) >= LONG}, turns=3)
    print("\n      L   batch   µs/frame   MiB added   error float32   error bfloat16 (relative to float64)")
    for row in rows:
        seconds = (short | long)[str(row["length"])]
        row["us_per_frame"] = 1e6 * seconds / (row["batch"] * row["length"])
        added = "      —" if row["mib_added"] is None else f"{row['mib_added']:7.0f}"
        print(
            f"{row['length']:7} {row['batch']:7} {row['us_per_frame']:10.1f} {added:>11}"
            f" {row['error_float32']:15.1e} {row['error_bfloat16']:16.1e}"
        )
    return rows


def memory(length: int, batch: int) -> float | None:
    """MiB that one forward adds, at its peak, to a fresh process; None where the system does not tell."""
    if not Path("/proc/self/status").exists():
        return None
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        return fresh.apply(added_mib, (length, batch))


def added_mib(length: int, batch: int) -> float:
    """The peak of this process after one forward, over what it held before, in MiB."""
    torch.set_num_threads(THREADS)
    layer, x = Hydra(WIDTH), torch.randn(batch, length, WIDTH)
    before = status_mib("VmRSS")
    with torch.no_grad():
        layer(x)
    return status_mib("VmHWM") - before


def status_mib(field: str) -> float:
    """A field of the process's status, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def errors(layer: nn.Module, exact: nn.Module, x: Tensor) -> dict[str, float]:
    """Relative error (2-norm) of float32 and of bfloat16 autocast against the same layer in float64."""
    with torch.no_grad():
        expected = exact(x.double())
        plain = layer(x).double()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = layer(x).double()
    size = float(expected.norm())
    return {
        "error_float32": float((plain - expected).norm()) / size,
        "error_bfloat16": float((low - expected).norm()) / size,
    }


def encoder_share() -> dict[str, float]:
    """Seconds of one clip of 32 frames: the ViT-B encoder, and everything after it."""
    detector = build_detector(Recipe()).eval()
    frames = torch.rand(32, 3, 224, 224)
    with torch.no_grad():
        embeddings = detector.encoder(frames).unsqueeze(0)
    seconds = take_turns(
        {
            "encoder": forward(detector.encoder, frames),
            "temporal": forward(detector.from_embeddings, embeddings),
        },
        turns=3,
    )
    share = seconds["temporal"] / (seconds["encoder"] + seconds["temporal"])
    print(
        f"\none clip with ViT-B/14: encoder {seconds['encoder']:.2f} s, projection, two Hydra layers and head "
        f"{1e3 * seconds['temporal']:.1f} ms: {100 * share:.2f} %"
    )
    return {**seconds, "share": share}


def bounds(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every bound of this benchmark with what was measured; one that was not measured is left out."""
    seconds = {(row["pass"], row["length"], row["contestant"]): row["seconds"] for row in report["race"]}
    found = []
    for kind in (FORWARD, TRAINING):
        for name, lengths, limit in AT_MOST:
            for length in lengths:
                if (kind, length, name) in seconds:
                    value = seconds[kind, length, name] / seconds[kind, length, GEMMS]
                    found.append(bound(f"{name} / bare GEMMs, L = {length}, {kind}", value, "at most", limit))
        for name, against, lengths, limit in AT_LEAST:
            for length in lengths:
                if (kind, length, against) in seconds:
                    value = seconds[kind, length, against] / seconds[kind, length, name]
                    found.append(bound(f"{against} / {name}, L = {length}, {kind}", value, "at least", limit))
    flat = [row["us_per_frame"] for row in report["lengths"] if row["length"] >= 64]
    found.append(bound("dearest / cheapest frame from L = 64 on", max(flat) / min(flat), "at most", FLATNESS))
    worst = max(row["error_float32"] for row in report["lengths"])
    found.append(bound("error of float32, any length", worst, "at most", 1e-4))
    if report["encoder"]:
        found.append(bound("temporal part of a clip's time", report["encoder"]["share"], "at most", ENCODER_SHARE))
    return found


def bound(what: str, value: float, sense: str, limit: float) -> dict[str, Any]:
    holds = value <= limit if sense == "at most" else value >= limit
    return {"what": what, "measured": value, "sense": sense, "limit": limit, "holds": holds}


def print_bounds(found: list[dict[str, Any]]) -> None:
    print()
    for row in found:
        verdict = "holds " if row["holds"] else "MISSED"
        print(f"{verdict}  {row['what']}: {row['measured']:.3g}, {row['sense']} {row['limit']:g}")


def plot_lengths(report: dict[str, Any]) -> Any:
    """Time per frame of every contestant, and error of the layer, by length. Returns the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.style.use("tableau-colorblind10")
    figure, (time_axes, error_axes) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    names = dict.fromkeys(row["contestant"] for row in report["race"])
    for name, marker in zip(names, "osv^Dx+*P", strict=False):
        rows = [row for row in report["race"] if row["contestant"] == name and row["pass"] == FORWARD]
        frames = [1e6 * row["seconds"] / (BATCH * row["length"]) for row in rows]
        time_axes.plot([row["length"] for row in rows], frames, marker=marker, label=name)
    lengths = [row["length"] for row in report["lengths"]]
    time_axes.plot(lengths, [row["us_per_frame"] for row in report["lengths"]], "k--", label="hydra, any length")
    time_axes.set(xscale="log", yscale="log", xlabel="length (frames)", ylabel="forward time per frame (µs)")
    time_axes.legend(fontsize="small")
    for kind in ("float32", "bfloat16"):
        error_axes.plot(lengths, [row[f"error_{kind}"] for row in report["lengths"]], marker="o", label=kind)
    error_axes.set(xscale="log", yscale="log", xlabel="length (frames)", ylabel="relative error against float64")
    error_axes.legend()
    return figure


def prime_allocator() -> None:
    """Let the C library learn, as it does in any process that has run an encoder, to keep freed blocks of some MiB."""
    block = torch.ones(31 * 2**20 // 4)
    del block


if __name__ == "__main__":
    main()
