"""What people read is true: the recorded session, the links, the commands and the Python of the pages."""

import html
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest
from PIL import Image

import mcmcodec

ROOT = Path(mcmcodec.__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((ROOT / "weights").glob("*.md")),
]
WORDS = 900
"""Most words of the first page, as ``wc -w`` counts them."""


def fenced(page: Path, language: str) -> list[str]:
    """The blocks of code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def spans(page: Path) -> list[str]:
    """The code of a page that stands in its text."""
    return re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M))


def commands(lines: Iterable[str]) -> Iterator[list[str]]:
    """The arguments of every ``codec`` in lines of shell."""
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        found: list[str] | None = None
        fed: list[str] = []
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[;|&<>()]+", word):
                if found:
                    yield [*found, *fed]
                found, fed = None, []
            elif found is not None:
                found.append(word)
            elif word == "codec":
                found = []
            elif word == "xargs":
                fed = ["photo.png"]


def wording(lines: Iterable[str]) -> list[str]:
    """The words of an output: its numbers, sizes and times differ between models and machines."""
    text = re.sub(r"\b[0-9a-f]{8,}\b|\d[\d.]*( (B|kB|s)\b)?", "N", " ".join(lines))
    return text.split()


def test_the_session_is_that_of_the_script(tmp_path: Path) -> None:
    """With the weights that are shipped."""
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
    session.prepare(tmp_path)
    now = session.record(tmp_path).export_text().splitlines()
    assert wording(lines.values()) == wording(now), "python docs/session.py records it again"
    assert "Traceback" not in svg and "nosuchfile" not in re.sub(r"&#160;| ", "", svg)
    assert "http" not in svg.replace("http://www.w3.org/", "").replace("https://www.textualize.io", "")


def test_the_first_page_is_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert anchor in [re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in headings], link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command is parsed with its options and their values; nothing is run, and no file need be there.

    The text may mention a command without its files, or an option without its value.
    """
    from mcmcodec.cli.main import cli

    monkeypatch.setattr(click.Path, "convert", lambda self, value, parameter, context: value)
    blocks = "\n".join(fenced(page, "sh")).splitlines()
    mentions = [span for span in spans(page) if re.search(r"\bcodec [a-z]", span)]
    for lines, incomplete in ((blocks, ()), (mentions, (click.MissingParameter, click.BadOptionUsage))):
        parent = click.Context(cli, info_name="codec", **cli.context_settings)
        for name, *arguments in commands(lines):
            assert name in cli.commands
            try:
                cli.commands[name].make_context(name, arguments, parent=parent)
            except incomplete:
                continue
            except click.ClickException as error:
                pytest.fail(f"codec {shlex.join([name, *arguments])}: {error.format_message()}")


def test_commands_are_found() -> None:
    text = [arguments[0] for page in PAGES for arguments in commands(spans(page))]
    shell = [arguments[0] for page in PAGES for arguments in commands("\n".join(fenced(page, "sh")).splitlines())]
    assert len(text) >= 15 and {"decode", "info", "models", "verify", "search", "index"} <= set(text)
    assert len(shell) >= 30 and {"encode", "decode", "info", "verify", "search", "bench"} <= set(shell)


def test_the_python_of_the_first_page(here: Path) -> None:
    """With the weights that are shipped."""
    (here / "docs").symlink_to(DOCS, target_is_directory=True)
    (block,) = fenced(ROOT / "README.md", "python")
    names: dict[str, object] = {}
    exec(block, names)
    facts, half = names["facts"], names["half"]
    assert isinstance(facts, mcmcodec.Info) and facts.quality == 30 and facts.bytes["latents"] > 0
    assert isinstance(half, Image.Image) and half.size == (300, 200)
    assert ".mcm" in Image.registered_extensions()
