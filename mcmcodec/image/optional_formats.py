"""Picture formats that other packages read: which package reads what, and its use where it is installed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Final, NamedTuple


class Package(NamedTuple):
    """A package that reads pictures which Pillow does not.

    Attributes:
        name: its name on PyPI.
        module: what is imported.
        extensions: of the files that it reads, in lower case with their dot.
        what: the pictures, in words for people.
    """

    name: str
    module: str
    extensions: tuple[str, ...]
    what: str

    @property
    def installed(self) -> bool:
        """Whether it can be imported; it is not imported to find out."""
        return find_spec(self.module) is not None


HEIF: Final = Package("pillow-heif", "pillow_heif", (".heic", ".heif", ".hif"), "HEIC pictures")
JXL: Final = Package("pillow-jxl-plugin", "pillow_jxl", (".jxl",), "JPEG XL pictures")
RAW: Final = Package(
    "rawpy", "rawpy",
    (".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
     ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    "raw photographs",
)  # fmt: skip
PACKAGES: Final = (HEIF, JXL, RAW)
# ISO/IEC 23008-12, annex B, and 14496-12: brands of files with HEVC pictures, and of any pictures
_HEIF_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_JXL_STARTS: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")


def package_for(extension: str) -> Package | None:
    """The package that reads files with this extension (``.heic``), installed or not; None if none of them does."""
    return next((one for one in PACKAGES if extension.lower() in one.extensions), None)


def package_of(start: bytes) -> Package | None:
    """The package that reads a file which starts with these bytes (32 are enough), raw photographs apart."""
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        return HEIF
    return JXL if start.startswith(_JXL_STARTS) else None


def installed_extensions() -> frozenset[str]:
    """Extensions of all that the installed packages read."""
    return frozenset(extension for one in PACKAGES if one.installed for extension in one.extensions)


def register(package: Package) -> None:
    """Make Pillow read a package's formats, if the package is installed."""
    if not package.installed:
        return
    module = import_module(package.module)  # pillow_jxl registers itself when it is imported
    if package is HEIF:
        module.register_heif_opener()
