"""Sources of captions: a text file beside the picture, a table, the picture's metadata, a captioner.

The first source that has a caption for the picture is used; of several captions, one is chosen by rate
(:mod:`.shortest`). The text is untrusted: sizes are limited, XML is parsed without entities, and metadata that a parser
fails on counts as no caption.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError, UsageError
from .raw_bytes import MAX_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..plugins import Captioner

Source = Callable[[str, "Image"], list[str]]
"""Returns captions, given a picture's path (``-`` if it has none) and the picture, perhaps without its pixels yet."""

MAX_FILE = 1 << 16
"""Bytes of a text file beside a picture, or of a metadata block, that are looked at."""
MAX_TABLE = 1 << 28
NAMES = ("name", "file", "filename", "file_name", "image", "path")
TEXTS = ("caption", "text", "description")
_IMAGE_DESCRIPTION = 0x010E  # EXIF 2.32
_CAPTION_ABSTRACT = (2, 120)  # IPTC IIM 4.2
_PLACEHOLDERS = (
    "digital camera",
    "sony dsc",
    "exif_jpeg",
    "dcim",
    "untitled",
    "default",
    "image description",
)
"""Beginnings and ends of descriptions that cameras write by themselves."""


def clean(text: str) -> str:
    """The text in one line: runs of spaces and control characters become a space."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def sidecar(path: str, image: Image) -> list[str]:
    """The lines of the text file beside a picture (``photo.txt`` for ``photo.jpg``); each is a candidate.

    Raises:
        InputError: it is not UTF-8, too large, or has a line that is too long for a caption.
        OSError: it cannot be read.
    """
    if path == "-":
        return []
    beside = os.path.splitext(path)[0] + ".txt"
    try:
        with open(beside, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return []
    if len(data) > MAX_FILE:
        raise InputError(f"{beside} has over {MAX_FILE} bytes, too many for a caption", "shorten it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{beside} is not UTF-8 text", "convert it") from None
    return [_fitting(line, beside) for line in text.splitlines() if clean(line)]


def metadata(path: str, image: Image) -> list[str]:
    """Captions in XMP, IPTC, EXIF and PNG text, without the placeholders that cameras write."""
    found = []
    for read in (_xmp, _iptc, _exif, _png):
        try:
            found += [clean(text) for text in read(image)]
        except MemoryError:
            raise
        # Pillow's parsers raise all sorts of errors for damaged blocks, which then count as empty.
        except Exception:
            continue
    return [text for text in dict.fromkeys(found) if _is_description(text)]


class Table:
    """A CSV file of names and captions, one caption a row; a picture may have several rows.

    A row belongs to the picture whose path, from the table's folder or from here, or whose bare name it states.

    Raises:
        UsageError: the file cannot be read, or has no columns for names and captions.
    """

    def __init__(self, path: str) -> None:
        self.path, self.rows = path, dict[str, list[str]]()
        try:
            if os.path.getsize(path) > MAX_TABLE:
                raise UsageError(f"{path} has over {MAX_TABLE} bytes", "cut it up")
            with open(path, encoding="utf-8-sig", newline="") as file:
                self._read(csv.DictReader(file))
        except OSError as error:
            raise UsageError(f"--caption-from {path}: {error.strerror}", "check the name") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"--caption-from {path}: not a CSV file in UTF-8", "convert it") from error

    def _read(self, rows: csv.DictReader[str]) -> None:
        columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        name = next((columns[key] for key in NAMES if key in columns), None)
        text = next((columns[key] for key in TEXTS if key in columns), None)
        if name is None or text is None:
            raise UsageError(f"--caption-from {self.path}: no column {'caption' if name else 'name'}",
                             f"call the columns {NAMES[0]} and {TEXTS[0]}")  # fmt: skip
        for row in rows:
            if row[name] and row[text]:
                self.rows.setdefault(os.path.normpath(row[name]), []).append(row[text])

    def __call__(self, path: str, image: Image) -> list[str]:
        """See :data:`Source`."""
        inside = os.path.relpath(os.path.abspath(path), os.path.dirname(os.path.abspath(self.path)))
        for key in (inside, os.path.normpath(path), os.path.basename(path)):
            if key in self.rows:
                return [_fitting(text, self.path) for text in self.rows[key] if clean(text)]
        return []


def source(name: str) -> Source:
    """The source that ``--caption-from`` names: ``sidecar``, ``metadata`` or a .csv file. UsageError otherwise."""
    if name in ("sidecar", "metadata"):
        return sidecar if name == "sidecar" else metadata
    if name.lower().endswith(".csv"):
        return Table(name)
    raise UsageError(
        f"--caption-from {name} is no source", "give sidecar, metadata, none, or a file with .csv at its end"
    )


def captioned(describe: Captioner) -> Source:
    """The source that asks a captioner."""

    def ask(path: str, image: Image) -> list[str]:
        from ..image.io import from_rgb, to_rgb

        return [text for text in map(clean, describe(from_rgb(to_rgb(image)))) if text]

    return ask


def candidates(sources: Sequence[Source], path: str, image: Image) -> list[str]:
    """The captions of the first source that has any for the picture; empty if none has."""
    return next((found for one in sources if (found := one(path, image))), [])


def _fitting(text: str, where: str) -> str:
    text = clean(text)
    size = len(text.encode(errors="replace"))
    if size > MAX_BYTES:
        raise InputError(f"a caption in {where} has {size} bytes, the limit is {MAX_BYTES}", "shorten it")
    return text


def _is_description(text: str) -> bool:
    plain = text.lower()
    marks = any(plain.startswith(mark) or plain.endswith(mark) for mark in _PLACEHOLDERS)
    return bool(plain) and not marks and len(text.encode(errors="replace")) <= MAX_BYTES


def _xmp(image: Image) -> Iterator[str]:
    """dc:description (XMP specification part 1, section 8.3); Pillow parses with defusedxml, which refuses entities."""
    if len(image.info.get("xmp", b"")) <= MAX_FILE:
        for found in _named("description", image.getxmp()):
            yield from _leaves(found)


def _named(key: str, tree: Any) -> Iterator[Any]:
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _named(key, child)
    if isinstance(tree, dict) and key in tree:
        yield tree[key]


def _leaves(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list):
        for child in tree:
            yield from _leaves(child)
    elif isinstance(tree, dict):
        for key, child in tree.items():
            if key != "lang":
                yield from _leaves(child)


def _iptc(image: Image) -> Iterator[str]:
    from PIL import ImageFile, IptcImagePlugin

    known = IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None
    found = (known or {}).get(_CAPTION_ABSTRACT, [])
    for text in found if isinstance(found, list) else [found]:
        yield _decoded(text)


def _exif(image: Image) -> Iterator[str]:
    found = image.getexif().get(_IMAGE_DESCRIPTION, "")
    yield _decoded(found) if isinstance(found, bytes) else _decoded(str(found).encode("latin-1", "replace"))


def _png(image: Image) -> Iterator[str]:
    yield str(image.info.get("Description", "") if image.format == "PNG" else "")


def _decoded(data: bytes) -> str:
    """Text of unknown encoding: UTF-8 if it is valid, otherwise Latin-1, which accepts any bytes."""
    data = data[:MAX_FILE].rstrip(b"\0")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
