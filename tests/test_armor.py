"""Text: published vectors of the alphabets, room that is never exceeded, and messages found among words."""

import json
import re
import textwrap
import time
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmcodec.bitstream.armor import ALPHABETS, FRAME, armor, begins_in, find, read_text, room
from mcmcodec.bitstream.envelope import unwrap

ALL = [*ALPHABETS]
RFC64 = ("", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy")
RFC32 = ("", "MY", "MZXQ", "MZXW6", "MZXW6YQ", "MZXW6YTB", "MZXW6YTBOI")
MESSAGE = bytes(range(7, 250, 3)) + b"\xff\0\xff"
GSM = (
    "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""Characters of one unit in an SMS (3GPP TS 23.038, 6.2.1)."""


@pytest.mark.parametrize(
    ("alphabet", "plain", "body"),
    [
        # of implementations of basE91 in several languages, the author's among them
        ("base91", b"", ""),
        ("base91", b"test", "fPNKd"),
        ("base91", b"vest", "hPNKd"),
        ("base91", b"Hello Worl", ">OwJh>Io0Tv!B"),
        ("base91", b"Hello World", ">OwJh>Io0Tv!lE"),
        ("base91", b"Hello World!", ">OwJh>Io0Tv!8PE"),
        ("base91", b"Never odd or even\n", "_O^gp@J`7RztjblLA#_1eHA"),
        ("base91", b"May a moody baby doom a yam?\n", "8D9Kc)=/2$WzeFui#G9Km+<{VT2u9MZil}[A"),
        # RFC 4648, section 10
        *(("base64", b"foobar"[:n], body) for n, body in enumerate(RFC64)),
        *(("base32", b"foobar"[:n], body) for n, body in enumerate(RFC32)),
    ],
)  # fmt: skip
def test_published_vectors(alphabet: str, plain: bytes, body: str) -> None:
    assert ALPHABETS[alphabet].encode(plain) == body
    assert ALPHABETS[alphabet].decode(body) == plain


@pytest.mark.parametrize("alphabet", ALL)
@given(st.binary(min_size=1, max_size=300))
def test_round_trip(alphabet: str, data: bytes) -> None:
    text = armor(data, alphabet)
    assert list(find(text)) == [data]
    assert text.isascii() and text.isprintable() and not set(" '\\") & set(text) and text.count("-") == 2


@pytest.mark.parametrize("alphabet", ALL)
@settings(max_examples=200)
@given(st.integers(0, 400), st.data())
def test_room_is_never_exceeded(alphabet: str, characters: int, data: st.DataObject) -> None:
    length = room(characters, alphabet)
    payloads = [bytes(length), b"\xff" * length, b"Y" * length, data.draw(st.binary(min_size=length, max_size=length))]
    assert max(len(armor(one, alphabet)) for one in payloads) <= max(characters, FRAME)
    worst = {"base91": b"\xff"}.get(alphabet, b"\0") * (length + 1)
    assert len(armor(worst, alphabet)) > characters


def test_characters_a_byte() -> None:
    assert [room(200, alphabet) for alphabet in ALL] == [160, 147, 123]
    assert [room(count, "base64") for count in (67, 160)] == [48, 117]
    assert room(0, "base91") == room(3, "base64") == 0


def test_what_links_of_text_forbid() -> None:
    def characters(alphabet: str) -> set[str]:
        return set(armor(bytes(range(256)) * 40, alphabet))

    assert characters("base64") <= set(GSM) and characters("base32") <= set(GSM)
    assert not characters("base64") & set("{|~") and not characters("base32") & set("{|~")
    assert characters("base91") - set(GSM) == set("[]^`{|}~")


@pytest.mark.parametrize("alphabet", ALL)
@pytest.mark.parametrize(
    "habit",
    [
        "{}",
        "{}\n",
        "alice: {} see you - bob",
        "[2026-11-26 12:03:59] <alice> {}",
        "2026-11-26 6-9 pm, 3-4 bft: {}. 73!",
        '"{}"',
        "“{}”",
        "«{}»",
        "*{}*",
        "`{}`",
        "({})",
        "> {}",
        "9-cut short {}",
        "9-cut short\n{}\n6-",
        "\ufeff{}\u200b",
        "{0}\r\n{0}",
    ],
)
def test_habits_of_chats(alphabet: str, habit: str) -> None:
    text = habit.format(armor(MESSAGE, alphabet))
    assert MESSAGE in list(find(text))
    assert begins_in(text)


@pytest.mark.parametrize("alphabet", ALL)
@pytest.mark.parametrize("width", [20, 61, 72])
@pytest.mark.parametrize("quote", ["", "> ", ">> ", "> > ", "    "])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n", " \n"])
def test_habits_of_mail(alphabet: str, width: int, quote: str, ending: str) -> None:
    lines = textwrap.wrap(armor(MESSAGE, alphabet), width, break_on_hyphens=False)
    assert MESSAGE in list(find("Hello,\n" + ending.join(quote + line for line in lines) + "\nbye"))


@pytest.mark.parametrize("alphabet", ALL)
@pytest.mark.parametrize("encoding", ["quoted-printable", "7bit", "base64"])
def test_the_source_of_mail(alphabet: str, encoding: str) -> None:
    mail = EmailMessage()
    text = armor(MESSAGE, alphabet)
    body = f"Hello,\n\n{text[:60]}\n{text[60:]}\n\nÀ bientôt" if encoding != "7bit" else f"Hello,\n{text}\nbye"
    mail.set_content(body, cte=encoding)
    assert (MESSAGE in list(find(mail.as_string()))) is (encoding != "base64")


@pytest.mark.parametrize("quote", ["", "> "])
def test_lines_that_begin_with_a_quotation_mark_of_their_own(quote: str) -> None:
    # basE91 of these bytes is all ">"
    message = bytes(ALPHABETS["base91"].decode(">" * 60))
    text = armor(message, "base91")
    lines = [text[at : at + 20] for at in range(0, len(text), 20)]
    assert message in list(find("\n".join(quote + line for line in lines)))


def test_the_first_line_alone_may_be_unquoted() -> None:
    text = armor(MESSAGE, "base91")
    assert MESSAGE in list(find(f"bob wrote: {text[:40]}\n> {text[40:80]}\n> {text[80:]}"))


def test_typography_is_undone() -> None:
    message = ALPHABETS["base91"].decode('A"B"C"D"E"F"')
    text = armor(message, "base91")
    assert list(find(text.replace("-", "–").replace('"', "”"))) == [message]
    assert list(find(text.replace("-", "\u2011").replace('"', "“"))) == [message]


@pytest.mark.parametrize("alphabet", ALL)
def test_logs_of_programs(alphabet: str) -> None:
    text = armor(MESSAGE, alphabet)
    row = json.dumps({"type": "text", "payload": {"text": f"from bob:\n{text[:50]}\r\n{text[50:]}\t"}})
    assert MESSAGE in list(find(row))
    assert MESSAGE in list(find(row.replace("<", "\\u003c").replace(">", "\\u003E").replace("/", "\\/")))
    assert MESSAGE in list(find(repr({"decoded": {"text": text}})))
    assert MESSAGE in list(find(re.sub(r"([*_`~\[\]|])", r"\\\1", text)))


def test_case_may_be_folded() -> None:
    text = armor(MESSAGE, "base32")
    assert list(find(text.lower())) == [MESSAGE]
    assert list(find(text.replace("O", "0").replace("I", "1"))) == [MESSAGE]


@pytest.mark.parametrize(
    "text",
    ["", "9-", "9--", "hello", "6-9 pm", "9-ä-", "6-AB!D-", "6-A-", "3-1a89-", "3-A-", "9-a'b-", "well-known 7-up-"],
)
def test_no_messages(text: str) -> None:
    assert list(find(text)) == []


def test_texts_of_other_encodings() -> None:
    text = armor(MESSAGE, "base64")
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read_text(text.encode(encoding)) == text
    assert read_text(b"\xff\xfe\x00") is None
    assert read_text(b"9-\x80-") is None
    assert read_text(b"9-A\0-") is None
    assert not begins_in("no text of ours")


def test_data_that_is_no_text_stays_as_it_is() -> None:
    for data in (b"", b"\x8aMC and 9-more-", b"\x89PNG", b"hello", bytes(100)):
        assert unwrap(data) is data


@settings(deadline=None)
@given(st.text(alphabet="9630aZ-> \n\"'–\u200b", max_size=200))
def test_any_text_can_be_looked_through(text: str) -> None:
    assert all(isinstance(found, bytes) for found in find(text))


@pytest.mark.parametrize(
    "text",
    ["9-a-" * 200_000, "9-" + "a\n>" * 200_000 + "-", "9-" * 400_000, "> " * 400_000 + "9-a-", "\n" * 400_000 + "9-a-"],
)
def test_hostile_texts_take_no_time(text: str) -> None:
    start = time.process_time()
    for _ in find(text):
        pass
    assert time.process_time() - start < 10
