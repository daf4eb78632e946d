"""Data-parallel work under ``torchrun``: who am I, share, add up. Alone, every call is a no-op.

Each process works on its part of the same global batch and the gradients are added up, so the result does not depend
on the number of processes (up to the order of float additions).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Item = TypeVar("Item")


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def processes_started() -> int:
    """How many processes ``torchrun`` started, also before and after they form a group; alone 1."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes files and talks to the person, also before and after the group exists."""
    if dist.is_initialized():
        return rank() == 0
    return processes_started() == 1 or int(os.environ.get("RANK", "0")) == 0


def wait_for_all() -> None:
    """Go on when every process has come this far."""
    if world_size() > 1:
        dist.barrier()


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the group that ``torchrun`` started, if it did; yields this process's own device."""
    started = processes_started() > 1 and not dist.is_initialized()
    if not started:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def share(items: Sequence[Item]) -> list[Item]:
    """This process's part of a list: every ``world_size``-th item."""
    return part_of(items, rank(), world_size())


def part_of(items: Sequence[Item], process: int, processes: int) -> list[Item]:
    """One process's part of a list. The parts of all processes hold each item once; their sizes differ by one at most.

    >>> part_of("abcde", 0, 2), part_of("abcde", 1, 2)
    (['a', 'c', 'e'], ['b', 'd'])
    """
    return list(items[process::processes])


def gather(items: dict[str, Item]) -> dict[str, Item]:
    """The dictionaries of all processes as one, in every process."""
    if world_size() == 1:
        return items
    parts: list[dict[str, Item] | None] = [None] * world_size()
    dist.all_gather_object(parts, items)
    return {key: value for part in parts if part is not None for key, value in part.items()}


def add_up(value: float, device: torch.device) -> float:
    """The sum of every process's value."""
    if world_size() == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
    dist.all_reduce(total)
    return float(total)


def add_up_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over the processes; a process without one takes part with zeros."""
    if world_size() == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for parameter, part in zip(trained, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        parameter.grad = part.view_as(parameter).clone()


def agree(flag: bool, device: torch.device) -> bool:
    """Whether any process raised the flag: all of them get the same answer."""
    return add_up(float(flag), device) > 0


def stop_together(asked: bool, device: torch.device) -> None:
    """Stop every process where any of them was asked to; all of them wait for each other here.

    Raises:
        KeyboardInterrupt: one was asked.
    """
    if agree(asked, device):
        raise KeyboardInterrupt


def broadcast_module(module: nn.Module) -> None:
    """Give every process the main one's parameters and buffers."""
    if world_size() == 1:
        return
    tensors: list[Tensor] = list(module.state_dict().values())
    for tensor in tensors:
        dist.broadcast(tensor, src=0)
