"""What is done with hostile files, and what may come of it: nothing but one of our errors, or a sound result."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mcmcodec.bitstream import container
from mcmcodec.bitstream.container import Header
from mcmcodec.bitstream.file import encode_caption_only, with_caption
from mcmcodec.bitstream.structure import Structure
from mcmcodec.caption import Words
from mcmcodec.codec import Codec, info
from mcmcodec.errors import FormatError, McmError

MAX_PIXELS = 64 * 64
"""Larger pictures are refused, so that time goes into variety."""
SECONDS = 20
"""A file that takes longer hangs."""


class Hang(BaseException):
    """Not an Exception: nothing on the way may swallow it."""


@contextmanager
def alarm(seconds: int = SECONDS) -> Iterator[None]:
    """Raise Hang when the block takes too long."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def seeds(codec: Codec, picture: Callable[..., object]) -> list[bytes]:
    """Small valid files of every kind that there is."""
    made = [
        codec.encode(picture(30, 40), quality=20, caption="a red house at night"),
        codec.encode(picture(17, 33), quality=70, keep=0.5, mask="dual"),
        codec.encode(picture(50, 20), quality=95, mask="none", caption="κείμενο"),
        codec.encode(picture(1, 1), quality=0),
        codec.encode(picture(48, 48), quality=50, mode="base"),
        encode_caption_only(codec.weights, 600, 400, Words("a boat")),
        codec.encode(picture(30, 40), quality=5, structure=Structure(1, (picture(15, 20)[..., 0] > 140).astype("u1"))),
        encode_caption_only(
            codec.weights, 60, 50, Words("a boat"), Structure(2, (picture(13, 15)[..., 0] > 150).astype("u1"))
        ),
    ]
    header, payload = container.unpack(made[0], codec.weights.fingerprint)
    fields = {name: getattr(header, name) for name in Header.__slots__} | {"extensions": ((2, b"x"), (100, b"yz"))}
    return [*made, container.pack(Header(**fields), payload, codec.weights.fingerprint)]


def container_level(data: bytes, codec: Codec) -> str:
    """Header, sections, checksum."""
    try:
        header, payload = container.unpack(data, codec.weights.fingerprint)
    except FormatError as error:
        assert error.remedy and "\n" not in str(error)
        return "refused"
    assert container.pack(header, payload, codec.weights.fingerprint) == data
    return "accepted"


def exact_level(data: bytes, codec: Codec) -> str:
    """Everything that is exact: caption, hyper-latent, slices, mask."""
    try:
        found = info(data, max_pixels=MAX_PIXELS)
    except McmError as error:
        assert "\n" not in str(error)
        return "refused"
    assert found.width * found.height <= MAX_PIXELS or found.bytes["base"] == 0
    assert abs(sum(found.bytes.values()) - len(data)) < 1e-6
    return "accepted"


def pixel_level(data: bytes, codec: Codec) -> str:
    """The picture too, and an exchange of the words."""
    codec.max_pixels = MAX_PIXELS
    try:
        image = codec.decode(data)
    except McmError:
        return "refused"
    assert image.size == container.parse_header(data)[0].grid[::-1] or image.width * image.height <= MAX_PIXELS
    assert info(with_caption(data, "x"), max_pixels=MAX_PIXELS).caption == "x"
    return "accepted"


def command_level(files: list[bytes], folder: Path) -> dict[str, int]:
    """``codec info`` over a folder: one line of JSON for each file, one of stderr for each that is refused."""
    from mcmcodec.cli.main import main

    folder.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (folder / f"{number}.mcm").write_bytes(data)
    streams, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), io.StringIO(), io.StringIO()
    code: object = None
    try:
        main(["info", "--json", "--max-pixels", str(MAX_PIXELS), str(folder)])
    except SystemExit as error:
        code = error.code
    finally:
        out, err = sys.stdout.getvalue(), sys.stderr.getvalue()
        sys.stdout, sys.stderr = streams
        for number in range(len(files)):
            os.unlink(folder / f"{number}.mcm")
    rows = [json.loads(line) for line in out.splitlines()]
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(rows) == len(files) and code == (1 if failed else 0)
    lines = err.splitlines()
    assert len(lines) == len(failed) and all(line.startswith("codec: ") and line.isprintable() for line in lines), err
    assert "internal error" not in err, err
    return {"refused": len(failed), "accepted": len(rows) - len(failed)}
