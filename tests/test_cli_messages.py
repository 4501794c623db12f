"""``codec split`` and ``codec join``: files, folders, pipes, texts; what is said and which exit codes."""

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command

import mcmcodec
from mcmcodec.bitstream import stripped
from mcmcodec.bitstream.armor import armor
from mcmcodec.bitstream.messages import split
from mcmcodec.cli.links import LINKS, Messages

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
import radio  # noqa: E402

ROOT = Path(mcmcodec.__file__).parents[1]
NO_FIRST = "the first message is missing, and nothing can be read without it; get it once more"
NO_FILE = "the messages hold no .mcm file that this version can read; get them once more, or update mcmcodec"
NO_TWO = "no two messages belong together; get more of them; damaged ones look like other senders'"
NO_MESSAGE = "a text without a whole message in it; copy it again, from hyphen to hyphen"


@pytest.fixture
def photo(here: Path) -> bytes:
    """A file of 400 bytes of payload, as photo.mcm; its header says 512 x 384."""
    data = radio.some_file(random.Random(1), 400)
    Path("photo.mcm").write_bytes(data)
    return data


def lines(data: bytes, alphabet: str = "base91", size: int = 160, redundancy: float = 0.0) -> list[str]:
    """The messages of a file as text."""
    return [armor(one, alphabet) for one in split(*stripped.strip(data), size, redundancy)]


def test_a_folder_of_messages_there_and_back(codec: Command, photo: bytes) -> None:
    done = codec("split", "--for", "meshtastic", "--redundancy", "50%", "photo.mcm")
    assert (done.code, done.out) == (0, b"")
    assert done.err == "photo.mcm -> photo.messages: 5 messages of up to 176 characters, any 3 of them enough\n"
    assert sorted(os.listdir("photo.messages")) == [f"00{number}.txt" for number in range(1, 6)]
    Path("photo.mcm").unlink()
    Path("photo.messages/001.txt").unlink()
    Path("photo.messages/003.txt").unlink()
    done = codec("join", "photo.messages")
    assert done.code == 0 and done.err.startswith("1 image, ")
    assert Path("photo.mcm").read_bytes() == photo


@pytest.mark.parametrize("link", [*LINKS])
def test_presets_fit_their_links(codec: Command, photo: bytes, link: str) -> None:
    done = codec("split", "--for", link, "photo.mcm", "-o", "-")
    text = done.out.decode().splitlines()
    assert done.code == 0 and max(map(len, text)) <= LINKS[link].size
    assert codec("join", "-", stdin=done.out).out == photo
    for count in (1, 2, 5):
        # the largest file that is promised to fit does, and no larger one
        for more, expected in ((0, count), (1, count + 1)):
            data = radio.some_file(random.Random(2), 0)
            data = radio.some_file(random.Random(2), Messages(link, count).largest_file() + more - len(data))
            Path("sized.mcm").write_bytes(data)
            done = codec("split", "--for", link, "sized.mcm", "-o", "-")
            assert len(done.out.splitlines()) == expected


def test_binary_messages(codec: Command, photo: bytes) -> None:
    assert codec("split", "--size", "100", "photo.mcm").code == 0
    files = sorted(Path("photo.messages").iterdir())
    assert [path.name for path in files] == [f"00{number}.msg" for number in range(1, 6)]
    assert max(path.stat().st_size for path in files) <= 100
    assert codec("join", *reversed(files), "-o", "again.mcm").code == 0
    assert Path("again.mcm").read_bytes() == photo


def test_pipes(codec: Command, photo: bytes) -> None:
    frames = codec("split", "--size", "100", "-", stdin=photo)
    assert frames.code == 0 and frames.out.startswith(b"\xc0\0")
    assert codec("join", "-", stdin=b"noise\xc0" + frames.out).out == photo
    text = codec("split", "--size", "100", "--armor", "-", stdin=photo).out
    assert max(map(len, text.splitlines())) <= 100 and text.startswith(b"9-")
    shuffled = sorted(text.splitlines(), key=lambda line: line[-3:])
    assert codec("join", "-", stdin=b"\n".join(b"<bob> " + line + b" - ok" for line in shuffled)).out == photo
    assert codec("split", "--size", "99", "--alphabet", "base32", "-", stdin=photo).out.startswith(b"3-")


def test_files_of_many_messages(codec: Command, photo: bytes) -> None:
    for name, options in (("a.txt", ["--armor"]), ("a.kiss", [])):
        assert codec("split", "--size", "150", *options, "photo.mcm", "-o", name).code == 0
        assert codec("join", name, "-f").code == 0
        assert Path("a.mcm").read_bytes() == photo


