"""The benchmarks with a stand-in for the codec, and with the tiny model: files, means, what is measured anew."""

import dataclasses
import gzip
import json
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from toy_bench import WebP, brighter_and_not, make_pictures, make_results, references

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
for package in ("scipy", "matplotlib"):
    pytest.importorskip(package, reason="needs the bench extra")

from benchmarks import __main__ as program  # noqa: E402
from benchmarks import (  # noqa: E402
    decoders,
    effort,
    gpu,
    learning,
    modes,
    pages,
    perception,
    rate_distortion,
    registry,
    search,
)
from benchmarks.work import RESULTS, Work, installed  # noqa: E402
from mcmcodec.cli.bench import ours, peers, run  # noqa: E402
from mcmcodec.cli.bench.batch_speed import batches as gpu_batches  # noqa: E402
from mcmcodec.cli.bench.provenance import write_json  # noqa: E402
from mcmcodec.codec import Codec  # noqa: E402
from mcmcodec.errors import McmError  # noqa: E402
from mcmcodec.metrics import judge  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    return make_pictures(tmp_path)


@pytest.fixture
def results(folder):
    return make_results(folder)


TOY = {"folder": "set", "qualities": (20, 60), "decoders": ("fidelity",), "metrics": ("psnr",), "count": 1}


@pytest.fixture
def work(folder, tiny, tmp_path):
    """What a measurement is given, of the tiny model."""
    (tmp_path / "results").mkdir()
    return Work(tmp_path, "tiny", results=tmp_path / "results", name="toy")


def measured(work, measure, **settings):
    with work.progress():
        content = measure(work, **settings)
    run.remove(work.journal)
    return json.loads(json.dumps(content))


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

        def accepts(self, height, width):
            return True

        def patches(self, maps):
            return 100 * np.stack([maps[0, :, :, :96].mean((1, 2)), maps[0, :, :, 96:].mean((1, 2))])

    def sweep():
        referee = judge.Judge(("psnr",))
        referee.wanted, referee.dists = ("dists", "fd"), Patches()
        journal = run.Journal(tmp_path / "run.partial", {})
        return run.sweep([brighter_and_not((50,))], run.references(sorted(folder.glob("*.png")), referee), journal)

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


