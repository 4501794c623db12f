"""EXACT: captions to decisions of the range coder and back, and the choice between captions by rate."""

from .shortest import choose, coded_size
from .words import Region, Words

__all__ = ["Region", "Words", "choose", "coded_size"]
