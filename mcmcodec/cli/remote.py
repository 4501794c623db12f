"""Files at addresses that fsspec knows (s3://, gs://, http://, memory:// ...), found, read and written whole."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from importlib import import_module
from typing import Any

from ..errors import UsageError


def is_address(name: str) -> bool:
    """Whether a name is an address rather than a path."""
    return "://" in name


def find(address: str, *, recursive: bool, accept: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Address and path below ``address`` of each suitable file there, sorted; the address itself if it is a file."""
    system, path = _open(address)
    if not system.isdir(path):
        yield address, posixpath.basename(path)
        return
    for name in sorted(system.find(path, maxdepth=None if recursive else 1)):
        relative = posixpath.relpath(name, path)
        hidden = any(part.startswith(".") for part in relative.split("/"))
        if not hidden and posixpath.splitext(name)[1].lower() in accept:
            yield posixpath.join(address, relative), relative


def exists(address: str) -> bool:
    """Whether writing would replace a file."""
    system, path = _open(address)
    return bool(system.exists(path))


def read(address: str, most: int) -> bytes:
    """The first bytes of a file, ``most`` at most."""
    system, path = _open(address)
    with system.open(path, "rb") as file:
        return bytes(file.read(most))


def write(address: str, data: bytes) -> None:
    """Write a file whole; folders on the way are made where there are such things."""
    system, path = _open(address)
    system.makedirs(posixpath.dirname(path), exist_ok=True)
    system.pipe_file(path, data)


def _open(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. UsageError when a package for it is missing."""
    try:
        core: Any = import_module("fsspec.core")
        system, path = core.url_to_fs(address)
    except ImportError as error:
        raise UsageError(
            f"{address} needs a package ({error})", "pip install 'mcmcodec[ray]' and what it names"
        ) from None
    except ValueError as error:
        raise UsageError(f"{address} cannot be opened ({error})", "check the address") from None
    return system, str(path)