def test_everything_is_measured_once(folder, tiny, tmp_path, monkeypatch, work):
    """What is up to date by weights and settings is left alone; other settings, and other weights, are measured."""
    chosen = [registry.Benchmark("toy", "What?", 1, ("set",), TOY, rate_distortion.measure_ours)]
    monkeypatch.setattr(registry, "BENCHMARKS", chosen)
    monkeypatch.setattr(program, "BENCHMARKS", chosen)
    results = str(tmp_path / "results")
    arguments = ["all", "--data", str(tmp_path), "--results", results, "--model", "tiny", "--no-pages"]

    def run_all(*more):
        done = CliRunner().invoke(program.main, [*arguments, *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    path = tmp_path / "results/toy.json"
    assert "toy            missing      1 min  What?" in run_all("--dry-run") and not path.exists()
    run_all()
    content = json.loads(path.read_text())
    assert content["model"]["name"] == "tiny" and content["images"] == 1 and content["set"] == "set"
    assert [(point["curve"], point["setting"]) for point in content["points"]] == [
        ("mcm tiny fidelity", 20), ("mcm tiny fidelity", 60),
    ]  # fmt: skip
    assert all(row["bytes"] > 0 and row["psnr"] > 5 for row in content["rows"])
    assert not path.with_suffix(".partial").exists()
    before = path.stat().st_mtime_ns
    assert "everything is up to date" in run_all() and path.stat().st_mtime_ns == before
    assert "1 to do" in run_all("--anew", "--dry-run")
    (one,) = chosen
    identity = installed("tiny")
    assert one.state(path.parent, identity) == "current"
    assert one.state(path.parent, identity | {"fingerprint": "00" * 32}) == "outdated"
    assert one.state(path.parent, identity | {"decoders": {}}) == "outdated"
    assert dataclasses.replace(one, settings=TOY | {"qualities": (20,)}).state(path.parent, identity) == "outdated"
    assert dataclasses.replace(one, decoders=False).key(identity) == dataclasses.replace(one, decoders=False).key(
        identity | {"decoders": {}}
    )
    assert dataclasses.replace(one, model=False).key(identity) == dataclasses.replace(one, model=False).key({})
    path.with_suffix(".partial").write_text("")
    assert dataclasses.replace(one, settings={}).state(path.parent, identity) == "stopped"


def test_data_that_is_not_there_is_said(tiny, tmp_path, monkeypatch):
    chosen = [registry.Benchmark("toy", "What?", 1, ("kodak",), TOY, rate_distortion.measure_ours)]
    monkeypatch.setattr(program, "BENCHMARKS", chosen)
    arguments = ["all", "--data", str(tmp_path), "--results", str(tmp_path), "--model", "tiny", "--no-pages"]
    done = CliRunner().invoke(program.main, arguments)
    assert done.exit_code == 1 and f"toy needs kodak in {tmp_path}" in done.output
    with pytest.raises(click.ClickException, match="no pictures in"):
        Work(tmp_path, "tiny").pictures("kodak")


def test_committed_results_are_of_the_model_and_the_settings():
    identity = json.loads((RESULTS / "kodak.json").read_text())["model"]
    for one in registry.BENCHMARKS:
        assert one.state(RESULTS, identity) == "current", one.name
        model = json.loads((RESULTS / f"{one.name}.json").read_text()).get("model", identity)
        if not one.decoders:
            model = model | {"decoders": identity["decoders"]}
        assert model in (identity, identity["name"]), one.name
    names = {one.name for one in registry.BENCHMARKS}
    others = {"kodak_anchors", "learning", "looks", "published", "second_generation"}
    assert {path.stem for path in RESULTS.glob("*.json")} == names | others
    card = json.loads((ROOT / f"weights/{identity['name']}.json").read_text())
    for part in ("decoders", "analyses"):
        assert {name: entry["sha256"] for name, entry in card[part].items()} == identity[part]


def test_smaller_pictures_and_squares(work):
    content = measured(work, rate_distortion.measure_ours, **TOY | {"reduce": 2, "square": 168})
    assert [*content["curves"]] == ["mcm tiny fidelity, 1/2"] and content["square"] == 168
    assert content["rows"][0]["bpp"] == pytest.approx(8 * content["rows"][0]["bytes"] / 168**2, abs=1e-6)


def test_perception_takes_the_points_nearest_to_the_rates(work, results, monkeypatch):
    content = json.loads((RESULTS / "kodak_peers.json").read_text())
    scale, setting = perception.nearest(content, "AVIF", 0.1)
    (point,) = [p for p in content["points"] if p["curve"] == "AVIF" and p["setting"] == setting]
    assert scale == 1 and point["bpp"] == pytest.approx(0.1, rel=0.1)
    assert sum(len(one.settings) for one in perception.peers_at(content, ["WebP"], [0.03, 0.1])) == 2
    with pytest.raises(click.ClickException, match=r"nothing of WebP; run kodak_peers"):
        perception.peers_at(results, ["WebP"], [0.03])
    with monkeypatch.context() as patch, pytest.raises(click.ClickException, match="WebP is not installed; pip"):
        patch.setattr(peers, "find", lambda: ([], [peers.Missing("WebP", "pip install something")]))
        perception.peers_at(content, ["WebP"], [0.03])
    (work.results / "kodak_peers.json").write_text(json.dumps(content))
    settings = {"folder": "set", "count": 1, "qualities": (60,), "decoders": ("fidelity",), "names": ("WebP",)}
    found = measured(work, perception.measure, **settings, rates=(0.03, 0.1), metrics=("psnr", "ciede", "chroma"))
    assert [point["curve"] for point in found["points"]][0] == "mcm tiny fidelity" and len(found["points"]) == 3
    assert all(point["ciede"] > 0 and point["chroma"] > 0 for point in found["points"])


def test_modes_are_measured_on_described_pictures(work):
    table = work.data / "pairs.csv"
    table.write_text("name,kind,caption\np1.png,label,nothing\np1.png,human,A red house.\np1.png,human,Other words.\n")
    settings = {"folder": "set", "captions": "pairs.csv", "count": 2, "qualities": (60,), "decoders": ("fidelity",)}
    content = measured(work, modes.measure, **settings, metrics=("psnr",))
    words, sketch, base, full = content["points"]
    found = [content["curves"][one["curve"]]["mode"] for one in content["points"]]
    assert found == ["caption", "sketch", "base", "full"]
    assert words["bytes"] < base["bytes"] < full["bytes"] and words["psnr"] is None and base["psnr"] < full["psnr"]
    assert words["bytes"] < sketch["bytes"]
    assert content["images"] == 1
    (work.results / "modes.json").write_text(json.dumps(content))
    lines = pages.modes(pages.Results(work.results))
    assert lines[0].endswith("consistency: PSNR |") and lines[2].startswith("| caption only | – | – |")
    assert lines[5].startswith("| full | `fidelity` | 60 |")
    table.write_text("name,kind,caption\n")
    with pytest.raises(click.ClickException, match="no caption"):
        measured(work, modes.measure, **settings, metrics=("psnr",))


def test_decoders_on_the_same_files(work):
    found = measured(work, decoders.measure, folder="set", count=1, qualities=(60,), realism=(0.5,),
                     metrics=("psnr", "msssim", "lpips", "ciede", "chroma"), turns=1)  # fmt: skip
    rows = {row["name"]: row for row in found["decoders"]}
    assert set(rows) == {"fidelity", "perceptual", "realism 0.5"}
    assert rows["fidelity"]["operations"] > 100 and rows["fidelity"]["seconds"] > 0
    assert "seconds" not in rows["realism 0.5"]
    values = rows["fidelity"]["metrics"]["60"]
    assert values["psnr"] > 5 and values["ciede"] > 0
    if values["lpips"] is not None:
        assert values["off_grid"] == pytest.approx(values["lpips"], rel=0.2) and values["off_grid"] != values["lpips"]
        (work.results / "decoders.json").write_text(json.dumps(found))
        assert pages.decoders(pages.Results(work.results))[2].count(" | ") == 3


def test_effort_is_against_the_usual_level(work):
    settings = {"folder": "set", "count": 1, "qualities": (20, 60), "quality": 60, "levels": (1, 3)}
    found = measured(work, effort.measure, **settings, tunes=("fidelity",))
    assert [(row["effort"], row["quality"]) for row in found["rows"]] == [(1, 60), (3, 20), (3, 60)]
    assert all(row["seconds"] > 0 and row["psnr"] > 5 for row in found["rows"])
    known = {"decoder": "fidelity", "lpips": None, "dists": 0.2, "seconds": 1.0}
    found["rows"] = [
        known | {"effort": 3, "quality": 20, "bpp": 0.01, "psnr": 20.0, "dists": 0.4},
        known | {"effort": 3, "quality": 60, "bpp": 0.04, "psnr": 30.0},
        known | {"effort": 5, "quality": 60, "bpp": 0.018, "psnr": 25.0, "seconds": 50.0},
    ]
    (work.results / "effort.json").write_text(json.dumps(found))
    lines = pages.effort(pages.Results(work.results))
    assert lines[2:4] == ["| 3 | +0.0 % | +0.0 % | 1 x |", "| 5 | -10.0 % | -55.0 % | 50 x |"]


def test_captions_beside_compressors(work):
    captions = pytest.importorskip("benchmarks.captions", reason="needs the bench extra")
    (work.data / "captions/heldout").mkdir(parents=True)
    words = ["dog", "cat", "house", "tree", "street", "boat", "horse", "man", "woman", "child"]
    lines = [f"a {a} and a {b} near a {c}" for a in words for b in words for c in words]
    with gzip.open(work.data / "captions/a.txt.gz", "wt") as file:
        file.write("\n".join(lines))
    held = "two dogs on the beach\n\na man rides a horse past a red house at dusk\n"
    (work.data / "captions/heldout/b.txt").write_text(held)
    settings = {"folder": "captions", "heldout": "captions/heldout", "every": 1, "train_every": 1}
    found = measured(work, captions.measure, **settings)
    rows = {row["coder"]: row for row in found["coders"]}
    plain, mine = rows["UTF-8"], rows[captions.OURS]
    assert plain["captions"] == 2 and plain["bytes"] == (21 + 44) / 2
    assert 0 < mine["bytes"] < 0.4 * plain["bytes"] and mine["decode_ms"] > 0
    assert all(one[captions.OURS] < one["UTF-8"] for one in found["languages"])


def test_search_finds_what_was_meant(work, monkeypatch):
    monkeypatch.setattr("mcmcodec.cli.search.semantic.embed", letters)
    (work.data / "pairs.csv").write_text("name,split,kind,caption\n" + "".join(
        f"p{i}.png,{split},human,{text}\n"
        for i, (split, texts) in enumerate([
            ("val", ["a red boat on a lake", "the boat is red"]),
            ("train", ["two dogs play", "dogs that play", "nothing"]),
        ])
        for text in texts
    ))  # fmt: skip
    (work.data / "captions").mkdir()
    with gzip.open(work.data / "captions/a.txt.gz", "wt") as file:
        file.write("\n".join(f"a {word} on a table" for word in ("cup", "plate", "fork", "knife", "spoon")))
    found = measured(work, search.measure, folder="set", captions="pairs.csv", ways=("words", "meaning", "both"),
                     texts="captions", queries=2, quality=40, files=6, distinct=3)  # fmt: skip
    val, everything = found["words"][::3]
    assert (val["files"], val["queries"], val["way"], val["recall at 1"]) == (1, 1, "words", 1.0)
    assert (everything["files"], everything["queries"]) == (2, 3)
    assert everything["recall at 10"] == pytest.approx(2 / 3, abs=1e-4)
    meaning, both = found["words"][4:]
    assert (meaning["way"], both["way"]) == ("meaning", "both") and meaning["recall at 10"] == both["recall at 10"] == 1
    assert len(found["likeness"]) == 4 and all(row["queries"] == 2 for row in found["likeness"])
    assert found["likeness"][0]["recall at 5"] == 1.0
    speed = found["speed"]
    assert (speed["files"], speed["distinct"]) == (6, 3) and 10 < speed["bytes_per_file"] < 100
    assert speed["index"]["seconds"] > 0 and speed["query_ms"]["median"] > 0
    (work.results / "search.json").write_text(json.dumps(found))
    results = pages.Results(work.results)
    assert pages.BLOCKS["search_words"](results)[2] == "| val | 1 | 1 | words | 1.0 | 1.0 | 1.0 |"
    assert pages.search_speed(results)[2].startswith("| index 6 files | ")


def letters(texts):
    """Stands for sentence embeddings: counts of letters."""
    counts = np.array([[text.count(letter) + 0.1 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
    return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


def test_peers_are_filled_in(work, folder, monkeypatch):
    only = [one for one in peers.find()[0] if one.name == "WebP"]
    path = work.results / "toy.json"

    def measure(ladder, anew=False):
        (one,) = only
        found = dataclasses.replace(one, ladder={2: ladder})
        monkeypatch.setattr(peers, "find", lambda: ([found], [peers.Missing("VVC", "pip install something")]))
        work.anew = anew
        settings = {"folder": "set", "names": ("WebP", "VVC"), "scales": (2,), "metrics": ("psnr",)}
        content = measured(work, rate_distortion.measure_peers, **settings)
        write_json(path, content)
        return {(row["setting"], row["image"]): row for row in content["rows"]}, content

    first, content = measure((0, 20))
    changed = json.loads(path.read_text())
    changed["rows"][0]["bytes"] += 1
    other = changed["rows"][0] | {"curve": "measured elsewhere"}
    changed["rows"].append(other)
    changed["curves"]["measured elsewhere"] = {}
    write_json(path, changed)
    second, content = measure((0, 20, 60))
    assert other in content["rows"] and "measured elsewhere" in content["curves"]
    assert {p["setting"]: p["images"] for p in content["points"]} == {0: 2, 20: 2, 60: 2}
    assert second[0, "p0"] != first[0, "p0"], "what is there is left alone"
    third, content = measure((0, 20), anew=True)
    assert [row for row in content["rows"] if row["curve"] == "WebP 1/2" and row["setting"] == 0][0]["bytes"] == (
        first[0, "p0"]["bytes"]
    )
    assert other in content["rows"], "a codec that is not here is kept"


def test_square_takes_the_middle(folder):
    (reference, *_) = run.references(sorted(folder.glob("*.png")), judge.Judge(()), square=170)
    assert reference.image.size == (170, 170)
    with Image.open(folder / "p0.png") as image:
        middle = image.convert("RGB").crop((12, 0, 180, 168)).resize((170, 170), run.LANCZOS)
    assert np.array_equal(reference.picture, np.asarray(middle))


def test_the_gpu_script_is_rehearsed_on_a_cpu(tiny, monkeypatch):
    monkeypatch.setattr(gpu, "Codec", lambda device: Codec("tiny", device))
    monkeypatch.setattr(gpu, "batches", lambda path, model, *rest: gpu_batches(path, "tiny", *rest))
    done = CliRunner().invoke(gpu.main, ["--device", "cpu", "--side", "32", "--batch", "1", "--batch", "2"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("cpu, torch ") and "pictures of 32 x 32" in lines[0]
    assert any(line.split() == ["pictures", "encoded", "to", "one", "file", "4", "of", "4"] for line in lines)
    assert [line.split()[-3] for line in lines[-6:]] == ["1", "2"] * 3


def test_a_learning_curve_begins_where_its_logs_do(tmp_path):
    rates = {5: 0.01, 20: 0.03, 40: 0.08, 60: 0.2}

    def row(seen, factor):
        found = {f"bpp{quality}": rate * factor for quality, rate in rates.items()}
        found |= {f"psnr{quality}": 20.0 + quality / 8 for quality in rates}
        return {"seen": seen, "loss": 1.0, **found}

    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    rows = [row(1000, 1), {"seen": 1200, "loss": 0.5}, row(1500, 0.9)]
    first.write_text("".join(json.dumps(one) + "\n" for one in rows))
    second.write_text(json.dumps(row(2500, 1.1)) + "\n")
    assert learning.line([first, second], "psnr") == [(0, 0.0), (500, -10.0), (1500, 10.0)]
