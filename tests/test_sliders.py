"""The page of pictures to compare: what is in it, and a run that goes on after being stopped."""

import json
import re
import sys
from pathlib import Path

import chromium
import pytest
from click.testing import CliRunner
from PIL import Image, features
from toy_bench import make_pictures

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
for package in ("scipy", "matplotlib"):
    pytest.importorskip(package, reason="needs the bench extra")
if not features.check("avif"):
    pytest.skip("needs Pillow with AVIF", allow_module_level=True)

from benchmarks import sliders  # noqa: E402
from mcmcodec.cli.bench import peers  # noqa: E402


def test_the_page_holds_all_and_a_stopped_run_goes_on(tiny, tmp_path, monkeypatch):
    make_pictures(tmp_path)
    monkeypatch.setattr(peers, "SCALES", (2,))
    monkeypatch.setattr(sliders, "RATES", (0.1, 0.4))
    made, picture = [], sliders.picture

    def stops(codec, decoder, reference, *others):
        made.append(reference.name)
        if made == ["p0", "p1"]:
            raise KeyboardInterrupt
        return picture(codec, decoder, reference, *others)

    monkeypatch.setattr(sliders, "picture", stops)
    arguments = ["--data", tmp_path, "--folder", "set", "--model", "tiny", "--out", tmp_path / "out"]
    arguments += ["--results", tmp_path]

    def run():
        return CliRunner().invoke(sliders.command, list(map(str, arguments)))

    assert run().exit_code != 0 and not (tmp_path / "out/index.html").exists()
    done = run()
    assert done.exit_code == 0, done.output
    assert made == ["p0", "p1", "p1"], "p0 was kept"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"]
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["rates"] == ["0.1", "0.4"] and [one["name"] for one in data["pictures"]] == ["p0", "p1"]
    assert "Kodak" not in data["about"] and "model tiny" in data["about"]
    for one in data["pictures"]:
        low, high = (rate["ours"]["text"] for rate in one["rates"])
        assert int(low.split()[0].replace(",", "")) < int(high.split()[0].replace(",", "")) and "PSNR" in low
        sources = [one["thumbnail"], one["original"]["src"], *(rate["ours"]["src"] for rate in one["rates"])]
        sources += [other["src"] for rate in one["rates"] for other in rate["others"].values()]
        assert all(text.startswith("data:image/webp;base64,") for text in sources)
        titles = [[other["title"] for other in rate["others"].values()] for rate in one["rates"]]
        assert titles == [["AVIF 1/2", "WebP 1/2"]] * 2 and data["others"] == ["AVIF", "WebP"]
    assert not re.search(r"""(src|href)=["']?http""", page), "nothing is fetched"


def test_what_would_end_the_data_is_escaped():
    page = sliders.render([], [0.03], [], "</script><script>alert(1)</script>")
    assert page.count("</script>") == 2 and "<\\/script>" in page


@pytest.mark.skipif(chromium.PROGRAM is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_in_a_browser(tmp_path, width, scheme):
    """Nothing is fetched or sticks out; keys and fingers choose pictures, rates and sides, and move the line."""

    def shown(title, colour):
        return {"title": title, "text": "1 byte", "src": sliders.source(Image.new("RGB", (96, 64), colour))}

    pictures = [
        {"name": name, "width": 96, "height": 64, "thumbnail": shown("", "grey")["src"],
         "original": shown("original", "white"),
         "rates": [{"ours": shown("mcmcodec", "red"), "others": {"AVIF": shown("AVIF", "blue")}} for _ in range(2)]}
        for name in ("first", "second")
    ]  # fmt: skip
    page = tmp_path / "index.html"
    page.write_text(sliders.render(pictures, [0.01, 0.03], ["AVIF", "WebP"], "about"), encoding="utf-8")
    with chromium.Chromium(tmp_path / "profile") as browser:
        phone = width < 500
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=phone)
        browser.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        wanted = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", features=wanted)
        browser.open(f"{page.as_uri()}#picture=1&rate=0&left=avif")
        state = "[picture, rate, left, share]"
        assert browser.run(state) == [1, 0, "AVIF", 50]
        assert browser.run("document.documentElement.scrollWidth") <= width
        paper = browser.run("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 22, 22)")
        assert browser.run("by('lefts').querySelector('[value=WebP]').disabled"), "there is no WebP of it"
        for key, after in (("o", [1, 0, "original", 50]), ("2", [1, 1, "original", 50]), ("a", [1, 1, "AVIF", 50]),
                           ("ArrowDown", [0, 1, "AVIF", 50]), ("ArrowRight", [0, 1, "AVIF", 52])):  # fmt: skip
            browser.call("Input.dispatchKeyEvent", type="keyDown", key=key)
            browser.call("Input.dispatchKeyEvent", type="keyUp", key=key)
            assert browser.run(state) == after, key
        box = "(b => [b.left, b.top, b.width, b.height])(by('stage').getBoundingClientRect())"
        left, top, wide, high = browser.run(box)
        at = {"x": left + wide / 4, "y": top + high / 2}
        if phone:
            browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[at])
            browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        else:
            for kind in ("mousePressed", "mouseReleased"):
                browser.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)
        assert browser.run("share") == pytest.approx(25, abs=1)
        assert not browser.errors and not [url for url in browser.requested if not url.startswith(("data:", "file:"))]
