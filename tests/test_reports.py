"""What is made of measurements, with a stand-in for the codec: curves, tables, plots, sheets, committed numbers."""

import json
import re
import shutil
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image, features
from toy_bench import WebP, make_pictures, make_results, references

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
for package in ("scipy", "matplotlib"):
    pytest.importorskip(package, reason="needs the bench extra")

from benchmarks import __main__ as program  # noqa: E402
from benchmarks import claims, pages, paired, plots, sheet  # noqa: E402
from benchmarks.work import RESULTS  # noqa: E402
from mcmcodec.cli.bench import curves, peers  # noqa: E402
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
    content = json.loads((RESULTS / "kodak_peers.json").read_text())
    others = {curve.name: curve for curve in pages.peers_of(content)}
    vvc, best = others["VVC"], others["VVC, best variant"]
    assert [round(vvc.at("psnr", rate), 2) for rate in (0.01, 0.03, 0.1)] == [22.22, 24.81, 27.97]
    assert round(best.at("psnr", 0.01), 2) == 22.45 and round(best.at("lpips", 0.02), 3) == 0.601
    assert others["AVIF"].at("psnr", 0.02) is None
    assert round(others["AVIF, best variant"].at("msssim", 0.05), 3) == 0.858
    assert {point["images"] for point in content["points"]} == {24}


# Bytes in parts of the mean file, PSNR in dB. The VVC encoder is another build, which writes a few more bytes a file;
# few bytes weigh much in a small file.
TOLERANCES = {"bytes": 0.001, "psnr": 0.005, "msssim": 0.0002, "lpips": 0.001}
OTHER_BUILD = {"VVC": {"bytes": 0.2, "psnr": 0.15, "msssim": 0.006, "lpips": 0.02}}
MORE_BYTES = {"VVC": 24.0}


def beyond(content, anchors):
    """Number of settings in common by curve, and what differs by more than it may."""
    ours = {(point["curve"], float(point["setting"])): point for point in content["points"]}
    common, said = {}, []
    for anchor in anchors["points"]:
        curve = anchor["curve"]
        point = ours.get((curve, float(anchor["setting"])))
        if point is None:
            continue
        common[curve] = common.get(curve, 0) + 1
        family = curve.partition(" 1/")[0]
        for column, most in OTHER_BUILD.get(family, TOLERANCES).items():
            if point.get(column) is None or anchor.get(column) is None:
                continue
            away = abs(point[column] - anchor[column])
            if column == "bytes":
                away = max(0.0, away - MORE_BYTES.get(family, 0.0)) / anchor["bytes"]
            if away > most:
                said.append(f"{curve}: {column} differs by {away:.5f}, more than {most}")
    return common, said


def test_committed_peers_agree_with_the_independent_measurement():
    content, anchors = (json.loads((RESULTS / f"kodak_{name}.json").read_text()) for name in ("peers", "anchors"))
    common, said = beyond(content, anchors)
    assert len(common) >= 12 and common["AVIF"] == 6 and not said
    _, said = beyond(content, {"points": [content["points"][0] | {"psnr": 1.0, "lpips": None}]})
    assert len(said) == 1 and "psnr differs by" in said[0]


def test_curves_and_their_best_variant(results):
    (found,) = curves.of(results).values()
    assert [curve.name for curve in found] == ["mcm toy fidelity", "mcm toy brighter"]
    assert found[0].points["lpips"] == [] and found[0].at("psnr", 1e-9) is None
    rate = found[0].points["psnr"][1][0]
    assert curves.best("mcm", found).at("psnr", rate) == found[0].at("psnr", rate) > found[1].at("psnr", rate)
    assert found[1].bd_rate("psnr", found[0]) > 0 and found[0].bd_rate("lpips", found[1]) is None


def test_the_best_chroma_is_nearest_to_the_original():
    parts = [curves.Curve(str(v), {"chroma": [(0.01, v), (0.1, v)]}) for v in (0.9, 1.03, 1.2)]
    assert curves.best("x", parts).at("chroma", 0.05) == pytest.approx(1.03)
    assert paired.metric_table("chroma", parts, pages.RATES)[3].count("**1.030**") == 6
    flat = [curves.Curve("a", {"lpips": [(0.01, 0.3), (0.1, 0.3)]})]
    assert paired.metric_table("lpips", flat, pages.RATES)[2].count("**") == 12