def test_folders(codec: Command, here: Path) -> None:
    data = {}
    for number, name in enumerate(("one", "sub/two")):
        path = here / "packed" / f"{name}.mcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        data[name] = radio.some_file(random.Random(number), 300)
        path.write_bytes(data[name])
    done = codec("split", "-r", "--for", "sms", "packed", "-o", "out")
    assert (done.code, done.err) == (0, "2 files, 6 messages\n")
    assert codec("split", "-r", "--for", "sms", "packed", "-o", "out", "-v", "-f").err.count(" messages of up to ") == 2
    assert codec("split", "-r", "--for", "sms", "packed", "-o", "out", "--quiet", "-f").err == ""
    assert (here / "out" / "sub" / "two.messages" / "001.txt").is_file()
    done = codec("join", "-r", "out", "-o", "joined" + os.sep, "-v")
    assert done.code == 0 and done.err.endswith("\n") and "2 images" in done.err
    assert {path.read_bytes() for path in (here / "joined").iterdir()} == set(data.values())


def test_several_pictures(codec: Command, here: Path) -> None:
    files = [radio.some_file(random.Random(number), 300) for number in range(3)]
    names = [f"{stripped.strip(one)[1]:04x}" for one in files]
    text = [*lines(files[0]), *lines(files[1])[1:], *lines(files[2])[:1]]
    Path("log.txt").write_text("\n".join(text))
    done = codec("join", "log.txt")
    assert done.code == 0 and Path("log.mcm").read_bytes() == files[0]
    assert done.err.startswith(f"also there: {names[1]}, 2 of 3 messages that are needed have arrived\n") is (
        len(lines(files[1])) == 3
    )
    text += lines(files[1])
    Path("log.txt").write_text("\n".join(text))
    done = codec("join", "log.txt", "-o", "one.mcm")
    assert done.code == 2
    assert done.err.startswith("codec: 2 pictures are there: ") and done.err.endswith(
        "; choose with --stream, or give a folder with -o\n"
    )
    assert codec("join", "log.txt").code == 0
    assert [Path(f"{name}.mcm").read_bytes() for name in names[:2]] == files[:2]
    assert codec("join", "log.txt", "--stream", names[1].upper(), "-o", "one.mcm").code == 0
    assert Path("one.mcm").read_bytes() == files[1]
    done = codec("join", "-", stdin=Path("log.txt").read_bytes())
    assert done.code == 2 and "2 pictures are there" in done.err


def test_the_beginning_only_when_asked_for(codec: Command, photo: bytes) -> None:
    text = lines(photo)
    name = f"{stripped.strip(photo)[1]:04x}"
    Path("log.txt").write_text("\n".join(text[:2]))
    done = codec("join", "log.txt")
    assert (done.code, done.err) == (
        1, f"codec: {name}: 2 of 3 messages that are needed have arrived; get more of them, or give --allow-truncated "
        "for what the first ones say\n",
    )  # fmt: skip
    assert not Path("log.mcm").exists()
    done = codec("join", "--allow-truncated", "log.txt")
    assert done.code == 0
    assert "codec: log.txt: warning: only its beginning: 2 of 3 messages that are needed have arrived\n" in done.err
    beginning = Path("log.mcm").read_bytes()
    assert len(beginning) > 270 and photo.startswith(beginning[:-3]) and beginning.endswith(bytes(3))
    Path("log.txt").write_text("\n".join(text[1:]))
    done = codec("join", "--allow-truncated", "-f", "log.txt")
    assert (done.code, done.err) == (
        1,
        f"codec: {NO_FIRST}\n",
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no messages in it; copy texts whole, from the digit in front of the first hyphen to the last hyphen"),
        (
            "6-AABxl20gYWdhaW4-",
            NO_FILE,
        ),
        (
            "6-AgBxl20gYWdhaW4-",
            NO_TWO,
        ),
        ("hello, hello", NO_TWO),
    ],
)
def test_texts_without_a_picture(codec: Command, here: Path, text: str, error: str) -> None:
    Path("log.txt").write_text(text)
    done = codec("join", "log.txt")
    assert (done.code, done.out) == (1, b"") and done.err == f"codec: {error}\n"


def test_a_damaged_message_is_one_that_is_missing(codec: Command, photo: bytes) -> None:
    text = lines(photo, redundancy=0.3)
    text[0] = text[0].replace(text[0][20], "A" if text[0][20] != "A" else "B", 1)
    Path("log.txt").write_text("\n".join(text))
    assert codec("join", "log.txt").code == 0
    assert Path("log.mcm").read_bytes() == photo
    Path("log.txt").write_text("\n".join(text[:3]))
    done = codec("join", "log.txt", "-f")
    assert done.code == 1 and "2 of 3 messages that are needed have arrived" in done.err


