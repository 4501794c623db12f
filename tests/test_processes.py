"""The benchmarks of speed, of operations and of small facts: with stand-ins for programs, and with the tiny model."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from models import smooth_noise
from PIL import Image
from toy_bench import make_pictures

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
for package in ("scipy", "matplotlib"):
    pytest.importorskip(package, reason="needs the bench extra")

from benchmarks import facts, operations, pages, processes  # noqa: E402
from benchmarks.work import Work  # noqa: E402
from mcmcodec.bitstream.file import open_file  # noqa: E402
from mcmcodec.cli.bench import peers  # noqa: E402
from mcmcodec.cli.bench.suite import Watch  # noqa: E402
from mcmcodec.entropy import integer_networks  # noqa: E402

copying = pytest.mark.skipif(shutil.which("cp") is None, reason="needs cp")


@pytest.fixture
def work(tiny, tmp_path):
    make_pictures(tmp_path)
    (tmp_path / "results").mkdir()
    return Work(tmp_path, "tiny", results=tmp_path / "results", name="toy")


def silent(said=None):
    return Watch(lambda what, total: None, lambda what: None, (said if said is not None else []).append)


def copy(name, *, ours=False, delay=0.0, encodes=True):
    """A program that copies files, and may take its time in CPU seconds."""
    work = "import shutil, sys, time\nwhile time.process_time() < float(sys.argv[1]): pass\nshutil.copy(*sys.argv[2:])"
    slow = [sys.executable, "-S", "-c", work, str(delay)]

    def command(source, target, threads):
        return [*slow, str(source), str(target)] if delay else ["cp", str(source), str(target)]

    return processes.Program(name, "1", ".bin", ".out", command if encodes else None, command, ours)


@copying
def test_processes_take_turns_and_slow_ones_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", 1.0)
    monkeypatch.setattr(processes, "ROUNDS", ((0.001, 2),))
    Image.fromarray(smooth_noise(40, 60)).save(tmp_path / "a.png")
    every = [copy("mcmcodec", ours=True), copy("mcmcodec, `light`", ours=True, encodes=False), copy("slow", delay=0.2)]
    rows = processes.whole(tmp_path / "a.png", every, (0.001, 0.004), (1, 2), 0.001, silent())
    assert [(row["codec"], row["threads"], row["megapixels"]) for row in rows] == [
        ("mcmcodec", 1, 0.001), ("mcmcodec, `light`", 1, 0.001), ("slow", 1, 0.001),
        ("mcmcodec", 2, 0.001), ("mcmcodec, `light`", 2, 0.001), ("slow", 2, 0.001),
        ("mcmcodec", 2, 0.004), ("mcmcodec, `light`", 2, 0.004),
    ]  # fmt: skip
    assert all(row["decode_wall"] >= 0 and row["decode_peak"] < 200 and row["bytes"] > 100 for row in rows)
    assert "encode_cpu" not in rows[1] and rows[2]["encode_cpu"] > 0.2
    content = {"processes": rows, "warm": rows, "folders": []}
    tables = {title: (head, cells) for title, head, cells in processes.texts(content)}
    head, cells = tables["Encode, whole processes: seconds (ratio to ours)"]
    assert head == ["codec", "threads", "0.001 MP", "0.004 MP"]
    assert [row[:2] for row in cells] == [["mcmcodec", "1"], ["slow", "1"], ["mcmcodec", "2"], ["slow", "2"]]
    assert cells[0][3] == cells[3][3] == "–" and "(" in cells[2][3]
    _, peaks = tables["Peak memory of a process in MB: encode / decode"]
    assert peaks[1][0] == "mcmcodec, `light`" and peaks[1][2].startswith("– / ")


def test_what_fails_is_said(tmp_path):
    Image.fromarray(smooth_noise(40, 60)).save(tmp_path / "a.png")
    fails = processes.Program("fails", "", ".x", ".y", lambda *_: ["false"], lambda *_: ["false"])
    missing = processes.Program("missing", "", ".x", ".y", lambda *_: ["/nowhere/at-all"], lambda *_: ["false"])
    said = []
    assert processes.whole(tmp_path / "a.png", [fails, missing], (0.001,), (1,), 1, silent(said)) == []
    assert {line.partition(" at ")[0] for line in said} == {"fails failed", "missing failed"}


def test_our_commands_and_those_of_a_library(tiny, tiny_codec, tmp_path, monkeypatch):
    """What is run in a shell gives files, with seconds and memory of its own and not of this process."""
    monkeypatch.setattr(processes.shutil, "which", lambda name: None)
    monkeypatch.setattr(processes, "ROUNDS", ())
    only = [one for one in peers.find()[0] if one.name == "WebP"]
    monkeypatch.setattr(peers, "find", lambda: (only, []))
    monkeypatch.setattr(peers, "ffmpeg", lambda: None)
    found = processes.programs(tiny_codec.weights)
    assert [one.name for one in found] == ["mcmcodec", "WebP, Python"]
    Image.fromarray(smooth_noise(41, 61)).save(tmp_path / "a.png")
    said = []
    rows = processes.whole(tmp_path / "a.png", found, (0.002,), (1,), 1, silent(said))
    assert not said and [row["codec"] for row in rows] == [one.name for one in found]
    assert all(10 < row["decode_peak"] < 1000 and row["encode_cpu"] > 0.05 for row in rows)
    warm = processes.loaded(tmp_path / "a.png", tiny_codec, (0.002,), (1, 2), silent())
    assert [(row["codec"], row["threads"]) for row in warm] == [
        ("mcmcodec", 1), ("WebP", 1), ("mcmcodec", 2), ("WebP", 2),
    ]  # fmt: skip


def test_operations_of_integer_networks_are_those_that_are_done(work, tiny_codec, monkeypatch):
    done, layer = [], integer_networks.layer

    def counting(x, weight, *rest):
        done.append(len(x) * weight.size)
        return layer(x, weight, *rest)

    data = tiny_codec.encode(smooth_noise(256, 192), mask="none")
    monkeypatch.setattr(integer_networks, "layer", counting)
    open_file(data).symbols()
    with work.progress():
        rows = operations.measure(work)["rows"]
    found = {row["what"]: row["operations"] for row in rows}
    mask = found.pop("mask, where any patch is hidden")
    entropy = sum(row["operations"] for row in rows if row["part"] == "entropy") - mask
    assert entropy == pytest.approx(sum(done) / (256 * 192), abs=0.5) and mask > 0
    assert {"patches to tokens", "latents of visible patches", "fidelity", "perceptual"} <= set(found)
    assert found["patches to tokens"] == 3 * 16**2 * 32 / 16**2, "a matrix of 768 x 32 for every patch"
    (work.results / "operations.json").write_text(json.dumps({"rows": rows}))
    lines = pages.parts(pages.Results(work.results))
    assert lines[-1].startswith("| all | encoding, without choices | encoder | ")


def test_small_facts(work):
    settings = {"folder": "set", "every": 1, "painted": 2, "caption": "two red boats", "flat": (20,)}
    with work.progress():
        found = facts.measure(work, **settings, links=((3, 40, 2, 2),))
    assert found["pictures"] == 2 and found["painted"] == 1
    modes = {row["mode"]: row for row in found["modes"]}
    assert modes["--mode caption"]["most"] < modes["--mode base -q 0"]["least"] <= modes["-q 0"]["most"]
    assert set(modes) == set(pages.answers.RECEIVERS)
    (flat,) = found["flat"]
    assert flat["bytes"] > 10 and set(flat["mean_off"]) == {"fidelity", "perceptual"}
    assert all(row["before"] > 0 and row["after"] > 0 for row in found["colours"])
    assert found["links"] == [{"needed": 3, "bytes": 40, "spare": 2, "lost": 2, "split_s": pytest.approx(0, abs=1),
                               "join_s": pytest.approx(0, abs=1)}]  # fmt: skip
    assert found["installed_mb"]["all"] > found["installed_mb"]["without_torch"] > 10
    assert found["viewer_bytes"]["weights/tiny.js"] > 1000 and "index.html" in found["viewer_bytes"]


def test_numbers_in_words():
    say = pages.answers
    assert say.percent(0.213) == "21 %" and say.percent(0.003) == "0.3 %"
    assert say.change(0.012) == "1.2 % more" and say.change(-0.5) == "50 % fewer"
    curve = [{"bpp": 0.02, "lpips": 0.4}, {"bpp": 0.08, "lpips": 0.2}]
    assert say.bytes_beside(curve, {"bpp": 0.02, "lpips": 0.3}, "lpips") == pytest.approx(-0.5)
    assert say.bytes_beside(curve, {"bpp": 0.02, "lpips": 0.1}, "lpips") is None
    assert say.beside_at_equal_bytes(curve, {"bpp": 0.04, "lpips": 0.15}, "lpips") == pytest.approx(-0.5)
    assert np.isclose(say.bytes_beside(curve, {"bpp": 0.04, "lpips": 0.3}, "lpips"), 0)