@pytest.fixture
def measured(tmp_path, results):
    """Results files of a toy model, beside the committed ones of other codecs, and pages for them."""
    place, root = tmp_path / "results", tmp_path / "root"
    # as cheap as the rates of the tables, and dearer from setting to setting
    for index, mean in enumerate(results["points"]):
        mean["bpp"], mean["lpips"] = 0.02 * 2 ** (index // 2), 0.6 - 0.1 * (index // 2)
    names = {"mcm toy fidelity": "mcm toy fidelity", "mcm toy brighter": "mcm toy perceptual"}
    results["curves"] = {names[name]: about for name, about in results["curves"].items()}
    for row in [*results["points"], *results["rows"]]:
        row["curve"] = names[row["curve"]]
    write_json(place / "kodak.json", results)
    shutil.copy(RESULTS / "kodak_peers.json", place)
    for path in ("README.md", "docs/results.md", "weights/toy.md"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / "README.md").write_text("before\n<!-- numbers: line -->\nold\n<!-- end -->\nafter\n")
    (root / "weights/toy.md").write_text("<!-- numbers: points -->\n<!-- end -->\n")
    shutil.copy(ROOT / "docs/results.md", root / "docs")
    return place, root


def test_pages_are_written_from_results(measured, monkeypatch):
    place, root = measured
    pages.write(place, root)
    first = (root / "README.md").read_text()
    assert first.startswith("before\n<!-- numbers: line -->\nAt 0.03 bits per pixel, mean of the 24 Kodak pictures, ")
    assert "old" not in first and first.endswith("<!-- end -->\nafter\n")
    assert "LPIPS is 0.542 (VVC 0.540, AVIF 0.581), lower is better; PSNR is " in first
    assert "(VVC 24.81, AVIF 23.97) dB, higher is better." in first
    text = (root / "docs/results.md").read_text()
    for start in ("| mcmcodec `fidelity` | – | ", "| VVC, best variant | ", "| AVIF | mcmcodec `perceptual` | "):
        assert f"\n{start}" in text
    assert "Model `toy`, fingerprint `0000000000000000`." in text
    assert "## Search" in text and "Not measured." in text, "there is no results file of it"
    points = (root / "weights/toy.md").read_text().splitlines()
    assert points[1] == (
        "| quality | `fidelity`: bytes | bpp | PSNR / MS-SSIM / LPIPS "
        "| `perceptual`: bytes | bpp | PSNR / MS-SSIM / LPIPS |"
    )
    assert [line.split(" | ")[0] for line in points[3:6]] == ["| 10", "| 50", "| 90"]
    for metric in ("psnr", "msssim", "lpips"):
        with Image.open(place / f"kodak_{metric}.png") as plot:
            assert plot.size == (1100, 605)
    before = text
    pages.write(place, root)
    assert (root / "docs/results.md").read_text() == before, "written twice is written once"


@pytest.mark.parametrize(
    ("lead", "words"),
    [
        ([-1] * 7, "at no rate"),
        ([1] * 7, "at every rate"),
        ([-1] * 5 + [1, 1], "from 0.1 bpp on"),
        ([1, 1] + [-1] * 5, "up to 0.02 bpp"),
        ([-1, 1, 1, -1, 1, -1, -1], "at 0.02, 0.03 and 0.075 bpp"),
        ([1, 1, 1, 1, 1, 1, None], "at every rate"),
    ],
)
def test_who_is_ahead_in_words(lead, words):
    class Toy:
        ours = [curves.Curve("mcm toy fidelity", {"psnr": [(rate, 20.0) for rate in claims.RATES]})]
        variants = []
        peers = [curves.Curve("VVC, best variant", {"psnr": [
            (rate, 20.0 + one) for rate, one in zip(claims.RATES, lead, strict=True) if one is not None
        ]})]  # fmt: skip

    assert claims.ahead(Toy(), "psnr", "VVC") == words


def test_curves_can_be_told_apart_without_colour():
    """Grey prints and colour-blind readers: every line has a marker of its own; ours are the thickest."""
    results = pages.Results(RESULTS)
    assert len(results.published) >= 5 and results.published[0].at("lpips", 0.03) == pytest.approx(0.143, abs=0.003)
    figure, axes = plots.draw("lpips", results.ours, results.peers, results.published)
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert {"VVC", "AVIF", "WebP", "OneDC (published)", results.ours[0].name} <= set(lines)
    assert len({line.get_marker() for line in lines.values()}) == len(lines)
    assert all((line.get_markerfacecolor() == "white") == ("published" in name) for name, line in lines.items())
    thick = sorted(lines, key=lambda name: lines[name].get_linewidth())[-len(results.ours):]
    assert set(thick) == {curve.name for curve in results.ours}
    plots.plt.close(figure)


def test_the_command_writes_pages(measured, monkeypatch):
    place, root = measured
    monkeypatch.setattr(pages.write, "__defaults__", (root,))
    monkeypatch.setattr(plots, "plot", lambda *arguments: None)
    done = CliRunner().invoke(program.main, ["pages", "--results", str(place)], catch_exceptions=False)
    assert done.exit_code == 0 and "README.md: 1 blocks written" in done.output


def test_unknown_blocks_are_refused(measured):
    with pytest.raises(KeyError, match="nonsense"):
        pages.rendered("<!-- numbers: nonsense -->\n<!-- end -->", pages.Results(measured[0]))


def test_committed_pages_say_what_the_results_say():
    results = pages.Results(RESULTS)
    found = pages.pages(results)
    docs = {f"{name}.md" for name in ("generate", "messages", "questions", "results", "training", "viewer")}
    assert {path.name for path in found} == docs | {"README.md", f"{results.model['name']}.md"}
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert pages.BLOCK.search(text) and pages.rendered(text, results) == text, path
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    elsewhere = {"line", "limits", "card", "card_limits", "messages", "link", "armour"}
    elsewhere |= {"ablations", "looks", "learning", "trials", *pages.answers.BLOCKS}
    elsewhere.remove("smallest")
    assert set(pages.BLOCKS) - {found[1] for found in pages.BLOCK.findall(text)} == elsewhere
    for path in found:
        assert "Not measured." not in path.read_text(encoding="utf-8"), path
    everywhere = {name for path in found for _, name, _ in pages.BLOCK.findall(path.read_text(encoding="utf-8"))}
    assert everywhere == set(pages.BLOCKS)


def typed(text):
    """Numbers with a unit that stand outside the blocks, outside code and outside tables of links' limits."""
    text = pages.BLOCK.sub("", text)
    text = re.sub(r"^```.*?^```|`[^`]*`|\]\([^)]*\)", "", text, flags=re.S | re.M)
    return re.findall(r"\b\d[\d,.]*(?: %| dB| [kMG]B| bpp| ms| s\b| seconds| minutes| times\b| x\b)", text)


# What is no measurement: limits that are promised, constants of the program, the range that the codec is made for, the
# rates of the page of sliders, how intervals are computed.
PROMISED = {
    "questions.md": ["1 %", "1 %", "0.3 dB"],
    "results.md": ["0.07 bpp", "95 %", "30 %"],
    "card": ["0.25 bpp"],
}


def test_no_measured_number_is_typed_by_hand():
    """Numbers on pages come from results files, by their blocks: whoever types one by hand is told."""
    results = pages.Results(RESULTS)
    for path in pages.pages(results):
        name = "card" if path.parent.name == "weights" else path.name
        found = typed(path.read_text(encoding="utf-8"))
        if name == "training.md":  # a log of single runs
            continue
        if name == "card":  # the training that these weights had is no benchmark
            found = [one for one in found if not one.endswith((" x", " s"))]
        assert set(found) <= set(PROMISED.get(name, ())), f"{path}: {found}"
    text = "a file takes 12 % fewer bytes in 3 s\n<!-- numbers: x -->\n5 %\n<!-- end -->\n`-q 3 s`"
    assert typed(text) == ["12 %", "3 s"]


@needs_avif
def test_contact_sheet_at_equal_bytes(folder, monkeypatch):
    monkeypatch.setattr(peers, "SCALES", (1, 2))
    (reference, _) = references(folder, "psnr")
    cells = sheet.row(WebP(), reference, 1, ["fidelity", "brighter"])
    sizes = [int(cell.detail.split()[0]) for cell in cells[1:]]
    assert sizes[0] == sizes[1] and sizes[2] == pytest.approx(sizes[0], rel=0.1)
    assert [cell.title for cell in cells[:3]] == ["original", "mcm fidelity", "mcm brighter"]
    assert cells[3].title.startswith("AVIF")
    assert cells[3].image.size == reference.image.size
    boxes = [sheet.box_of(None, reference.image), sheet.box_of("10,20,64,32", reference.image)]
    assert boxes == [(0, 0, 192, 168), (10, 20, 64, 32)]
    made = sheet.draw([cells, cells], boxes, 2)
    assert made.width == 4 * (2 * 192 + sheet.GAP) + sheet.GAP
    assert made.getpixel((sheet.GAP, sheet.GAP)) == reference.image.getpixel((0, 0))
    for wrong in ("150,0,64,64", "1,2,3", "a,b,c,d"):
        with pytest.raises(click.BadParameter):
            sheet.box_of(wrong, reference.image)