def test_programs_are_told_in_json(codec: Command, photo: bytes) -> None:
    done = codec("split", "--json", "--for", "meshtastic", "--redundancy", "30%", "photo.mcm")
    assert json.loads(done.out) == {
        "source": "photo.mcm", "target": "photo.messages", "status": "ok", "stream": f"{stripped.strip(photo)[1]:04x}",
        "needed": 3, "messages": 4, "bytes_in": len(photo), "bytes_out": 707, "largest": 176, "unit": "characters",
    }  # fmt: skip
    row = json.loads(codec("join", "--json", "photo.messages", "-o", "again.mcm").out)
    assert {key: row[key] for key in ("source", "target", "status", "arrived", "needed", "bytes_out", "width")} == {
        "source": "photo.messages", "target": "again.mcm", "status": "ok", "arrived": 4, "needed": 3,
        "bytes_out": len(photo), "width": 512,
    }  # fmt: skip
    done = codec("join", "--json", "photo.messages/001.txt", "-o", "x.mcm")
    assert done.code == 1 and json.loads(done.out)["status"] == "failed"
    assert codec("split", "--json", "--for", "sms", "photo.mcm", "-o", "-").code == 2


def test_existing_outputs(codec: Command, photo: bytes) -> None:
    assert codec("split", "--size", "50", "photo.mcm").code == 0
    count = len(os.listdir("photo.messages"))
    Path("photo.messages/notes.txt").write_text("mine")
    done = codec("split", "--size", "200", "photo.mcm")
    assert (done.code, done.err) == (
        1, "codec: photo.mcm: photo.messages exists; give -f to overwrite it or --skip-existing\n",
    )  # fmt: skip
    assert codec("split", "--size", "200", "--skip-existing", "photo.mcm").code == 3
    assert len(os.listdir("photo.messages")) == count + 1
    assert codec("split", "--size", "200", "--force", "photo.mcm").code == 0
    # a smaller set does not leave messages of a larger one behind, nor take what is not its own
    assert sorted(os.listdir("photo.messages")) == ["001.msg", "002.msg", "003.msg", "notes.txt"]
    done = codec("join", "photo.messages")
    assert done.code == 1 and "photo.mcm exists" in done.err
    assert codec("join", "photo.messages", "--skip-existing").code == 3


def test_dry_runs_write_nothing(codec: Command, photo: bytes) -> None:
    done = codec("split", "-n", "--for", "sms", "photo.mcm")
    assert (done.code, done.out) == (0, b"photo.mcm -> photo.messages\n")
    assert os.listdir(".") == ["photo.mcm"]
    codec("split", "--for", "sms", "photo.mcm")
    done = codec("split", "-n", "--for", "sms", "photo.mcm")
    assert done.out.startswith(b"photo.mcm -> photo.messages (refused: photo.messages exists")
    done = codec("join", "-n", "photo.messages", "-o", "other.mcm")
    assert (done.code, done.out) == (0, b"photo.messages -> other.mcm\n")
    assert not Path("other.mcm").exists()


def test_one_bad_file_does_not_cost_the_others(codec: Command, photo: bytes) -> None:
    Path("bad.mcm").write_bytes(photo[:-1])
    Path("large.mcm").write_bytes(radio.some_file(random.Random(0), 20_000))
    done = codec("split", "--for", "sms", "bad.mcm", "large.mcm", "photo.mcm", "-o", "out")
    assert done.code == 1 and os.path.isdir("out/photo.messages") and os.listdir("out") == ["photo.messages"]
    assert [line.split(";")[0] for line in done.err.splitlines()][:2] == [
        "codec: bad.mcm: checksum is wrong: the file is damaged, or its model's weights are not these",
        "codec: large.mcm: 20008 bytes do not fit into 128 messages of 117 bytes",
    ]
    assert done.err.splitlines()[2:] == ["1 file, 4 messages, 2 failed"]
    done = codec("join", "nosuch.txt", "out/photo.messages", "-o", "x.mcm")
    assert done.code == 1 and Path("x.mcm").read_bytes() == photo


