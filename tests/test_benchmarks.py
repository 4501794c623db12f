"""The benchmark scripts with a stand-in for the codec: files, means, tables and sheets without weights."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
for package in ("scipy", "matplotlib"):
    pytest.importorskip(package, reason="needs the metrics extra")

import common  # noqa: E402
import compare  # noqa: E402
import curves  # noqa: E402
import kodak  # noqa: E402
import masks  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402

from mcmcodec.container import Header, pack, parse_header  # noqa: E402


class WebP:
    """A codec with mcmcodec's interface and a header that can be read, whose payload is WebP."""

    def encode(self, image, *, quality=50, keep=None, mask="rd"):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=round(quality * (1 if mask == "none" else 0.9)))
        share = round(255 * (keep or 1))
        header = Header(image.width, image.height, 0, 0, quality, share, all_visible=share == 255)
        return pack(header, buffer.getvalue(), bytes(32))

    def decode(self, data, decoder=None):
        image = Image.open(io.BytesIO(data[parse_header(data)[1] : -4])).convert("RGB")
        return image if decoder == "fidelity" else image.point(lambda v: min(255, v + 3))


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs Pillow with AVIF")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(3)
    for index in range(2):
        small = Image.fromarray(rng.integers(0, 255, (24, 28, 3), dtype=np.uint8))
        (tmp_path / "set").mkdir(exist_ok=True)
        small.resize((192 + 16 * index, 168), Image.Resampling.BICUBIC).save(tmp_path / f"set/p{index}.png")
    return tmp_path / "set"


@pytest.fixture
def results(folder):
    rows = kodak.sweep(WebP(), common.references(folder, None), 2, [10, 50, 90], ["fidelity", "brighter"])
    facts = {
        "model": {"name": "toy", "fingerprint": "00" * 32},
        "machine": {"cpu": "a cpu", "system": "Linux", "threads": 1},
        "device": "cpu",
        "seconds": "CPU",
        "versions": {"python": "3", "torch": "2", "numpy": "2"},
        "commit": None,
        "settings": {"mask": "rd", "keep": None, "square": 0, "images": 24},
    }
    return facts | {"means": kodak.summary(rows), "rows": rows}


def test_sweep_measures_whole_files(folder, results):
    assert len(results["rows"]) == 2 * 3 * 2
    row = results["rows"][0]
    image = Image.open(folder / "p0.png")
    assert row["image"] == "p0" and row["quality"] == 10 and row["decoder"] == "fidelity"
    assert row["bytes"] == len(WebP().encode(image, quality=10))
    assert row["bpp"] == pytest.approx(8 * row["bytes"] / (192 * 168), abs=1e-6)
    assert row["lpips"] is None and row["encode_s"] > 0 and row["decode_s"] > 0
    assert row["psnr"] > results["rows"][1]["psnr"], "the other decoder is a little too bright"


def test_means_are_per_decoder_and_quality(results):
    means = results["means"]
    assert [(m["decoder"], m["quality"]) for m in means[:3]] == [
        ("fidelity", 10), ("brighter", 10), ("fidelity", 50),
    ]  # fmt: skip
    chosen = [r["psnr"] for r in results["rows"] if r["quality"] == 50 and r["decoder"] == "fidelity"]
    assert means[2]["images"] == 2 and means[2]["psnr"] == pytest.approx(sum(chosen) / 2, abs=1e-3)


def test_square_takes_the_middle(folder):
    (reference, *_) = common.references(folder, None, limit=1, square=170)
    assert reference.image.size == (170, 170) and reference.features is None


def test_no_pictures_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match="no pictures"):
        common.pictures(tmp_path)


def test_json_is_read_back_and_has_a_line_per_row(tmp_path, results):
    common.write_json(tmp_path / "new" / "r.json", results)
    text = (tmp_path / "new" / "r.json").read_text()
    assert json.loads(text) == results
    assert sum('"image": "p0"' in line for line in text.splitlines()) == 6


def test_peers_keep_only_settings_with_all_pictures():
    row = {"codec": "webp_m6_h", "settings": "x method6, quality 5; Lanczos 1/2", "bytes": "100",
           "bpp": "0.02", "psnr": "20", "msssim": "0.5", "lpips_alex": "0.5", "enc_s": "1",
           "dec_s": "1"}  # fmt: skip
    rows = [row | {"image": f"k{i}", "psnr": str(20 + i)} for i in range(24)]
    rows += [row | {"settings": "quality 9", "image": f"k{i}"} for i in range(23)]
    rows += [row | {"codec": "unknown", "image": f"k{i}"} for i in range(24)]
    rows[3]["lpips_alex"] = ""
    (curve,) = peers.curves(rows)
    assert (curve["family"], curve["scale"]) == ("WebP", 2)
    (point,) = curve["points"]
    assert point["setting"] == "quality 5" and point["psnr"] == 31.5 and point["lpips"] is None


