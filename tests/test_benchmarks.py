"""The benchmark scripts with a stand-in for the codec: files, means, tables and sheets without weights."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_bench import WebP, brighter_and_not, make_pictures, make_results, references

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
for package in ("scipy", "matplotlib"):
    pytest.importorskip(package, reason="needs the bench extra")

import common  # noqa: E402
import kodak  # noqa: E402
import modes  # noqa: E402
import peers as measuring  # noqa: E402
import val  # noqa: E402

from mcmcodec.cli.bench import ours, peers, run  # noqa: E402
from mcmcodec.cli.bench.provenance import write_json  # noqa: E402
from mcmcodec.errors import McmError  # noqa: E402
from mcmcodec.metrics import judge  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    return make_pictures(tmp_path)


@pytest.fixture
def results(folder):
    return make_results(folder)


def test_rows_say_what_was_measured(folder, results):
    row = results["rows"][0]
    image = Image.open(folder / "p0.png")
    assert row["image"] == "p0" and row["setting"] == 10 and row["curve"] == "mcm toy fidelity"
    assert row["bytes"] == len(WebP().encode(image, quality=10))
    assert row["bpp"] == pytest.approx(8 * row["bytes"] / (192 * 168), abs=1e-6)
    assert "lpips" not in row and row["encode_s"] > 0 and row["decode_s"] > 0
    assert row["psnr"] > results["rows"][1]["psnr"], "the other decoder is a little too bright"


def test_points_are_means_per_curve_and_setting(results):
    points = results["points"]
    assert [(m["curve"], m["setting"]) for m in points[:3]] == [
        ("mcm toy fidelity", 10), ("mcm toy brighter", 10), ("mcm toy fidelity", 50),
    ]  # fmt: skip
    chosen = [r["psnr"] for r in results["rows"] if r["setting"] == 50 and r["curve"] == "mcm toy fidelity"]
    assert points[2]["images"] == 2 and points[2]["psnr"] == pytest.approx(sum(chosen) / 2, abs=1e-3)


def test_a_stopped_run_goes_on(folder, tmp_path):
    class Stops(WebP):
        left = 4

        def encode(self, image, **options):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().encode(image, **options)

    def sweep(coder, key):
        journal = run.Journal(tmp_path / "run.partial", key)
        candidate = ours.candidate(coder, "toy", ["fidelity"], (10, 50, 90))
        return run.sweep([candidate], references(folder), journal)[0]

    with pytest.raises(KeyboardInterrupt):
        sweep(Stops(), {"versions": 1})
    with (tmp_path / "run.partial").open("a") as file:
        file.write('{"curve": "mcm toy fidel')
    coder = Stops()
    rows = sweep(coder, {"versions": 1})
    assert len(rows) == 6 and coder.left == 0, "three of six were there; one run warms up"
    assert [row["bytes"] for row in rows] == [row["bytes"] for row in sweep(Stops(), {"versions": 1})]
    with pytest.raises(KeyboardInterrupt):
        sweep(Stops(), {"versions": 2})


def test_a_stopped_run_keeps_features_for_the_frechet_distance(folder, tmp_path):
    class Patches:
        """Stands for DISTS: features are the means of a picture's channels in two parts."""

        count = 0

        def maps(self, x):
            Patches.count += 1
            return x

        def distance(self, mx, my):
            return float((mx - my).abs().mean())

        def patches(self, maps):
            return 100 * np.stack([maps[0, :, :, :96].mean((1, 2)), maps[0, :, :, 96:].mean((1, 2))])

    def sweep():
        referee = judge.Judge(("psnr",))
        referee.wanted, referee.dists = ("dists", "fd"), Patches()
        journal = run.Journal(tmp_path / "run.partial", {})
        return run.sweep([brighter_and_not((50,))], run.references(common.pictures(folder), referee), journal)

    first, again = sweep(), sweep()
    assert first == again and Patches.count == 6, "two originals, two decoders' pictures of each, and nothing again"
    assert again[1][1]["fd"] > 0 and again[1][1]["dists"] > 0
    run.remove(tmp_path / "run.partial")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_what_a_codec_refuses_is_said_and_left_out(folder):
    class Refuses(WebP):
        def encode(self, image, **options):
            if image.width > 200:
                raise McmError("too wide", "crop it")
            return super().encode(image, **options)

    said = []
    candidate = ours.candidate(Refuses(), "toy", ["fidelity"], (10,))
    rows, points = run.sweep([candidate], references(folder), run.Journal(None, {}), complain=said.append)
    assert [row["image"] for row in rows] == ["p0"] and points[0]["images"] == 1
    assert said == ["p1: mcm toy fidelity at 10 failed (too wide; crop it)"]


@pytest.mark.parametrize("scale", peers.SCALES)
def test_every_peer_gives_files_that_grow_and_pictures_of_the_right_size(folder, scale):
    image = Image.open(folder / "p0.png").convert("RGB").crop((0, 0, 187, 151))
    found, missing = peers.find()
    assert {"JPEG", "WebP"} <= {one.name for one in found} and all(one.remedy for one in missing)
    for one in found:
        assert len(one.ladder[scale]) >= 6, one.name
        candidate = run.peer(one, scale)
        (decode,) = candidate.decoders.values()
        files = [candidate.encode(image, setting) for setting in (one.ladder[scale][0], one.ladder[scale][-1])]
        assert len(files[0]) < len(files[1]), one.name
        assert candidate.encode(image, one.ladder[scale][0]) == files[0], f"{one.name} is not reproducible"
        assert decode(files[1], image.size).size == image.size
        assert candidate.extra == (scale > 1), "the scale has to be told"


