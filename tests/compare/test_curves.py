"""Do pictures and terminal show the curves that the runs have?"""

import io

import pytest
from PIL import Image
from rich.console import Console

from lightning_cv.compare.comparison import compare
from lightning_cv.compare.folder import read_folder
from lightning_cv.compare.picture import draw
from lightning_cv.compare.series import lines_of
from lightning_cv.compare.terminal import print_curves
from lightning_cv.errors import UserError
from tests.compare.maker import event, history, make_run, recipe

SCORES = ([0.5, 0.6, 0.7], [0.7, 0.8, 0.9])


def seeds(*scores, **options):
    runs = [
        make_run(f"runs/digits/s{n}", history(values), recipe(seed_everything=n)) for n, values in enumerate(scores)
    ]
    return compare([read_folder(path) for path in runs], **options)


def test_seeds_are_one_line_with_mean_and_spread():
    """Oracle: means and standard deviations (0.1 * sqrt 2) by hand."""
    (line,) = lines_of(seeds(*SCORES), "val/accuracy", "step")
    assert line.label == "digits (2 seeds)"
    assert line.x == (10, 20, 30)
    assert line.mean == pytest.approx((0.6, 0.7, 0.8))
    assert line.spread == pytest.approx((0.1 * 2**0.5,) * 3)
    assert [values for _, values in line.members] == [tuple(values) for values in SCORES]


@pytest.mark.parametrize(("axis", "x"), [("step", 20), ("epoch", 1), ("samples", 1280), ("time", 2.0)])
def test_curves_are_drawn_over_any_axis(axis, x):
    (line,) = lines_of(seeds(SCORES[0]), "val/accuracy", axis)
    assert line.x[1] == x
    assert (line.mean, line.spread) == ((0.5, 0.6, 0.7), None)


def test_seeds_are_matched_by_step_on_the_axis_of_time():
    """The second seed is twice as slow: their mean stands at one and a half of the first one's time."""
    slow = [{**line, "time_s": 2 * line["time_s"]} for line in history(SCORES[1])]
    paths = make_run("a", history(SCORES[0])), make_run("b", slow, recipe(seed_everything=1))
    (line,) = lines_of(compare([read_folder(path) for path in paths]), "val/accuracy", "time")
    assert line.x == pytest.approx((1.5, 3.0, 4.5))
    assert line.mean == pytest.approx((0.6, 0.7, 0.8))


def test_a_mean_ends_where_one_of_its_seeds_ends_and_leaves_out_what_is_not_finite():
    (line,) = lines_of(seeds([0.5, 0.6], [0.7, 0.8, 0.9]), "val/accuracy", "step")
    assert line.x == (10, 20)
    (line,) = lines_of(seeds([0.7, 0.8, 0.9], [0.5, 0.6]), "val/accuracy", "step")
    assert line.x == (10, 20)
    with_nan = [
        *history([0.5]),
        event("validation", 20, {"val/accuracy": "NaN"}),
        event("validation", 30, {"val/accuracy": 0.9}),
    ]
    (line,) = lines_of(compare([read_folder(make_run("n", with_nan))]), "val/accuracy", "step")
    assert line.x == (10, 30)


def test_an_axis_that_no_run_knows_is_refused():
    events = [event("validation", 1, {"val/accuracy": 0.5})]
    del events[0]["samples_seen"]
    found = compare([read_folder(make_run("a", events))])
    with pytest.raises(UserError, match="--x samples: val/accuracy has no finite value"):
        lines_of(found, "val/accuracy", "samples")


def test_the_picture_has_a_panel_for_each_metric_and_shows_the_lines(tmp_path):
    """Oracle: the picture's pixels; a second panel makes it higher, and the first line's blue is in it."""
    draw(seeds(*SCORES), tmp_path / "one.png", "step")
    draw(seeds(*SCORES, metrics=["val/accuracy", "train/loss"]), tmp_path / "new" / "two.png", "step")
    one, two = Image.open(tmp_path / "one.png").convert("RGB"), Image.open(tmp_path / "new" / "two.png")
    assert two.height > 1.5 * one.height
    assert _count(one, (31, 119, 180)) > 500


def test_the_spread_over_seeds_is_a_band_and_a_single_run_has_none(tmp_path):
    """Oracle: the pixels that are about a fifth blue on white."""
    draw(seeds(*SCORES), tmp_path / "seeds.png", "step")
    draw(seeds(SCORES[0]), tmp_path / "one.png", "step")
    several, one = (Image.open(tmp_path / name).convert("RGB") for name in ("seeds.png", "one.png"))
    pale, single = (
        sum(count for count, (red, _, blue) in picture.getcolors(1 << 24) if 195 < red < 225 and blue > red + 20)
        for picture in (several, one)
    )
    assert pale > 5 * single + 5000


def _count(picture, color):
    return sum(count for count, found in picture.getcolors(1 << 24) if found == color)


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_vector_pictures_are_written_too(tmp_path, suffix):
    draw(seeds(*SCORES), tmp_path / f"curves{suffix}", "step")
    assert (tmp_path / f"curves{suffix}").read_bytes()[:5] in (b"<?xml", b"%PDF-")


def test_a_picture_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path / "a.gif", r"ends in \.png, \.svg, \.pdf"),
        (tmp_path / "file" / "a.png", "cannot be written"),
    ):
        with pytest.raises(UserError, match=said):
            draw(seeds(*SCORES), path, "step")
    with pytest.raises(UserError, match="no run has a curve"):
        draw(compare([read_folder(make_run("empty", []))]), tmp_path / "a.png", "step")


def shown(comparison, *, colors=None, width=80, axis="step"):
    stream = io.StringIO()
    print_curves(
        Console(file=stream, width=width, color_system=colors, force_terminal=colors is not None), comparison, axis
    )
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_shows_the_ends_of_both_axes_and_no_line_is_too_wide(width):
    text = shown(seeds(SCORES[0]), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "val/accuracy ↑ over step" in text
    assert "\x1b" not in text
    numbers = [line.split("|")[0].strip() for line in text.splitlines() if "|" in line]
    # A fiftieth of the range is left free at either end.
    assert 0.68 < float(numbers[0]) < 0.71
    assert 0.49 < float(numbers[-3]) < 0.51


def test_a_rising_curve_rises():
    """Oracle: the letter of the line; its first mark is lower and further left than its last."""
    text = shown(seeds([n / 20 for n in range(20)]))
    marks = [(row, line.index("a")) for row, line in enumerate(text.splitlines()) if "| " in line and "a" in line]
    assert len(marks) > 4
    assert marks == sorted(marks, key=lambda mark: -mark[1])


def test_lines_are_told_apart_by_letters_or_where_there_are_colours_by_these():
    changed = recipe(trainer__max_epochs=9)
    found = compare(
        [read_folder(make_run("a", history([0.1] * 9))), read_folder(make_run("b", history([0.9] * 9), changed))]
    )
    plain = shown(found)
    assert "a  max_epochs=3" in plain
    assert "b  max_epochs=9" in plain
    assert any(line.count("b") > 4 for line in plain.splitlines()[:8])
    colored = shown(found, colors="standard")
    assert "\x1b[34m" in colored
    assert "\x1b[31m" in colored


def test_a_constant_curve_and_a_single_point_are_drawn():
    assert "0.5" in shown(seeds([0.5, 0.5]))
    assert "0.5" in shown(seeds([0.5]))
    assert shown(compare([read_folder(make_run("empty", []))])) == ""
