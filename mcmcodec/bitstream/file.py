"""Stage: the words of a file, which come before its symbols: open, read, exchange; files of words alone. No torch.

Payload: caption, then symbols. Editing decodes the symbols and codes them again behind another caption: they stay the
same, and so does the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ..caption import Region, Words, coder
from ..entropy.latent_coder import Decoded, Reader, walk
from ..entropy.partial_reader import PartialReader
from ..entropy.rangecoder import RangeDecoder, RangeEncoder
from ..entropy.truncated import CutDecoder, CutShort
from ..errors import FormatError, InputError
from ..model.config import HYPER
from ..model.weights import Weights, loaded
from . import container
from .container import WORDS, Header
from .limits import check_pixels

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = ("full", "base", "caption")
"""What a file holds: everything; the base layer and the caption; the caption alone."""


class Painter(Protocol):
    """What makes a picture of words: a text-to-image model, say."""

    def __call__(self, caption: str, width: int, height: int) -> Image:
        """Paint the caption, upright, at about this size in pixels; another size is scaled to it."""


@dataclass(frozen=True)
class Opened:
    """A file whose checksum is right, read up to its first symbol.

    Attributes:
        header: the header.
        weights: the stream model.
        words: caption and regions.
        decoder: stands behind the words.
    """

    header: Header
    weights: Weights
    words: Words
    decoder: RangeDecoder

    @property
    def caption(self) -> str:
        """The caption, empty if there is none."""
        return self.words.text

    @property
    def mode(self) -> str:
        """One of :data:`MODES`."""
        return "caption" if self.header.words_only else "base" if self.header.none_visible else "full"

    def symbols(self, max_pixels: int | None = None, *, coarse: bool = False) -> tuple[Decoded, dict[str, float]]:
        """Decode the symbols, to be done once; with the bits of each section.

        ``coarse`` leaves the last slice of the latents at zero, unread.

        Raises:
            FormatError: the payload is damaged.
            InputError: the picture is over the limit of pixels.
        """
        header = self.header
        check_pixels(header.width, header.height, max_pixels)
        entropy = self.weights.entropy
        rows, cols = header.grid
        reader = PartialReader if isinstance(self.decoder, CutDecoder) else Reader
        port = reader(self.decoder, entropy.tables, -(-rows // HYPER) * -(-cols // HYPER))
        last = max(entropy.base_slices, len(entropy.slices) - 1) if coarse else None
        decoded = walk(
            entropy, port, (rows, cols), header.quality, header.keep, header.all_visible, header.none_visible, last
        )
        if not coarse:
            self.finish()
        return decoded, port.sections

    def finish(self) -> None:
        """FormatError when the payload is not what an encoder writes for what has been decoded."""
        if not self.decoder.exhausted():
            raise FormatError("the coded picture data has bytes that belong to nothing", "get a whole copy of the file")


def opened(data: bytes, *, allow_truncated: bool = False) -> Opened:
    """Check a file and read its header and caption; its symbols are left alone.

    Args:
        data: the bytes of the file.
        allow_truncated: read a file without its end as far as it goes, rather than to refuse it.

    Raises:
        FormatError: not an .mcm file, or damaged.
        ModelError: the file's model is not installed.
    """
    header, at = container.parse_header(data)
    weights = loaded(header.model, header.variant)
    if allow_truncated and not container.is_whole(data, weights.fingerprint):
        # its last bytes may be the checksum's first ones: they are not believed
        decoder: RangeDecoder = CutDecoder(data[at : 1 - container.CRC_SIZE])
    else:
        header, payload = container.unpack(data, weights.fingerprint)
        decoder = RangeDecoder(payload)
    try:
        words = coder.decode(decoder, header.grid) if header.caption else Words()
    except CutShort:
        raise FormatError("cut short before the picture begins", "get more of the file") from None
    found = Opened(header, weights, words, decoder)
    if header.words_only:
        found.finish()
    return found


def words_file(weights: Weights, width: int, height: int, words: Words) -> bytes:
    """A file of words and no picture.

    Args:
        weights: the model, whose caption coder is used.
        width: of the picture that the words are about, in pixels.
        height: likewise.
        words: caption and regions, of which one at least is not empty.

    Raises:
        InputError: there are no words.
        UsageError: they are too long, a box is outside the picture, or a size is out of range.
    """
    if not words:
        raise InputError("there is no caption, and nothing else would be kept", "give --caption or --caption-from")
    encoder = RangeEncoder()
    header = Header(width, height, weights.number, 0, 0, 0, caption=True, extensions=((WORDS, b""),))
    coder.encode(encoder, words, header.grid)
    return container.pack(header, encoder.finish(), weights.fingerprint)


def with_caption(data: bytes, caption: str, regions: Sequence[Region] | None = None) -> bytes:
    """Exchange a file's caption, or take its words out where ``caption`` is empty.

    The symbols stay the same, bit for bit. Without ``regions``, those that are there stay, unless the caption goes.

    Raises:
        FormatError: not an .mcm file, or damaged.
        InputError: the caption is all that the file holds, and is to be taken out.
        ModelError: the file's model is not installed.
        UsageError: the caption is too long.
    """
    old = opened(data)
    header = old.header
    kept = old.words.regions if caption else ()
    words = Words(caption, kept if regions is None else tuple(regions))
    if header.words_only:
        if not words:
            raise InputError("the caption is all that the file holds", "delete the file instead")
        return words_file(old.weights, header.width, header.height, words)
    encoder = RangeEncoder()
    if words:
        coder.encode(encoder, words, header.grid)
    old.decoder.copy_to(encoder)
    old.symbols()
    return container.pack(replace(header, caption=bool(words)), encoder.finish(), old.weights.fingerprint)


def paint(file: Opened, painter: Painter | None, max_pixels: int | None = None) -> Image:
    """The RGB picture that a painter makes of a file of words alone.

    Raises:
        FormatError: there is no painter.
        InputError: the picture would be over the limit of pixels.
    """
    from PIL.Image import Resampling

    if painter is None:
        raise FormatError(
            "the file holds a caption and no picture",
            "give --painter and a text-to-image model, or read the words with codec caption",
        )
    size = file.header.width, file.header.height
    check_pixels(*size, max_pixels)
    picture = painter(file.caption, *size).convert("RGB")
    return picture if picture.size == size else picture.resize(size, Resampling.LANCZOS)