def test_missing_peers_are_skipped(monkeypatch):
    monkeypatch.setattr(peers, "_package", lambda name: None)
    monkeypatch.setattr("mcmcodec.cli.bench.peers.ffmpeg", lambda: None)
    found, missing = peers.find()
    assert {"JPEG XL", "HEIC", "VVC"} <= {one.name for one in missing}
    assert "pip install pillow-heif" in {one.remedy for one in missing}
    assert not {"JPEG XL", "HEIC", "VVC"} & {one.name for one in found}


def test_kodak_from_its_command_line(folder, tiny, tmp_path, monkeypatch):
    out = tmp_path / "kodak_tiny.json"
    arguments = [str(folder), "--model", "tiny", "--qualities", "20,60", "--decoder", "fidelity", "--metrics", "psnr"]
    monkeypatch.setattr(sys, "argv", ["kodak.py", *arguments, "--limit", "1", "--out", str(out)])
    kodak.main()
    content = json.loads(out.read_text())
    assert content["model"]["name"] == "tiny" and content["images"] == 1 and content["set"] == "set"
    assert [(point["curve"], point["setting"]) for point in content["points"]] == [
        ("mcm tiny fidelity", 20), ("mcm tiny fidelity", 60),
    ]  # fmt: skip


def test_small_pictures_beside_the_published_numbers(folder, tiny, tmp_path, monkeypatch, capsys):
    only = [one for one in peers.find()[0] if one.name == "WebP"]
    monkeypatch.setattr(peers, "find", lambda: (only, []))
    monkeypatch.setattr(val, "SIDE", 168)
    out = tmp_path / "out" / "val256_tiny.json"
    arguments = [str(folder), "--model", "tiny", "--qualities", "20,60", "--decoder", "fidelity", "--metrics", "psnr"]
    monkeypatch.setattr(sys, "argv", ["val.py", *arguments, "--out", str(out)])
    val.main()
    assert capsys.readouterr().out.splitlines()[2:5] == [
        "| MCM-base, published | 0.385 | 0.298 | 0.239 | 0.205 |", "| mcm tiny fidelity | – | – | – | – |",
        "| WebP | – | – | – | – |",
    ]  # fmt: skip
    assert "| WebP, best variant |" in out.with_suffix(".md").read_text()
    rivals = out.with_name("val256_peers.json")
    before = rivals.stat().st_mtime_ns
    val.main()
    assert rivals.stat().st_mtime_ns == before, "peers are measured once"


def test_modes_from_its_command_line(folder, tiny, tmp_path, monkeypatch):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("name,kind,caption\np1.png,label,nothing\np1.png,human,A red house.\np1.png,human,Other words.\n")
    out = tmp_path / "modes.json"
    arguments = [str(folder), "--captions", str(pairs), "--model", "tiny", "--qualities", "60", "--metrics", "psnr"]
    monkeypatch.setattr(sys, "argv", ["modes.py", *arguments, "--decoder", "fidelity", "--out", str(out)])
    painted = []

    def load(spec, device):
        return lambda words, width, height: painted.append(words) or Image.new("RGB", (width, height))

    for painter in ([], ["--painter", "toy:x"]):
        monkeypatch.setattr("mcmcodec.plugins.painter", load)
        monkeypatch.setattr(sys, "argv", [*sys.argv, *painter])
        modes.main()
        head, _, words, base, full = (line.split(" | ") for line in modes.table(json.loads(out.read_text())))
        assert head[5:] == ["consistency: PSNR |"] and [words[0], base[0], full[0]] == [
            "| words only", "| base layer only", "| full",
        ]  # fmt: skip
        assert float(words[3]) < float(base[3]) < float(full[3]) and float(base[5][:-2]) < float(full[5][:-2])
        assert (words[5] == "– |") is not painted
    assert painted and set(painted) == {"A red house."}


def test_peers_are_filled_in_and_checked(folder, tmp_path, monkeypatch, capsys):
    only = [one for one in peers.find()[0] if one.name == "WebP"]
    out = tmp_path / "peers.json"
    arguments = ["peers.py", str(folder), "--out", str(out), "--scales", "2", "--metrics", "psnr"]

    def measure(ladder, *more):
        (one,) = only
        found = dataclasses.replace(one, ladder={2: ladder})
        monkeypatch.setattr(peers, "find", lambda: ([found], []))
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        measuring.main()
        content = json.loads(out.read_text())
        return {(row["setting"], row["image"]): row for row in content["rows"]}, content

    first, _ = measure((0, 20))
    changed = json.loads(out.read_text())
    changed["rows"][0]["bytes"] += 1
    write_json(out, changed)
    second, content = measure((0, 20, 60), "--fill")
    assert len(second) == 6 and [point["images"] for point in content["points"]] == [2, 2, 2]
    assert [key for key in first if first[key] != second[key]] == [(0, "p0")], "what is there is left alone"
    with pytest.raises(SystemExit, match="lacks nothing"):
        measure((0, 20, 60), "--fill")
    with pytest.raises(SystemExit, match=r"p0: WebP 1/2 at 0: "):
        measure((0, 20, 60), "--check")
    third, _ = measure((0, 20))
    assert [*third] == [*first] and third[0, "p0"]["bytes"] == first[0, "p0"]["bytes"]
    measure((0, 20), "--check")
    assert "4 files have the recorded byte counts, 0 have not" in capsys.readouterr().out


def test_square_takes_the_middle(folder):
    (reference, *_) = run.references(common.pictures(folder), judge.Judge(()), square=170)
    assert reference.image.size == (170, 170)


def test_no_pictures_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match="no pictures"):
        common.pictures(tmp_path)
