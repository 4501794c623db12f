"""The recorded session is of the commands that its script runs."""

import html
import re
import sys
from pathlib import Path

import mcmcodec

DOCS = Path(mcmcodec.__file__).parents[1] / "docs"


def test_the_session_is_that_of_the_script() -> None:
    sys.path.insert(0, str(DOCS))
    try:
        import session
    finally:
        sys.path.remove(str(DOCS))
    svg = (DOCS / "session.svg").read_text(encoding="utf-8")
    lines: dict[str, str] = {}
    for clip, text in re.findall(r'clip-path="url\(#(session-line-\d+)\)">(.*?)</text>', svg):
        lines[clip] = lines.get(clip, "") + html.unescape(text).replace("\xa0", " ")
    prompts = [line.strip().removeprefix("$ ") for line in lines.values() if line.startswith("$ ")]
    assert prompts == list(session.COMMANDS)
    assert "Traceback" not in svg and "nosuchfile" not in re.sub(r"&#160;| ", "", svg)
    assert "http" not in svg.replace("http://www.w3.org/", "").replace("https://www.textualize.io", "")
