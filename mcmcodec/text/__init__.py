"""EXACT: captions to decisions of the range coder and back, and the choice between captions by rate."""

from . import coders
from .choice import choose, coded_size
from .regions import Region, Words

__all__ = ["Region", "Words", "choose", "coded_size", "coders"]
