"""What is made of measurements, with a stand-in for the codec: curves, tables, plots, sheets, committed numbers."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image, features
from toy_bench import WebP, make_pictures, make_results, references

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
for package in ("scipy", "matplotlib"):
    pytest.importorskip(package, reason="needs the bench extra")

import anchors  # noqa: E402
import compare  # noqa: E402
import learning  # noqa: E402
import masks  # noqa: E402
import perception  # noqa: E402
import publish  # noqa: E402
import report  # noqa: E402

from mcmcodec.cli.bench import curves  # noqa: E402
from mcmcodec.cli.bench.provenance import write_json  # noqa: E402

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs Pillow with AVIF")


@pytest.fixture
def folder(tmp_path):
    return make_pictures(tmp_path)


@pytest.fixture
def results(folder):
    return make_results(folder)


def test_json_is_read_back_and_has_a_line_per_row(tmp_path, results):
    write_json(tmp_path / "new" / "r.json", results)
    text = (tmp_path / "new" / "r.json").read_text()
    assert json.loads(text) == results
    assert sum('"image": "p0"' in line for line in text.splitlines()) == 6


def test_committed_peers_give_the_known_numbers():
    content = json.loads((report.FOLDER / "results/kodak_peers.json").read_text())
    others = {curve.name: curve for curve in report.peers_of(content)}
    vvc, best = others["VVC"], others["VVC, best variant"]
    assert [round(vvc.at("psnr", rate), 2) for rate in (0.01, 0.03, 0.1)] == [22.22, 24.81, 27.97]
    assert round(best.at("psnr", 0.01), 2) == 22.45 and round(best.at("lpips", 0.02), 3) == 0.601
    assert others["AVIF"].at("psnr", 0.02) is None
    assert round(others["AVIF, best variant"].at("msssim", 0.05), 3) == 0.858
    assert {point["images"] for point in content["points"]} == {24}


def test_committed_peers_agree_with_the_independent_measurement(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["anchors.py"])
    anchors.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 14 and "| AVIF | 6 | 0.00 % | 0.00000 | 0.00000 | 0.00000 |" in lines
    content = json.loads((report.FOLDER / "results/kodak_peers.json").read_text())
    found = anchors.differences(content, {"points": [content["points"][0] | {"psnr": 1.0, "lpips": None}]})
    (said,) = anchors.beyond(found)
    assert "psnr differs by" in said


def test_curves_and_their_best_variant(results):
    (found,) = curves.of(results).values()
    assert [curve.name for curve in found] == ["mcm toy fidelity", "mcm toy brighter"]
    assert found[0].points["lpips"] == [] and found[0].at("psnr", 1e-9) is None
    rate = found[0].points["psnr"][1][0]
    assert curves.best("mcm", found).at("psnr", rate) == found[0].at("psnr", rate) > found[1].at("psnr", rate)
    assert found[1].bd_rate("psnr", found[0]) > 0 and found[0].bd_rate("lpips", found[1]) is None


def test_report_writes_table_and_plots(tmp_path, results, monkeypatch):
    # As cheap as the rates of the report, and twice the bytes for the same picture.
    for factor, mean in enumerate(results["points"]):
        mean["bpp"] = 0.01 * (1 + factor // 2)
    write_json(tmp_path / "r.json", results)
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path / "r.json"), "--out", str(tmp_path)])
    report.main()
    text = (tmp_path / "kodak.md").read_text()
    for name in ("mcm toy fidelity", "VVC, best variant", "mcm toy brighter | 90"):
        assert f"| {name} |" in text
    for metric in ("psnr", "msssim"):
        with Image.open(tmp_path / f"kodak_{metric}.png") as plot:
            assert plot.size == (1100, 605)


def test_models_are_set_beside_their_training(tmp_path):
    """Bytes at equal quality over pictures seen: the younger model needs half the bytes of the older one."""

    def content(name, factor):
        points = [
            {"curve": f"mcm {name} {decoder}", "bpp": factor * 0.01 * 2**i, "psnr": 20.0 + i, "msssim": 0.7 + i / 20}
            for decoder in ("fidelity", "perceptual")
            for i in range(5)
        ]
        about = {row["curve"]: {"family": "mcm"} for row in points}
        return {"model": {"name": name}, "points": points, "curves": about}

    for name, seen in (("older", 1000), ("younger", 3000)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"training": {"stream": {"seen": seen}}}))
    contents = [content("younger", 1), content("older", 2), content("of no card", 4)]
    anchor = curves.Curve("VVC", curves.of(content("VVC", 1))["mcm"][0].points)
    lines = learning.section(contents, anchor, tmp_path / "t.png", tmp_path)
    assert "| older | 1,000 | +100 % | +100 % | – |" in lines and "| younger | 3,000 | +0 % | +0 % | – |" in lines
    assert lines.index("| older | 1,000 | +100 % | +100 % | – |") < lines.index("| younger | 3,000 | +0 % | +0 % | – |")
    with Image.open(tmp_path / "t.png") as plot:
        assert plot.size == (770, 440)
    assert learning.section(contents[1:], anchor, tmp_path / "t.png", tmp_path) == []


def test_report_refuses_a_part_of_the_set(tmp_path, results, monkeypatch):
    results["images"] = 2
    write_json(tmp_path / "r.json", results)
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path / "r.json"), "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2 pictures of kodak"):
        report.main()


def test_masks_at_equal_bytes(folder):
    bench = masks.Bench(WebP(), references(folder), "fidelity")
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


def test_masks_out_of_reach(folder):
    bench = masks.Bench(WebP(), references(folder)[:1], "fidelity")
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


def test_numbers_go_where_people_read_them(tmp_path):
    name = "medium-5"
    (tmp_path / "weights").mkdir()
    for path, block in ((tmp_path / "README.md", "reach"), (tmp_path / "weights" / f"{name}.md", "points")):
        path.write_text(f"before\n<!-- numbers: {block} -->\nold\n<!-- end -->\nafter\n")
    results = report.FOLDER / "results"
    names = (name, "peers", f"{name}_half", f"{name}_quarter")
    content, peers, *smaller = (json.loads((results / f"kodak_{one}.json").read_text()) for one in names)
    publish.write(content, peers, smaller, tmp_path)
    for path in ("README.md", f"weights/{name}.md"):
        text = (tmp_path / path).read_text()
        assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    block = text[text.index("<!-- numbers") : text.index("<!-- end")]
    assert block in (report.FOLDER.parent / path).read_text(), "the committed card is what the results say"


def test_perception_takes_the_points_nearest_to_the_rates(results, tmp_path, monkeypatch):
    content = json.loads((report.FOLDER / "results/kodak_peers.json").read_text())
    scale, setting = perception.nearest(content, "AVIF", 0.1)
    (point,) = [p for p in content["points"] if p["curve"] == "AVIF" and p["setting"] == setting]
    assert scale == 1 and point["bpp"] == pytest.approx(0.1, rel=0.1)
    found = perception.rivals(content, ["WebP"], [0.03, 0.1])
    assert sum(len(one.settings) for one in found) == 2
    with pytest.raises(SystemExit, match=r"nothing of WebP; measure it"):
        perception.rivals(results, ["WebP"], [0.03])
