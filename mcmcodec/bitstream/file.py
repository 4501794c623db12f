"""Opens files: checks them, finds their model, decodes their captions and symbols. Also exchanges captions. No torch.

The payload is the caption, then the symbols. To exchange the caption, the symbols are decoded and coded again after the
new one: they stay the same, and so does the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..caption import Region, Words, coder
from ..entropy.latent_coder import Decoded, SymbolReader, code_latents
from ..entropy.rangecoder import RangeDecoder, RangeEncoder, TruncationError
from ..entropy.truncated import TruncatedDecoder, TruncatedReader
from ..errors import FormatError, InputError, damaged
from ..model.config import HYPER
from ..model.weights import Weights, find_number
from . import container
from .container import CAPTION_ONLY, Header
from .limits import check_pixels
from .structure import STRUCTURE, Structure
from .structure import encode as encode_structure


@dataclass(frozen=True)
class OpenedFile:
    """A file whose checksum is right, decoded up to its first symbol.

    Attributes:
        header: the header.
        weights: the stream model.
        words: caption and regions.
        decoder: of the payload; the words have been read from it.
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
        """One of :data:`mcmcodec.options.MODES`."""
        if self.header.caption_only:
            return "sketch" if STRUCTURE in dict(self.header.extensions) else "caption"
        return "base" if self.header.none_visible else "full"

    def symbols(self, max_pixels: int | None = None, *, coarse: bool = False) -> tuple[Decoded, dict[str, float]]:
        """Decode the symbols. The range decoder moves on, so call this once.

        Args:
            max_pixels: the limit of pixels; see :func:`mcmcodec.bitstream.limits.max_pixels`.
            coarse: leave the last slice of the latents at zero, and do not decode it.

        Returns:
            The symbols, and the bits of each part of the payload: ``base``, ``mask``, ``latents``.

        Raises:
            FormatError: the payload is damaged.
            InputError: the picture is over the limit of pixels.
        """
        header = self.header
        check_pixels(header.width, header.height, max_pixels)
        entropy = self.weights.entropy
        rows, cols = header.grid
        kind = TruncatedReader if isinstance(self.decoder, TruncatedDecoder) else SymbolReader
        reader = kind(self.decoder, entropy.tables, -(-rows // HYPER) * -(-cols // HYPER))
        last = len(entropy.slices) - 1 if coarse else None
        decoded = code_latents(
            entropy, reader, (rows, cols), header.quality, header.keep, header.all_visible, header.none_visible, last
        )
        if not coarse:
            self.finish()
        return decoded, reader.part_bits

    def finish(self) -> None:
        """FormatError when the payload is not what an encoder writes for what has been decoded."""
        if not self.decoder.exhausted():
            raise damaged("the coded picture data has bytes that belong to nothing")


def open_file(data: bytes, *, allow_truncated: bool = False) -> OpenedFile:
    """Check a file and decode its header and caption, but not its symbols.

    Args:
        data: the bytes of the file.
        allow_truncated: read a file that was cut short as far as it goes, instead of refusing it.

    Raises:
        FormatError: not an .mcm file, or damaged.
        ModelError: the file's model is not installed.
    """
    header, at = container.parse_header(data)
    weights = find_number(header.model, header.variant)
    if allow_truncated and not container.is_whole(data, weights.fingerprint):
        # Its last three bytes may be the beginning of the checksum, so they are not decoded.
        decoder: RangeDecoder = TruncatedDecoder(data[at : 1 - container.CRC_SIZE])
    else:
        header, payload = container.unpack(data, weights.fingerprint)
        decoder = RangeDecoder(payload)
    try:
        words = coder.decode(decoder, header.grid) if header.caption else Words()
    except TruncationError:
        raise FormatError("cut short before the picture begins", "get more of the file") from None
    found = OpenedFile(header, weights, words, decoder)
    if header.caption_only:
        found.finish()
    return found


def encode_caption_only(
    weights: Weights, width: int, height: int, words: Words, structure: Structure | None = None
) -> bytes:
    """Encode a file that holds a caption, or a caption and edges, and no picture (specification, section 4.2).

    Args:
        weights: the model that the header names.
        width: of the picture that the words are about, in pixels.
        height: likewise.
        words: caption and regions.
        structure: the edges, or None.

    Raises:
        InputError: there are neither words nor edges.
        UsageError: the words are too long, a box is outside the picture, or a size is out of range.
    """
    beside = () if structure is None else ((STRUCTURE, encode_structure(structure)),)
    return _caption_only(weights, width, height, words, beside)


def _caption_only(
    weights: Weights, width: int, height: int, words: Words, beside: tuple[tuple[int, bytes], ...]
) -> bytes:
    """As :func:`encode_caption_only`, with other extension sections beside its own."""
    if not words and STRUCTURE not in dict(beside):
        raise InputError("there is no caption, and nothing else would be kept", "give --caption or --caption-from")
    encoder = RangeEncoder()
    sections = tuple(sorted((*beside, (CAPTION_ONLY, b""))))
    header = Header(width, height, weights.number, 0, 0, 0, caption=True, extensions=sections)
    coder.encode(encoder, words, header.grid)
    return container.pack(header, encoder.finish(), weights.fingerprint)


def with_caption(data: bytes, caption: str, regions: Sequence[Region] | None = None) -> bytes:
    """Exchange a file's caption. The symbols stay the same, bit for bit.

    Args:
        data: the bytes of the file.
        caption: the new caption. If it is empty, the regions are removed too.
        regions: the new regions; None keeps those of the file.

    Raises:
        FormatError: not an .mcm file, or damaged.
        InputError: the file holds a caption only, which cannot be removed.
        ModelError: the file's model is not installed.
        UsageError: the caption is too long.
    """
    old = open_file(data)
    header = old.header
    kept = old.words.regions if caption else ()
    words = Words(caption, kept if regions is None else tuple(regions))
    if header.caption_only:
        beside = tuple(section for section in header.extensions if section[0] != CAPTION_ONLY)
        if not words and STRUCTURE not in dict(beside):
            raise InputError("the caption is all that the file holds", "delete the file instead")
        return _caption_only(old.weights, header.width, header.height, words, beside)
    encoder = RangeEncoder()
    if words:
        coder.encode(encoder, words, header.grid)
    old.decoder.copy_to(encoder)
    old.symbols()
    return container.pack(replace(header, caption=bool(words)), encoder.finish(), old.weights.fingerprint)

