"""The decoder's symbols of a file that was cut short: what did not arrive takes the likeliest value.

A symbol of zero means the value that the networks predict: measured on photographs cut at 5 to 90 %, that is up to
0.5 dB better than zero latents, and better than hiding the patches of which nothing has come beyond the base layer.
"""

from __future__ import annotations

import numpy as np

from .adaptive import AdaptiveBit
from .integer_networks import Ints
from .latent_coder import Bools, Reader, Where
from .truncated import CutShort


class PartialReader(Reader):
    """Symbols while they are certain, zeros from there on; patches that no bit has named are hidden."""

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """See :class:`SymbolIO`."""
        try:
            return super().hyper(loc, index)
        except CutShort as cut:
            return cut.values.reshape(self.cells, len(index))

    def coarse(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """See :class:`SymbolIO`."""
        try:
            return super().coarse(where, start, mu, index)
        except CutShort as cut:
            return cut.values.reshape(index.shape)

    def visible(self, where: Where, states: list[AdaptiveBit]) -> Bools:
        """See :class:`SymbolIO`."""
        bits = np.zeros(len(states), bool)
        try:
            for at, state in enumerate(states):
                bits[at] = state.decode(self.decoder)
        except CutShort:
            pass
        return bits

    def latents(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """See :class:`SymbolIO`."""
        try:
            return super().latents(where, start, mu, index)
        except CutShort as cut:
            return cut.values.reshape(index.shape)