def test_committed_peers_give_the_known_numbers():
    others = {c.name: c for c in curves.peers(report.FOLDER / "peers/kodak.json", report.FAMILIES)}
    vvc, best = others["VVC (vvenc slow)"], others["VVC, best variant"]
    assert [round(vvc.at("psnr", rate), 2) for rate in (0.01, 0.03, 0.1)] == [22.22, 24.81, 27.97]
    assert round(best.at("psnr", 0.01), 2) == 22.45 and round(best.at("lpips", 0.02), 3) == 0.601
    assert others["AVIF (aom speed 2, 4:4:4)"].at("psnr", 0.02) is None
    assert round(others["AVIF, best variant"].at("msssim", 0.05), 3) == 0.858


def test_report_writes_table_and_plots(tmp_path, results, monkeypatch):
    # As cheap as the rates of the report, and twice the bytes for the same picture.
    for factor, mean in enumerate(results["means"]):
        mean["bpp"] = 0.01 * (1 + factor // 2)
    common.write_json(tmp_path / "r.json", results)
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path / "r.json"), "--out", str(tmp_path)])
    report.main()
    text = (tmp_path / "kodak.md").read_text()
    for name in ("mcm toy fidelity", "VVC, best variant", "toy | brighter | 90"):
        assert f"| {name} |" in text
    for metric in curves.METRICS:
        with Image.open(tmp_path / f"kodak_{metric}.png") as plot:
            assert plot.size == (880, 605)


def test_report_refuses_a_part_of_the_set(tmp_path, results, monkeypatch):
    results["settings"]["images"] = 2
    common.write_json(tmp_path / "r.json", results)
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path / "r.json"), "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2 of 24 pictures"):
        report.main()


def test_masks_at_equal_bytes(folder, tmp_path):
    bench = masks.Bench(WebP(), list(common.references(folder, None)), "fidelity", tmp_path)
    tables = masks.compare(bench, [0.5], 40, 0.9)
    target = 0.9 * 168 * (192 + 208) / 2 / 8
    assert [row["mask"] for row in tables["equal_share"]] == [mask for mask, _ in masks.cases([0.5])]
    assert all(abs(row["bytes"] / target - 1) < 0.02 for row in tables["equal_bytes"])
    assert tables["equal_share"][0]["mask_s"] == 0 and tables["equal_share"][3]["mask_s"] > 0
    assert tables["equal_share"][1]["visible"] == pytest.approx(0.5, abs=0.01)
    assert tables["equal_bytes"][0]["quality"] < tables["equal_bytes"][1]["quality"]
    settings = {"decoder": "fidelity", "images": 2, "quality": 40, "target_bpp": 0.9}
    content = {"model": {"name": "toy", "fingerprint": "00"}, "settings": settings}
    assert "| rd | codec decides |" in masks.markdown(content | tables)


def test_masks_out_of_reach(folder, tmp_path):
    bench = masks.Bench(WebP(), list(common.references(folder, None, limit=1)), "fidelity", tmp_path)
    assert bench.at_bytes("rd", None, 10.0) is None


@needs_avif
def test_contact_sheet_at_equal_bytes(folder):
    image = Image.open(folder / "p0.png").convert("RGB").resize((96, 84))
    cells = compare.row(WebP(), image, 80, ["fidelity", "brighter"])
    sizes = [int(cell.detail.split()[0]) for cell in cells[1:]]
    assert sizes[0] == sizes[1] and sizes[2] == pytest.approx(sizes[0], rel=0.1)
    boxes = [compare.box_of(None, image), compare.box_of("10,20,64,32", image)]
    assert boxes == [(0, 0, 96, 84), (10, 20, 64, 32)]
    made = compare.sheet([cells, cells], boxes, 2)
    assert made.width == 4 * (2 * 96 + compare.GAP) + compare.GAP
    with pytest.raises(SystemExit, match="outside"):
        compare.box_of("80,0,64,64", image)


@needs_avif
def test_avif_is_scaled_down_where_it_must_be(folder):
    image = Image.open(folder / "p0.png").convert("RGB").resize((96, 84))
    smallest = compare.avif(image, 0, 1)[0]
    _, decoded, title = compare.closest_avif(image, smallest - 40)
    assert "1/2 size" in title and decoded.size == image.size
