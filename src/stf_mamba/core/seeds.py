"""Seeds derived from names, so that a draw depends on what it is for and on nothing else."""

from __future__ import annotations

import hashlib


def hashed_rank(seed: object, name: str) -> str:
    """A sort key that shuffles names by a seed, the same in every process, whatever order they come in."""
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**63) from the text of ``parts``: the same in every process, on every machine, in any order."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
