"""The manual page says what the commands say, and roff accepts it."""

import shutil
import subprocess
from pathlib import Path

import click
import pytest

import mcmcodec
from mcmcodec.cli.main import cli
from mcmcodec.cli.man import ENVIRONMENT, escape, page

PAGE = Path(mcmcodec.__file__).parents[1] / "docs" / "codec.1"


def test_the_page_is_up_to_date() -> None:
    remedy = "the commands have changed: python -m mcmcodec.cli.man > docs/codec.1"
    assert PAGE.read_text(encoding="utf-8") == page(), remedy


def test_every_option_is_there() -> None:
    text = page()
    for name, command in cli.commands.items():
        assert f'.SS "codec {name} ' in text
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(escape(option) in text for option in parameter.opts), (name, parameter.opts)


def test_variables_are_those_that_are_read() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(mcmcodec.__file__).parent.rglob("*.py"))
    assert {name for name in ENVIRONMENT if name.startswith("MCM")} <= set(sources.replace('"', " ").split())


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_roff_has_no_complaint() -> None:
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "codec encode -q 20 photo.png -o small.mcm" in done.stdout.replace("\u2010", "-")
