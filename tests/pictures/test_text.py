"""Texts of any length and script in little room."""

import pytest
from PIL import ImageFont

from lightning_cv.pictures import readable_names
from lightning_cv.pictures.text import fit, fit_end, font, readable, shorten, shorten_all

NAMES = [
    "cat",
    "Great spotted woodpecker (Dendrocopos major), juvenile male",
    "n0211" + "x" * 4000,
    ("a b " * 30).strip(),
]


def width(text: str) -> float:
    return font(13).getlength(text)


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("num_lines", [1, 2, 3])
@pytest.mark.parametrize("width_px", [60, 176])
def test_lines_fit_and_show_the_beginning_and_the_end(text, num_lines, width_px):
    """No line is wider than the room; what is left out is in the middle, and only where it must be."""
    lines = fit(text, width_px, size_px=13, num_lines=num_lines)
    assert len(lines) <= num_lines
    assert all(width(line) <= width_px for line in lines)
    joined = "".join(lines).replace(" ", "")
    whole = text.replace(" ", "")
    assert joined[:2] == whole[:2]
    assert joined[-1] == whole[-1]
    assert ("…" in joined) == (joined != whole)
    assert ("…" in joined) or width(text) <= num_lines * width_px
    if width(text) <= width_px:
        assert lines == [text]


def test_the_end_is_never_left_out():
    assert fit("x" * 400, 100, size_px=13, num_lines=2, end=" (99%)")[-1].endswith("x (99%)")
    assert fit("cat", 100, size_px=13, num_lines=2, end=" (99%)") == ["cat (99%)"]
    assert fit("cat, cat, cat,", 100, size_px=13, num_lines=2, end=" (99%)") == ["cat, cat, cat,", "(99%)"]
    assert all(width(line) <= 100 for line in fit("cat, " * 9, 100, size_px=13, num_lines=2, end=" (99%)"))


def test_lines_end_behind_words():
    assert fit("one_two_three_four", 80, size_px=13, num_lines=2) == ["one_two_", "three_four"]


def test_of_a_long_path_the_end_is_kept():
    """The file's name tells images apart; as much of the folders as there is room for."""
    path = "/home/a/very/long/way/to/images/n02119789/ILSVRC2012_val_00000293.JPEG"
    line = fit_end(path, 176, size_px=11)
    assert line.startswith("…")
    assert path.endswith(line[1:])
    assert font(11).getlength(line) <= 176 < font(11).getlength("…" + path[-len(line) - 1 :])
    assert fit_end("short.png", 176, size_px=11) == "short.png"


def test_names_that_the_font_cannot_write_become_numbers():
    """Chinese is not in the font; Greek, Cyrillic and umlauts are; a name is one line."""
    assert readable_names(["猫", "Käfer", "жук", "λ", "two\nlines", ""]) == [
        "class 0",
        "Käfer",
        "жук",
        "λ",
        "two lines",
        "class 5",
    ]
    assert readable("dog 犬\x07.png") == "dog ??.png"
    assert readable("dog\u202egnp") == "dog?gnp"  # would turn the direction of what follows


def test_names_that_would_read_the_same_get_their_number():
    """Three long names differ only in the middle, which is left out: the number tells them apart."""
    names = [f"a long name of number {number} which goes on" for number in range(3)]
    short = shorten_all([*names, "cat"], 16)
    assert len(set(short)) == 4
    assert [line[:3] for line in short] == ["0: ", "1: ", "2: ", "cat"]
    assert all(len(line) <= 16 for line in short)
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert shorten("abcde", 5) == "abcde"


def test_the_font_is_the_one_that_matplotlib_brings_along():
    assert isinstance(font(13), ImageFont.FreeTypeFont)
    assert font(13).getname() == ("DejaVu Sans", "Book")
