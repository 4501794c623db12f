"""EXACT: captions to decisions of the range coder and back, and the choice between captions by rate."""

from .choice import choose, coded_size

__all__ = ["choose", "coded_size"]
