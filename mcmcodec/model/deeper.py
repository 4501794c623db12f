"""Where the weights of a network stand in a deeper one that computes the same.

Additions start as nothing (Chen et al. 2016, Net2Net, without the copies): residual branches end in zeros.
"""

from __future__ import annotations

from ..errors import UsageError

LAST = (".out.weight", ".out.bias", ".down.weight", ".down.bias", ".expand.weight", ".expand.bias")
"""Ends of the names of the layers that blocks and renderer end in."""


def places(old: str, new: str) -> list[int]:
    """Where the blocks of a plan stand in a longer one that has them in the same order.

    Raises:
        UsageError: the longer one lacks some of them.
    """
    found, at = [], 0
    for kind in old:
        at = new.find(kind, at) + 1
        if not at:
            raise UsageError(f"the blocks {old} are not among {new}", "start the model with a PCA basis")
        found.append(at - 1)
    return found


def moved(name: str, blocks: list[int]) -> str:
    """The name of a parameter ``blocks.N.*`` in a network where block N stands at ``blocks[N]``; others as they are."""
    if not name.startswith("blocks."):
        return name
    _, number, rest = name.split(".", 2)
    return f"blocks.{blocks[int(number)]}.{rest}"


def ends_a_branch(name: str) -> bool:
    """Whether a parameter belongs to the last layer of a residual branch, of a block or of the renderer."""
    return name.startswith(("blocks.", "renderer.")) and name.endswith(LAST)