def test_large_inputs_are_refused(codec: Command, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    import mcmcodec.cli.join as module

    monkeypatch.setattr(module, "MAX_INPUT", 1000)
    Path("log.txt").write_text("\n".join(lines(photo)))
    Path("large.txt").write_text("x" * 1001)
    done = codec("join", "large.txt", "log.txt", "-o", "x.mcm")
    assert done.code == 1 and done.err.splitlines()[0] == (
        "codec: large.txt: larger than 1000 bytes; give the part with the messages in it"
    )
    assert Path("x.mcm").read_bytes() == photo


@pytest.mark.parametrize("options", [("--armor",), ()])
def test_only_text_goes_to_a_terminal(
    codec: Command, photo: bytes, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert codec("split", "--size", "150", *options, "photo.mcm", "-o", "-").code == (0 if options else 2)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["split", "photo.mcm"], "nothing says how much a message may hold; give --size, or --for meshtastic, "),
        (["split", "--size", "4", "photo.mcm"], "messages of 4 bytes hold nothing but their 4 bytes of overhead"),
        (["split", "--for", "pigeon", "photo.mcm"], "Invalid value for '--for': 'pigeon' is not one of"),
        (["split", "--size", "0", "photo.mcm"], "Invalid value for '--size': 0 is not in the range"),
        (["split", "--redundancy", "901%", "--size", "99", "photo.mcm"], "Invalid value for '--redundancy': '901%' is"),
        (["split", "--redundancy", "-3", "--size", "99", "photo.mcm"], "Invalid value for '--redundancy': '-3' is"),
        (["split", "--size", "9", "a.mcm", "b.mcm", "-o", "-"], "2 inputs cannot go to one stdout"),
        (["join", "--stream", "xyz", "photo.mcm"], "Invalid value for '--stream': 'xyz' is not four hexadecimal"),
        (["encode", "--for", "sms:0", "photo.mcm"], "Invalid value for '--for': 'sms:0' is not a link (meshtastic, "),
        (["encode", "--for", "sms:129", "photo.mcm"], "Invalid value for '--for': 'sms:129' is not a link"),
        (["encode", "--for", "sms", "--max-bytes", "100", "photo.mcm"], "--max-bytes and --for both set the rate"),
    ],
)
def test_wrong_usage(codec: Command, photo: bytes, arguments: list[str], error: str) -> None:
    done = codec(*arguments)
    assert done.code == 2 and done.err.startswith(f"codec: {error}") and done.err.count("\n") == 1


def test_joining_needs_neither_torch_nor_weights_to_be_read(codec: Command, photo: bytes) -> None:
    import subprocess

    codec("split", "--for", "sms", "photo.mcm", "-o", "log.txt")
    program = (
        "import sys\n"
        "from mcmcodec.cli.main import main\n"
        "try:\n    main(['join', 'log.txt', '-o', 'x.mcm'])\n"
        "finally:\n    print([name for name in ('torch', 'cv2', 'PIL', 'reedsolo') if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.fixture
def real(run_codec: Command, tiny: Path) -> Command:
    """Run ``codec ARGUMENTS`` in this process, with a tiny model."""
    return run_codec


def test_pictures_to_text_and_back(real: Command, here: Path, picture: Callable[..., Path]) -> None:
    picture("photo.png", 64, 48)
    assert real("encode", "--model", "tiny", "photo.png").code == 0
    assert real("encode", "--model", "tiny", "--armor", "photo.png").code == 0
    text = Path("photo.txt").read_text()
    assert text.startswith("9-") and text.endswith("-\n") and text.count("\n") == 1
    assert real("encode", "--model", "tiny", "--armor", "--for", "sms", "photo.png", "-o", "-").out.startswith(b"6-")
    assert real("join", "photo.txt", "-o", "joined.mcm").code == 0
    assert Path("joined.mcm").read_bytes() == Path("photo.mcm").read_bytes()
    Path("chat.txt").write_text(f"bob: {text[:30]}\n{text[30:]} nice, isn't it?")
    for source, target in (("photo.mcm", "a.png"), ("chat.txt", "b.png")):
        assert real("decode", source, "-o", target).code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert real("decode", "-", stdin=text.encode()).out == Path("a.png").read_bytes()
    Path("cut.txt").write_text(text[:30])
    done = real("decode", "cut.txt")
    assert done.code == 1
    assert done.err.startswith(f"codec: cut.txt: {NO_MESSAGE}\n")


def test_decoding_what_arrived(real: Command, here: Path, picture: Callable[..., Path]) -> None:
    picture("photo.png", 64, 48)
    real("encode", "--model", "tiny", "-q", "90", "photo.png")
    assert real("split", "--size", "24", "--armor", "photo.mcm", "-o", "log.txt").code == 0
    text = Path("log.txt").read_text().splitlines()
    assert len(text) > 3
    Path("part.txt").write_text("\n".join(text[:-1]))
    done = real("decode", "part.txt")
    assert done.code == 1 and f"{len(text) - 1} of {len(text)} messages that are needed have arrived" in done.err
    assert real("decode", "--allow-truncated", "part.txt", "-o", "part.png").code == 0
    assert real("join", "--allow-truncated", "part.txt").code == 0
    assert real("decode", "--allow-truncated", "part.mcm", "-o", "same.png").code == 0
    assert Path("part.png").read_bytes() == Path("same.png").read_bytes()


def test_the_best_picture_for_a_message(real: Command, here: Path, picture: Callable[..., Path]) -> None:
    picture("photo.png", 320, 240)
    for link, count in (("aprs", 1), ("meshtastic:2", 2)):
        assert real("encode", "--model", "tiny", "-f", "--for", link, "photo.png").code == 0
        assert real("split", "--for", link.partition(":")[0], "-f", "photo.mcm").code == 0
        assert len(os.listdir("photo.messages")) <= count
