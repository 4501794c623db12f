"""The viewer's page in a browser, as people use it, and the command that opens and writes it."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Chromium
from conftest import Command
from PIL import Image
from test_viewer import FOLDER, TOLERANCE, browser, expected, site

from mcmcodec.cli.viewer import viewer_command
from mcmcodec.codec import Codec

__all__ = ["browser", "site"]  # fixtures

PHONE, DESK = (360, 740), (1280, 860)
IDLE = "document.querySelector('#progress').hidden"
REFUSED = "!document.querySelector('#refused').hidden"
MOST = 30_000_000
"""Bytes that the whole viewer may have."""


@pytest.fixture
def page(browser: Chromium, site: Path) -> Iterator[Chromium]:
    resize(browser, DESK)
    browser.open((site / "index.html").as_uri())
    browser.requested.clear()
    browser.errors.clear()
    yield browser
    assert browser.errors == []


def resize(page: Chromium, size: tuple[int, int]) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)


def show(page: Chromium, path: Path) -> None:
    page.run("delete document.body.dataset.painted; document.querySelector('#refused').hidden = true")
    page.choose("#file", path)
    page.until(f"document.body.dataset.painted || {REFUSED}")


def shown(page: Chromium) -> np.ndarray[Any, Any]:
    """The pixels of the canvas."""
    address = page.run("document.querySelector('#canvas').toDataURL('image/png')")
    with Image.open(BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return expected(image)


def text(page: Chromium, selector: str) -> str:
    found: str = page.run(f"document.querySelector({selector!r}).innerText")
    return found


def test_a_file_is_shown_without_a_network(page: Chromium) -> None:
    path = FOLDER / "caption-words.mcm"
    show(page, path)
    codec = Codec(device="cpu")
    assert np.abs(shown(page) - expected(codec.decode(path.read_bytes()))).max() <= TOLERANCE
    assert text(page, "#caption") == "a cup of coffee on a wooden table"
    assert text(page, "#name") == "caption-words.mcm"
    facts = text(page, "#facts")
    assert "33 \u00d7 17 pixels" in facts and "21 bytes" in facts
    assert "total\t21.0\t100.0" in text(page, "#bytes")
    assert page.run("document.querySelector('#canvas').getAttribute('aria-label')") == text(page, "#caption")
    assert {address.partition(":")[0] for address in page.requested} <= {"file", "blob"}

    page.run("decoder.value = 'light'; decoder.dispatchEvent(new Event('change'))")
    page.until(IDLE)
    wanted = codec.decode(path.read_bytes(), decoder="light")
    assert np.abs(shown(page) - expected(wanted)).max() <= TOLERANCE
    page.run("decoder.value = ' '; realism.value = 0.25; decoder.dispatchEvent(new Event('change'))")
    page.until(IDLE)
    assert page.run("document.querySelector('#realism').checkVisibility()")
    wanted = codec.decode(path.read_bytes(), realism=0.25)
    assert np.abs(shown(page) - expected(wanted)).max() <= TOLERANCE


def test_refusals_are_said(page: Chromium) -> None:
    show(page, FOLDER / "invalid" / "crc-wrong.mcm")
    said = text(page, "#refused")
    assert said.startswith("crc-wrong.mcm cannot be shown")
    assert "checksum is wrong: the file is damaged, or its model's weights are not these; get a whole copy" in said
    assert page.run("document.querySelector('#refused').getAttribute('role')") == "alert"
    assert not page.run("document.querySelector('#shown').checkVisibility()")
    show(page, FOLDER / "vectors.json")
    assert "not an .mcm file; give a file that codec encode wrote" in text(page, "#refused")
    show(page, FOLDER / "grey.mcm")  # and the next file is none the worse
    assert not page.run(REFUSED)


def test_without_workers(page: Chromium, site: Path) -> None:
    off = page.call("Page.addScriptToEvaluateOnNewDocument", source="Worker = class { constructor() { throw 0 } }")
    page.open((site / "index.html").as_uri())
    show(page, FOLDER / "17x16-q63.mcm")
    assert shown(page).shape == (16, 17, 4)
    page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=off["identifier"])


def test_weights_that_are_missing(page: Chromium, site: Path) -> None:
    (site / "weights" / "captions.js").rename(site / "weights" / "away")
    try:
        show(page, FOLDER / "caption-words.mcm")
    finally:
        (site / "weights" / "away").rename(site / "weights" / "captions.js")
    assert "the weights captions could not be loaded; write the viewer again" in text(page, "#refused")


def test_hostile_text_is_text(page: Chromium) -> None:
    show(page, FOLDER / "caption-hostile.mcm")
    assert page.run("document.querySelector('#caption').childElementCount") == 0
    wanted = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))["caption-hostile.mcm"]["facts"][4]
    assert page.run("document.querySelector('#caption').textContent") == wanted


def test_a_caption_without_a_picture(page: Chromium) -> None:
    page.choose("#file", FOLDER / "caption-only.mcm")
    page.until("document.querySelector('#status').textContent == 'The file holds a caption and no picture.'")
    assert not page.run("document.querySelector('#controls').checkVisibility()")
    assert not page.run("document.querySelector('#frame').checkVisibility()")


def test_a_sketch_is_drawn(page: Chromium) -> None:
    page.choose("#file", FOLDER / "sketch.mcm")
    page.until("document.querySelector('#status').textContent.endsWith('and no picture: the edges are drawn.')")
    assert not page.run("document.querySelector('#decoder').checkVisibility()")
    assert not page.run("document.querySelector('#save').disabled")
    drawn = shown(page)[..., 0]
    wanted = expected(Codec(device="cpu").decode((FOLDER / "sketch.mcm").read_bytes()))[..., 0]
    assert drawn.shape == wanted.shape
    dark = wanted < 128
    assert drawn[dark].mean() < 100 < 230 < drawn[~dark].mean()  # lines are smoothed in other ways


def test_saved_picture(page: Chromium, tmp_path: Path) -> None:
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    show(page, FOLDER / "alpha-disc.mcm")
    page.run("document.querySelector('#save').click()")
    page.until("document.querySelector('#status').textContent == 'Saved as alpha-disc.png.'")
    page.run("new Promise(resolve => setTimeout(resolve, 300))")
    with Image.open(tmp_path / "alpha-disc.png") as image:
        found = expected(image)
    wanted = expected(Codec(device="cpu").decode((FOLDER / "alpha-disc.mcm").read_bytes()))
    solid = wanted[..., 3] == 255  # a browser does not keep the colours of what is invisible
    assert np.abs(found - wanted)[solid].max() <= TOLERANCE


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_nothing_sticks_out(page: Chromium, size: tuple[int, int]) -> None:
    resize(page, size)
    for name in ("regions.mcm", "200x1-q20.mcm", "caption-longest.mcm"):
        show(page, FOLDER / name)
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), name


def test_keyboard_and_screen_reader(page: Chromium) -> None:
    show(page, FOLDER / "regions.mcm")
    page.run("document.activeElement.blur()")
    order = []
    for _ in range(3):
        for kind in ("keyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        order.append(page.run("document.activeElement.id"))
    assert order == ["file", "decoder", "save"]
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"]["value"], node["name"]["value"]) for node in nodes if "name" in node and not node["ignored"]}
    roles = {role for role, _ in named}
    assert {"main", "image", "status", "table"} <= roles
    controls = {(role, name) for role, name in named if role in ("button", "combobox", "slider", "image", "table")}
    assert ("button", "Save as PNG") in controls and ("combobox", "Decoder") in controls
    assert ("table", "Where the bytes went") in controls
    assert all(name for _, name in controls), controls


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page: Chromium, scheme: str) -> None:
    """Text has a contrast of 4.5 to 1 to what is behind it (WCAG 2.2, 1.4.3), in both schemes."""
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    names = ("--text", "--soft", "--accent", "--wrong", "--on-accent", "--back", "--panel")
    listed = "getComputedStyle(document.documentElement).getPropertyValue"
    colours = {name: page.run(f"{listed}({name!r})").strip() for name in names}

    def luminance(colour: str) -> float:
        parts = [int(part, 16) / 255 for part in re.findall("[0-9a-f]{2}", colour)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    pairs = [(text, back) for text in ("--text", "--soft", "--wrong") for back in ("--back", "--panel")]
    for pair in (*pairs, ("--on-accent", "--accent")):
        low, high = sorted(luminance(colours[name]) for name in pair)
        assert (high + 0.05) / (low + 0.05) >= 4.5, pair


def test_file_from_an_address(page: Chromium, site: Path) -> None:
    page.open((site / "index.html").as_uri() + "?src=photo.mcm")
    page.until(REFUSED)
    assert "photo.mcm cannot be fetched" in text(page, "#refused")
    assert "a page on this disk may fetch no files" in text(page, "#refused")


def test_command_writes_the_page(run_codec: Command, tmp_path: Path) -> None:
    target = tmp_path / "new" / "site"
    done = run_codec("viewer", "--out", target)
    assert done.code == 0 and "MB written; the page is" in done.err
    index = (target / "index.html").read_text(encoding="utf-8")
    assert all((target / name).is_file() for name in re.findall(r'(?:src|href)="([\w./]+)"', index))
    assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) <= MOST
    assert "http" not in index
    done = run_codec("viewer", "--out", target)
    assert done.code == 1 and "index.html exists; give -f to overwrite it" in done.err
    assert run_codec("viewer", "--out", target, "-f", "--quiet").err == ""


def test_command_opens_the_page(
    run_codec: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: Chromium
) -> None:
    monkeypatch.setenv("MCMCODEC_CACHE", str(tmp_path / "cache"))
    opened: list[str] = []
    monkeypatch.setattr(viewer_command.webbrowser, "open", lambda address: not opened.append(address))
    assert run_codec("viewer", FOLDER / "grey.mcm").code == 0
    browser.open(opened[0])
    browser.until("document.body.dataset.painted")
    assert text(browser, "#name") == "grey.mcm"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.js") if path.name != "given.js"}
    assert run_codec("viewer").code == 0  # what is there already is not made again
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert opened[1] == opened[0]
    assert run_codec("viewer", tmp_path / "missing.mcm").code == 1
    monkeypatch.setattr(viewer_command.webbrowser, "open", lambda address: False)
    done = run_codec("viewer")
    assert done.code == 1 and "no browser could be started; open file:///" in done.err


@pytest.mark.skipif(os.name == "nt", reason="needs permissions")
def test_what_is_shown_is_no_more_public_than_its_file(run_codec: Command, tmp_path: Path) -> None:
    secret = tmp_path / "grey.mcm"
    secret.write_bytes((FOLDER / "grey.mcm").read_bytes())
    secret.chmod(0o600)
    assert run_codec("viewer", secret, "--out", tmp_path / "site").code == 0
    assert (tmp_path / "site" / "given.js").stat().st_mode & 0o777 == 0o600
