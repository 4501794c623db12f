"""Words for people: sizes, times, errors, and strangers' text that cannot drive the terminal."""

import io
import re
import sys

import pytest

from mcmcodec.cli.console import Meter, duration, explain, printable, rate, size
from mcmcodec.errors import UsageError


def test_numbers() -> None:
    sizes = {0: "0 B", 412: "412 B", 999: "999 B", 1000: "1.00 kB", 118_000: "118 kB", 61_300_000: "61.3 MB"}
    sizes |= {999_700: "1.00 MB", 2_500_000_000: "2.50 GB", 3 * 10**12: "3.00 TB"}
    assert {count: size(count) for count in sizes} == sizes
    times = {0.04: "0.0 s", 9.9: "9.9 s", 9.96: "10 s", 38.4: "38 s", 59.6: "1 min 0 s", 125: "2 min 5 s"}
    times |= {3790: "1 h 3 min"}
    assert {seconds: duration(seconds) for seconds in times} == times
    assert [rate(bpp) for bpp in (0.0032, 0.041, 0.16, 2.5)] == ["0.0032", "0.041", "0.160", "2.50"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("é 猫 🐈", "é 猫 🐈"),
        ("a\nb\r\t", "a\\x0ab\\x0d\\x09"),
        ("\x1b]0;title\x07\x9b", "\\x1b]0;title\\x07\\x9b"),
        ("\u202etxt.exe\u2066\u200b\ufeff", "\\u202etxt.exe\\u2066\\u200b\\ufeff"),
        ("\udcff\u2028\xa0\U000e0001", "\\udcff\\u2028\\xa0\\U000e0001"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_errors() -> None:
    assert explain(UsageError("wrong")) == "wrong"
    assert explain(UsageError("wrong", "right it")) == "wrong; right it"
    denied = PermissionError(13, "Permission denied", "out/x.mcm")
    assert explain(denied, "x.png") == "permission denied (out/x.mcm); check its permissions"
    assert explain(denied, "out/x.mcm") == "permission denied; check its permissions"
    assert explain(OSError("odd")).startswith("internal error (OSError: odd); report it")
    assert "\n" not in explain(ValueError("two\nlines"))


def test_packages_that_are_not_installed() -> None:
    for module, package in (("torch", "torch"), ("cv2", "opencv-python"), ("rich.progress", "rich")):
        name = module.partition(".")[0]
        error = ModuleNotFoundError(f"No module named {module!r}", name=module)
        assert explain(error) == f"this needs {name}, which is not installed; pip install {package}"
    assert explain(ModuleNotFoundError("No module", name="mcmcodec.gone")).startswith("internal error")


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCMCODEC_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        explain(ZeroDivisionError())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "total", "quiet", "shown"),
    [
        (Terminal(), 3, False, True),
        (Terminal(), 1, False, False),
        (Terminal(), 3, True, False),
        (io.StringIO(), 3, False, False),
    ],
)
def test_progress(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, total: int, quiet: bool, shown: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    with Meter(total, quiet=quiet, patience=0) as meter:
        meter.at("[red]name\x1b")
        meter.step()
    assert ("1/3" in stream.getvalue()) is shown
    assert ("[red]name\\x1b" in stream.getvalue()) is shown


def test_no_progress_for_work_that_is_soon_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Meter(3, quiet=False, patience=60) as meter:
        for _ in range(3):
            meter.at("name")
            meter.step()
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("plain", [True, False])
def test_no_colour_when_told(monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Meter(3, quiet=False, patience=0) as meter:
        meter.at("name")
        meter.step()
    coloured = re.search(r"\x1b\[[\d;]*3[0-9]", sys.stderr.getvalue())
    assert (coloured is None) is plain
