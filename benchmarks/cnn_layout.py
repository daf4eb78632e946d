"""What does the memory layout cost a convolutional encoder on this machine? Each against timm's plain network.

    python benchmarks/cnn_layout.py --json cnn-layout.json     about two minutes on two quiet cores

Float32, 16 crops of 224 px, every stage trained, two threads; "plain" is timm's network as a user would create it, in
the layout that PyTorch gives it (NCHW), "ours" the project's encoder (channels last). They take turns, so that a
disturbance hits both; a figure is the median over the turns. The difference of their outputs is shown relative to the
largest.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stf_mamba.models.encoders.cnn import CNN_ENCODERS, CnnEncoder
from timing import machine, take_turns

NAMES = ("efficientnet_lite0", "efficientnet_b0", "efficientnet_b4", "resnet50", "xception")
CROPS, SIDE_PX, THREADS = 16, 224, 2
FORWARD, TRAINING = "forward", "forward+backward"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="turns of each (default 5)")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    here = machine(THREADS)
    rows = [row for name in NAMES for row in measure(name, options.turns)]
    for row in rows:
        print(
            f"{row['encoder']:<20} {row['pass']:<18} plain {row['plain_s']:.2f} s, ours {row['ours_s']:.2f} s: "
            f"{row['ratio']:.2f} × as fast; outputs differ by {row['difference']:.1e}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps({"machine": here, "rows": rows}, indent=2) + "\n", encoding="utf-8")


class Plain(nn.Module):
    """timm's network with an encoder's weights, as a user would call it."""

    def __init__(self, encoder: CnnEncoder) -> None:
        super().__init__()
        self.network = CNN_ENCODERS[encoder.name].create_network()
        self.network.load_state_dict(encoder.network.state_dict())
        self.mean, self.std = encoder.mean, encoder.std

    def forward(self, frames: Tensor) -> Tensor:
        return self.network((frames / 255 - self.mean) / self.std)


def measure(name: str, turns: int) -> list[dict[str, Any]]:
    """One row for each pass of an encoder."""
    torch.manual_seed(0)
    ours = CnnEncoder(name, len(CNN_ENCODERS[name].stages)).eval()
    plain = Plain(ours).eval()
    frames = torch.randint(0, 256, (CROPS, 3, SIDE_PX, SIDE_PX), dtype=torch.uint8)
    with torch.inference_mode():
        expected = plain(frames)
        difference = float((ours(frames) - expected).abs().max() / expected.abs().max())
    rows = []
    for label, run in ((FORWARD, _forward), (TRAINING, _training)):
        seconds = take_turns({"plain": partial(run, plain, frames), "ours": partial(run, ours, frames)}, turns)
        rows.append(
            {
                "encoder": name,
                "pass": label,
                "plain_s": seconds["plain"],
                "ours_s": seconds["ours"],
                "ratio": seconds["plain"] / seconds["ours"],
                "difference": difference,
            }
        )
    return rows


def _forward(encoder: nn.Module, frames: Tensor) -> None:
    with torch.inference_mode():
        encoder(frames)


def _training(encoder: nn.Module, frames: Tensor) -> None:
    encoder.train()
    encoder.zero_grad()
    encoder(frames).square().mean().backward()
    encoder.eval()


if __name__ == "__main__":
    main()
