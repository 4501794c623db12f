"""What formats/ says is what the code does."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
import reference_parser
from reference_rangecoder import ReferenceDecoder

from mcmcodec.bitstream.container import MAGIC, Header, pack

FORMATS = Path(__file__).parents[1] / "formats"
FINGERPRINT = bytes(range(32))


def dumps() -> list[bytes]:
    """The bytes of the annotated files in the specification, in order."""
    text = (FORMATS / "mcm.md").read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"```\noffset.*?\n(.*?)```", text, re.DOTALL):
        data = b""
        for line in block.splitlines():
            offset, digits = re.match(r"(\d+) +((?:[0-9a-f]{2} )+) ", line + "  ").groups()  # type: ignore[union-attr]
            assert int(offset) == len(data), line
            data += bytes.fromhex(digits)
        found.append(data)
    return found


def test_files_of_the_specification() -> None:
    first, second = dumps()[:2]
    payload = bytes.fromhex("1f a2 07")
    assert first == pack(Header(768, 512, 0, 0, 50, 100, caption=True), payload, FINGERPRINT)
    header = Header(768, 512, 0, 0, 50, 255, all_visible=True, extensions=((100, b"hi"),))
    assert second == pack(header, b"", FINGERPRINT)


def test_real_file_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dump is the vector's, and its table is what a range decoder goes through."""
    data = dumps()[2]
    assert data == (FORMATS / "vectors" / "caption-words.mcm").read_bytes()
    text = (FORMATS / "mcm.md").read_text(encoding="utf-8")
    table = text[text.index("| meaning | n | q |") :].split("\n\n")[0].splitlines()[2:]
    told = [[cell.strip() for cell in line.strip("|").split("|")[1:]] for line in table]
    steps: list[list[str]] = []
    decode = ReferenceDecoder._decode

    def watched(self: ReferenceDecoder, c: Sequence[int]) -> int:
        q = (self.point - self.lower) % 2**64 // (self.range >> 24)
        s = decode(self, c)
        row = [str(len(c) - 1), f"{q:06x}", str(s), f"{c[s]:06x}", f"{c[s + 1]:06x}"]
        steps.append([*row, f"{self.lower:016x}", f"{self.range:016x}"])
        return s

    monkeypatch.setattr(ReferenceDecoder, "_decode", watched)
    found = reference_parser.parse(data, reference_parser.models())
    assert found.caption == "a cup of coffee on a wooden table"
    assert told == steps[: len(told)] and f"hold {len(steps)} decisions" in text
    assert f"psi begins {found.psi[0, 0, :4].tolist()}" in text
    assert f"v_hat {found.v_hat[0, 0, :4].tolist()}" in text


def test_mime_type() -> None:
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    kind = ElementTree.parse(FORMATS / "mcm.xml").getroot().find(f"{space}mime-type")
    assert kind is not None and kind.get("type") == "image/x-mcm"
    match = kind.find(f"{space}magic/{space}match")
    assert match is not None
    assert match.get("value", "").encode().decode("unicode_escape").encode("latin-1") == MAGIC


@pytest.mark.skipif(shutil.which("file") is None, reason="needs file(1)")
def test_magic(tmp_path: Path) -> None:
    path = tmp_path / "a.mcm"
    path.write_bytes(dumps()[0])
    command = ["file", "--brief", "--magic-file", str(FORMATS / "mcm.magic")]
    run = [*command, str(path)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert said == "MCM image, format 1, with caption\n"
    said = subprocess.run([*run, "--mime-type"], capture_output=True, text=True, check=True).stdout
    assert said == "image/x-mcm\n"
