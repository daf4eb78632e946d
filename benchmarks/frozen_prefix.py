"""How much faster is training from cached tokens of the frozen blocks? Measured side by side, in one run.

    python benchmarks/frozen_prefix.py --json frozen-prefix.json      about six minutes on two quiet cores
    python benchmarks/frozen_prefix.py --quick                        seconds, with ViT-Tiny, for a look

The default recipe: ViT-B/14 at 224 px with random weights, its last two blocks training, two Hydra layers, the variance
head; 32 frames a clip, one clip a step, float32, two threads. The contestants take turns, so that a disturbance hits
all of them; a figure is the median over the turns. A step is forward, backward and AdamW. "Pruned" steps compute the
last block's class token alone (``models.last_block``), which is all that the detector reads.

The floor is a cached step on tokens that are in memory already. Of N clips and K views over 25 epochs, the full run
takes 25 N steps; the cached one fills N K entries, verifies each once, and takes 25 N cached steps, from the page cache
(the warm row) or from the disk itself (the cold row), where the system can be told to forget a file.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, Recipe
from stf_mamba.models.clip_detector import ClipDetector, build_detector
from stf_mamba.models.encoders.last_block import cls_only_block
from stf_mamba.models.heads import ClipOutput
from stf_mamba.training.cache.filling import estimate_bytes, prefix_tokens
from stf_mamba.training.cache.prefix_cache import CacheEntry, PrefixCache, cache_settings
from timing import machine, take_turns

THREADS, TURNS, QUICK_TURNS = 2, 5, 3
EPOCHS, VIEWS = 25, (1, 2, 5)
TIMES_AS_FAST = 4.0  # at least, over all epochs, with one view

FULL, FULL_PRUNED = "full step", "full step, pruned"
CACHED, CACHED_PRUNED, COLD = "cached step", "cached step, pruned", "cached step, pruned, cold disk"
FLOOR, FLOOR_PRUNED = "floor", "floor, pruned"
FILL, VERIFY = "filling, one clip", "first reading, verified"
COMPARED = ((FULL, CACHED), (FULL, CACHED_PRUNED), (FULL, COLD), (FULL_PRUNED, CACHED_PRUNED))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--folder", type=Path, help="where the cache is written; a temporary folder unless told")
    parser.add_argument("--quick", action="store_true", help="ViT-Tiny, 8 frames, few turns")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    recipe = Recipe()
    if arguments.quick:
        recipe = replace(recipe, encoder=EncoderRecipe(name="vit_tiny16"), data=DataRecipe(frames=8))
    report: dict[str, Any] = {"machine": machine(THREADS), "quick": arguments.quick, "encoder": recipe.encoder.name}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        bench = Bench(recipe, Path(folder))
        report["entry_bytes"] = bench.entry_bytes
        report["seconds"] = take_turns(bench.calls(), QUICK_TURNS if arguments.quick else TURNS)
    report["ratios"] = ratios(report["seconds"])
    report["bounds"] = [] if arguments.quick else bounds(report)
    report["machine"]["load_after"] = os.getloadavg()[0]
    print_report(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


class Bench:
    """One clip, its entry in a cache, and every way to take a step on it."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        torch.manual_seed(0)
        self.recipe = recipe
        self.model = build_detector(recipe)
        self.optimiser = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-6)
        self.clip = torch.randint(0, 256, (recipe.data.frames, 3, 224, 224), dtype=torch.uint8)
        self.settings = cache_settings(self.model.encoder, recipe, "benchmark")
        self.cache = PrefixCache.create(folder, self.settings)
        self.entry = CacheEntry("0" * 64, "000.npy")
        self.tokens = prefix_tokens(self.model.encoder, self.clip)
        self.cache.write(self.entry, self.tokens)
        self.entry_bytes = estimate_bytes(1, 1, *self.tokens.shape, storage=self.settings.storage)
        self.views = count(1)

    def calls(self) -> dict[str, Callable[[], object]]:
        """What is timed, by name."""
        read = self.cache.read
        calls: dict[str, Callable[[], object]] = {
            FULL: lambda: self.step(embed(self.model, self.model.encoder.prefix(self.clip))),
            FULL_PRUNED: lambda: self.step(embed_pruned(self.model, self.model.encoder.prefix(self.clip))),
            FILL: self.fill_one,
            VERIFY: lambda: PrefixCache(self.cache.root, self.settings).read(self.entry).sum(),
            CACHED: lambda: self.step(embed(self.model, read(self.entry))),
            CACHED_PRUNED: lambda: self.step(embed_pruned(self.model, read(self.entry))),
            FLOOR: lambda: self.step(embed(self.model, self.tokens)),
            FLOOR_PRUNED: lambda: self.step(embed_pruned(self.model, self.tokens)),
        }
        if hasattr(os, "posix_fadvise"):
            calls[COLD] = self.cold_step
        return calls

    def step(self, embeddings: Tensor) -> None:
        """Everything after the encoder for one clip's embeddings (T, D), the backward pass, and AdamW."""
        output = self.model.from_embeddings(embeddings.unsqueeze(0))
        assert isinstance(output, ClipOutput)
        self.optimiser.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(output.logit, torch.ones(1)).backward()
        self.optimiser.step()

    def fill_one(self) -> None:
        """Compute and write another view's tokens."""
        entry = replace(self.entry, view=next(self.views))
        self.cache.write(entry, prefix_tokens(self.model.encoder, self.clip))

    def cold_step(self) -> None:
        """A pruned step on tokens that the page cache has been told to forget."""
        with (self.cache.entry_folder(self.entry) / "tokens.npy").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.step(embed_pruned(self.model, self.cache.read(self.entry)))


def embed(model: ClipDetector, tokens: Tensor) -> Tensor:
    """Embeddings (T, D) of tokens (T, L, D) through the trained blocks as timm runs them."""
    network = model.encoder.network
    for block in network.blocks[model.encoder.first_trainable :]:
        tokens = block(tokens)
    return network.norm(tokens)[:, 0]


def embed_pruned(model: ClipDetector, tokens: Tensor) -> Tensor:
    """The same embeddings, the last block computing its class token alone."""
    network = model.encoder.network
    *blocks, last = network.blocks[model.encoder.first_trainable :]
    for block in blocks:
        tokens = block(tokens)
    return network.norm(cls_only_block(last, tokens))[:, 0]


def ratios(seconds: dict[str, float]) -> list[dict[str, Any]]:
    """How many times as long the full run takes as the cached one, by pair of steps and number of views."""
    rows = []
    for full, cached in COMPARED:
        if cached in seconds:
            for views in VIEWS:
                once = views * (seconds[FILL] + seconds[VERIFY])
                ratio = EPOCHS * seconds[full] / (once + EPOCHS * seconds[cached])
                rows.append({"full": full, "cached": cached, "views": views, "ratio": ratio})
    return rows


def bounds(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The bound of this benchmark with what was measured, against both full runs.

    Against the unpruned step it says what the cache and the pruned last block give together, against the pruned one,
    which is how the detector itself runs without a cache, what the cache gives alone.
    """
    judged = {(FULL, CACHED_PRUNED, 1), (FULL_PRUNED, CACHED_PRUNED, 1)}
    return [
        {
            "what": f"{row['full']} / {row['cached']}, {EPOCHS} epochs, one view, filling included",
            "measured": row["ratio"],
            "limit": TIMES_AS_FAST,
            "holds": row["ratio"] >= TIMES_AS_FAST,
        }
        for row in report["ratios"]
        if (row["full"], row["cached"], row["views"]) in judged
    ]


def print_report(report: dict[str, Any]) -> None:
    seconds = report["seconds"]
    print(f"{report['machine']}\n{report['encoder']}, {report['entry_bytes'] / 1e6:.1f} MB a clip and view\n")
    for name, value in seconds.items():
        print(f"{name:34} {1e3 * value:9.1f} ms   {value / seconds[FULL]:6.3f} × {FULL}")
    print(f"\ntimes as fast over {EPOCHS} epochs{'':25}" + "".join(f"  K = {views}" for views in VIEWS))
    for full, cached in COMPARED:
        found = [row["ratio"] for row in report["ratios"] if (row["full"], row["cached"]) == (full, cached)]
        if found:
            print(f"{full + ' / ' + cached:52}" + "".join(f"{ratio:7.2f}" for ratio in found))
    print()
    for row in report["bounds"]:
        verdict = "holds " if row["holds"] else "MISSED"
        print(f"{verdict}  {row['what']}: {row['measured']:.3g}, at least {row['limit']:g}")
    machine = report["machine"]
    print(f"load average {machine['load_before']:.2f} before, {machine['load_after']:.2f} after")


if __name__ == "__main__":
    main()
