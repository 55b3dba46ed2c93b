"""Do the pictures show the trials that there are, on axes that people can read, and nothing where there is nothing?"""

import itertools
import math

import numpy as np
import pytest
from PIL import Image

from lightning_cv.errors import UserError
from lightning_cv.recipe.space import Range
from lightning_cv.sweep.definition.spec import Named
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.importance import importances
from lightning_cv.sweep.report.pictures import draw
from lightning_cv.sweep.report.pictures.bars import draw_importance
from lightning_cv.sweep.report.pictures.curves import draw_curves
from lightning_cv.sweep.report.pictures.front import draw_front
from lightning_cv.sweep.report.pictures.heatmap import draw_heatmap
from lightning_cv.sweep.report.pictures.history import draw_history
from lightning_cv.sweep.report.pictures.scale import mark_text, score_scale
from lightning_cv.sweep.report.pictures.slices import draw_slices
from tests.sweep.studies import (
    ACCURACY,
    BATCH,
    BATCHES,
    DECAY,
    DECAY_RANGE,
    LOSS,
    LR,
    LR_RANGE,
    NETWORK,
    NETWORKS,
    SIZE,
    WIDTH,
    WIDTH_RANGE,
    curve,
    draws,
    finished,
    good_lr,
    grid_study,
    make_sweep,
    mixed_study,
    random_study,
)


def several(number=24, objectives=(ACCURACY, SIZE), seed=0):
    """Trials of several objectives, the second of which falls as the first one rises, on the whole."""
    sweep = make_sweep(LR_RANGE, NETWORKS, WIDTH_RANGE, objectives=objectives, trials=number)
    noise = np.random.default_rng(seed).random((number, 3))
    trials = [
        finished(n, v, *(good_lr(v), 1e4 * (v.get(WIDTH, 2) + noise[n, 0]), 10 + 5 * noise[n, 1])[: len(objectives)])
        for n, v in enumerate(draws(sweep.space, number, seed))
    ]
    return StudyResults(sweep, tuple(trials))


def all_failed():
    trials = tuple(TrialResult(number=n, state="failed", values={LR: 0.1}, reason="no memory") for n in range(5))
    return StudyResults(make_sweep(LR_RANGE), trials)


def points(axes):
    """All points of scattered marks and of lines without a line, as (x, y)."""
    scattered = [tuple(p) for c in axes.collections if hasattr(c, "get_sizes") for p in c.get_offsets()]
    lines = [
        pair for line in axes.lines if line.get_linestyle() == "None" for pair in zip(*line.get_data(), strict=True)
    ]
    return scattered + lines


def line_of(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: random_study(16), {"history", "importance", "slices", "heatmap", "curves"}),
        (lambda: grid_study(3), {"history", "importance", "slices", "heatmap", "curves"}),
        (mixed_study, {"history", "importance", "slices", "heatmap", "curves"}),
        (several, {"history", "importance", "slices", "heatmap", "curves", "front"}),
        (lambda: random_study(2), {"history", "slices", "curves"}),
        (lambda: random_study(16, LR_RANGE), {"history", "slices", "curves"}),
        (lambda: random_study(1), {"curves"}),
        (all_failed, set()),
        (lambda: StudyResults(make_sweep(LR_RANGE), ()), set()),
    ],
)
def test_every_picture_that_has_something_to_show_is_written_and_no_other(make, names, tmp_path):
    """PIL opens each; none is blank: at least a hundredth of its pixels is not white, and several colours are."""
    written = draw(make(), tmp_path / "report" / "new")
    assert {path.stem for path in written} == names
    for path in written:
        picture = Image.open(path).convert("RGB")
        assert picture.width > 600
        assert picture.height > 150
        colors = picture.getcolors(1 << 24)
        white = sum(count for count, color in colors if color == (255, 255, 255))
        assert white < 0.99 * picture.width * picture.height
        assert len(colors) > 20
    assert sorted(p.name for p in (tmp_path / "report" / "new").glob("*")) == sorted(p.name for p in written)


def test_a_picture_has_the_size_of_its_figure_at_150_dots_per_inch(tmp_path):
    """8 by 4.2 inches are 1200 by 630 pixels."""
    draw(random_study(16), tmp_path)
    assert Image.open(tmp_path / "history.png").size == (1200, 630)


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    """Where a file is in the way."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/x/history\.png: cannot be written") as caught:
        draw(random_study(4), tmp_path / "file" / "x")
    assert "\n" not in str(caught.value)


def test_drawing_leaves_no_figure_open_and_no_setting_changed(tmp_path):
    """pyplot's state, which is shared by the whole process, is as it was."""
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    draw(random_study(12), tmp_path)
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_the_history_shows_each_state_and_the_best_so_far():
    """Every score stands at its trial's number; the step line is the running maximum."""
    results = mixed_study()
    (axes,) = draw_history(results).axes
    complete = [(t.number, t.scores[0]) for t in results.trials if t.state == "complete"]
    assert list(zip(*line_of(axes, "complete").get_data(), strict=True)) == complete
    assert list(zip(*line_of(axes, "pruned, at its end").get_data(), strict=True)) == [(1, 0.15), (2, 0.3)]
    assert list(line_of(axes, "failed").get_xdata()) == [0]
    marks = {line_of(axes, name).get_marker() for name in ("complete", "pruned, at its end", "failed")}
    assert len(marks) == 3
    best = list(itertools.accumulate((score for _, score in complete), max))
    assert list(line_of(axes, "best so far").get_ydata()) == [*best, best[-1]]


def test_the_best_so_far_of_a_loss_falls():
    """The running minimum."""
    results = random_study(12, score=lambda v: (math.log10(v[LR]) + 2) ** 2 + 0.1, objectives=(LOSS,))
    (axes,) = draw_history(results).axes
    scores = [trial.scores[0] for trial in results.trials]
    assert list(line_of(axes, "best so far").get_ydata())[:-1] == list(itertools.accumulate(scores, min))


def test_the_history_has_a_panel_for_each_objective():
    """Two objectives, two panels, each with all trials."""
    upper, lower = draw_history(several()).axes
    assert [len(points(axes)) for axes in (upper, lower)] == [24, 24]
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("val/accuracy ↑", "run/parameters ↓")


def test_trials_that_are_far_worse_are_arrows_at_the_edge_and_do_not_squash_the_others():
    """Of 20 losses around 0.5 two are a million: the axis ends near the others, with two arrows on it."""
    scores = iter([0.4 + n / 100 for n in range(18)] + [1e6, 2e6])
    results = random_study(20, score=lambda _: next(scores), objectives=(LOSS,))
    (axes,) = draw_history(results).axes
    assert axes.get_ylim()[1] < 0.7
    arrows = [line for line in axes.lines if line.get_marker() == "^"]
    assert [list(line.get_xdata()) for line in arrows] == [[18, 19]]
    assert all(axes.get_ylim()[0] < y < axes.get_ylim()[1] for _, y in points(axes))


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([1, 2, 3], "max", (1, 3, False)),
        ([*range(10, 20), 1000], "min", (10, 19, False)),  # upper quartile 17, fence 17 + 1.5 * 7 = 28
        ([*range(10, 20), 40], "min", (10, 40, False)),  # not twice as long
        ([-v for v in [*range(10, 20), 1000]], "max", (-19, -10, False)),
        ([10**n for n in range(9)], "min", (1, 10**8, True)),
        ([10**-n for n in range(9)], "max", (1e-8, 1, False)),  # an accuracy is not shown on a logarithmic axis
        ([5, 5], "max", (4.75, 5.25, False)),
        ([0.0], "min", (-0.5, 0.5, False)),
    ],
)
def test_the_axis_of_scores_reaches_as_far_as_is_needed(values, mode, expected):
    """Ends by hand."""
    scale = score_scale(values, mode)
    assert (scale.low, scale.high, scale.log) == (pytest.approx(expected[0]), pytest.approx(expected[1]), expected[2])


def test_slices_have_a_panel_for_each_parameter_with_the_axis_that_it_needs():
    """Logarithmic where the range is, options by name, and as many points as trials have the parameter."""
    sweep = make_sweep(LR_RANGE, Range(path="model.m", low=0.0, high=1.0), NETWORKS, WIDTH_RANGE, BATCHES)
    values = draws(sweep.space, 30)
    results = StudyResults(sweep, tuple(finished(n, v, good_lr(v)) for n, v in enumerate(values)))
    figure = draw_slices(results)
    panels = {axes.get_xlabel().split("\n")[0]: axes for axes in figure.axes if axes.get_visible()}
    bar = panels.pop("")
    assert bar.get_ylabel() == "trial"
    names = ["optimizer.lr", "model.m", "model.network", "network.width", "data.batch_size"]
    assert list(panels) == names
    assert [panels[name].get_xscale() for name in names] == ["log", "linear", "linear", "log", "linear"]
    assert [label.get_text() for label in panels["model.network"].get_xticklabels()] == ["small", "resnet"]
    resnets = sum(v[NETWORK] == "resnet" for v in values)
    rings = {name: 1 if name != "network.width" or WIDTH in results.ranked()[0].values else 0 for name in names}
    counts = {name: len(points(panels[name])) - rings[name] for name in names}
    assert counts == dict.fromkeys(names, 30) | {"network.width": resnets}
    assert "where model.network is resnet" in panels["network.width"].get_xlabel()


def test_slices_show_each_trial_where_it_is_and_ring_the_best():
    """The points of the learning rate are the pairs of the study; the ring is around the best."""
    results = random_study(16)
    axes = draw_slices(results).axes[0]
    expected = [(trial.values[LR], trial.scores[0]) for trial in results.trials]
    best = max(expected, key=lambda pair: pair[1])
    assert np.allclose(sorted(points(axes)), sorted([*expected, best]), rtol=1e-12, atol=0)
    (ring,) = [c for c in axes.collections if len(c.get_offsets()) == 1 and not len(c.get_facecolors())]
    assert tuple(ring.get_offsets()[0]) == pytest.approx(best)


def test_options_are_jittered_columns_that_do_not_touch_and_do_not_change():
    """Every point lies within a quarter of its option; no two of an option coincide; drawn twice they are the same."""
    results = random_study(60, LR_RANGE, BATCHES)
    first, again = (points(draw_slices(results).axes[1])[:60] for _ in range(2))
    assert first == again
    keys = [trial.values[BATCH] for trial in results.trials]
    for (x, _), key in zip(first, keys, strict=True):
        assert abs(x - [16, 32, 64, 128].index(key)) <= 0.25
    assert len({round(x, 6) for x, _ in first}) == 60


def test_a_grid_is_shown_cell_by_cell_with_its_values():
    """Nine cells with the nine scores to three digits, a frame around the best; axes in the grid's values."""
    results = grid_study(3)
    axes = draw_heatmap(results).axes[0]
    by_place = {text.get_position(): text.get_text() for text in axes.texts}
    lrs, decays = LR_RANGE.spaced(3), DECAY_RANGE.spaced(3)
    assert len(by_place) == 9
    for trial in results.trials:
        place = lrs.index(trial.values[LR]), decays.index(trial.values[DECAY])
        assert by_place[place] == f"{trial.scores[0]:.3g}"
    best = max(results.trials, key=lambda trial: trial.scores[0])
    (patch,) = axes.patches
    assert patch.get_xy() == (lrs.index(best.values[LR]) - 0.5, decays.index(best.values[DECAY]) - 0.5)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1e-4", "0.00316", "0.1"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("optimizer.lr", "optimizer.weight_decay")


def test_a_cell_whose_trial_failed_is_empty_and_several_trials_of_a_cell_show_the_best():
    """Without the trial of one cell it reads none; of two trials in a cell the better one is shown."""
    study = grid_study(3)
    holed = StudyResults(study.sweep, study.trials[1:])
    texts = {text.get_position(): text.get_text() for text in draw_heatmap(holed).axes[0].texts}
    assert texts[0, 0] == "none"
    sweep = make_sweep(LR_RANGE, DECAY_RANGE, BATCHES, sampler=Named("grid"))
    doubled = [
        finished(2 * n + k, {**t.values, BATCH: size}, t.scores[0] + k)
        for n, t in enumerate(study.trials)
        for k, size in enumerate((16, 32))
    ]
    texts = {
        text.get_position(): text.get_text() for text in draw_heatmap(StudyResults(sweep, tuple(doubled))).axes[0].texts
    }
    assert texts[0, 0] == f"{study.trials[0].scores[0] + 1:.3g}"


def test_random_trials_are_points_on_a_map_with_a_star_on_the_best():
    """All pairs and the star, on logarithmic axes that hold the whole range."""
    results = random_study(16)
    axes = draw_heatmap(results).axes[0]
    pairs = [(trial.values[LR], trial.values[DECAY]) for trial in results.trials]
    best = max(results.trials, key=lambda trial: trial.scores[0])
    star = (best.values[LR], best.values[DECAY])
    assert np.allclose(sorted(points(axes)), sorted([*pairs, star]), rtol=1e-12, atol=0)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in axes.texts] == [f"trial {best.number}: {best.scores[0]:.6g}"]
    assert axes.get_xlim()[0] < 1e-4
    assert axes.get_xlim()[1] > 1e-1


def test_the_map_under_a_trial_has_nearly_the_colour_of_its_score():
    """A single good trial far from three bad ones: the pixel under it is the brightest colour, under a bad one dark."""
    values = [
        {LR: 10**-1.2, DECAY: 1e-4},
        {LR: 10**-3.7, DECAY: 0.1},
        {LR: 10**-3.6, DECAY: 0.1},
        {LR: 10**-3.7, DECAY: 0.01},
    ]
    trials = tuple(finished(n, v, 1.0 if n == 0 else 0.0) for n, v in enumerate(values))
    figure = draw_heatmap(StudyResults(make_sweep(LR_RANGE, DECAY_RANGE), trials))
    pixels = figure.axes[0].images[0].get_array()
    side = len(pixels)

    def pixel(trial):
        place = LR_RANGE.unit(trial.values[LR]), DECAY_RANGE.unit(trial.values[DECAY])
        return pixels[int(place[1] * side), int(place[0] * side), :3].tolist()

    assert pixel(trials[0]) == pytest.approx([0.993, 0.906, 0.144], abs=0.02)  # viridis at 1
    assert pixel(trials[1]) == pytest.approx([0.267, 0.005, 0.329], abs=0.02)  # viridis at 0
    assert pixels[side - 1, side - 1, 3] < 0.05  # nothing was tried there


def test_the_two_most_important_numbers_span_the_map():
    """Of three ranges the score depends on the first and the last, which are the axes in the sweep's order."""
    third = Range(path="model.m", low=0.0, high=1.0)
    results = random_study(60, LR_RANGE, DECAY_RANGE, third, score=lambda v: good_lr(v) - 3 * (v["model.m"] - 0.5) ** 2)
    assert set(list(importances(results))[:2]) == {LR, "model.m"}
    axes = draw_heatmap(results).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("optimizer.lr", "model.m")


def test_curves_are_those_that_were_reported_and_pruned_ones_fade():
    """The line of each complete trial; the pieces of a pruned one grow paler; the best stands out."""
    results = mixed_study()
    axes = draw_curves(results).axes[0]
    drawn = [list(zip(*line.get_data(), strict=True)) for line in axes.lines if line.get_linestyle() == "-"]
    for trial in results.complete:
        assert [(step, trial.reported[step]) for step in sorted(trial.reported)] in drawn
    widest = max(axes.lines, key=lambda line: line.get_linewidth())
    assert list(widest.get_ydata()) == list(results.trials[11].reported.values())
    assert len(axes.collections) == 2
    for collection in axes.collections:
        alphas = collection.get_colors()[:, 3]
        assert (np.diff(alphas) <= 1e-12).all()
        assert alphas[0] > 0.4
        assert alphas[-1] < 0.1


def test_without_two_values_of_any_trial_there_is_no_curve():
    """Trials that validate once have a score, but no curve."""
    sweep = make_sweep(LR_RANGE)
    trials = tuple(finished(n, {LR: 0.1}, 0.5, reported={1: 0.5}) for n in range(9))
    assert draw_curves(StudyResults(sweep, trials)) is None


def test_a_value_that_is_not_finite_is_left_out_of_the_curves():
    """NaN at validation 2 leaves the other four."""
    reported = {**curve(0.9), 2: math.nan}
    trials = (finished(0, {LR: 0.1}, 0.9, reported=reported), finished(1, {LR: 0.1}, 0.5))
    lines = [line.get_xdata() for line in draw_curves(StudyResults(make_sweep(LR_RANGE), trials)).axes[0].lines]
    assert [1, 3, 4, 5] in [list(x) for x in lines]


def dominated(point, corners):
    """Whether a step line through the corners has the point on its worse side: more of x, less of y is better."""
    return any(x >= point[0] and y <= point[1] for x, y in corners)


def test_the_front_of_two_objectives_is_a_step_line_that_beats_every_point():
    """Marks are the Pareto front with their numbers; every complete trial is beaten by a corner or is one."""
    results = several()
    figure = draw_front(results)
    (axes,) = figure.axes
    front = results.front()
    corners = sorted(trial.scores for trial in front)
    (line,) = axes.lines
    assert list(zip(*line.get_data(), strict=True)) == corners
    assert line.get_drawstyle() == "steps-pre"
    assert all(dominated(trial.scores, corners) for trial in results.complete)
    labels = {text.get_text() for text in axes.texts}
    assert labels <= {str(trial.number) for trial in front}
    assert len(labels) >= len(front) - 2
    marked = next(c for c in axes.collections if c.get_label() == "Pareto front")
    assert sorted(map(tuple, marked.get_offsets())) == corners


def test_labels_cover_neither_each_other_nor_a_point():
    """Their boxes as the renderer draws them."""
    figure = draw_front(several(40, seed=3))
    axes = figure.axes[0]
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) > 3
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    centres = axes.transData.transform(points(axes))
    assert not any(box.contains(*centre) for box in boxes for centre in centres)


def test_three_objectives_have_a_panel_for_each_pair():
    """With all trials in each; a single objective has none."""
    objectives = (ACCURACY, SIZE, LOSS)
    results = several(objectives=objectives)
    panels = draw_front(results).axes
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in panels]
    first, second, third = "val/accuracy ↑", "run/parameters ↓", "val/loss ↓"
    assert labels == [(first, second), (first, third), (second, third)]
    assert [len(points(axes)) for axes in panels] == [24 + len(results.front())] * 3
    assert draw_front(random_study(16)) is None


def test_bars_are_the_importances_with_the_largest_on_top():
    """Widths are the shares; the first name stands at the top, since the axis is turned round."""
    results = random_study(24)
    axes = draw_importance(results).axes[0]
    assert [bar.get_width() for bar in axes.patches] == list(importances(results).values())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["optimizer.lr", "optimizer.weight_decay"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1e-4, "1e-4"), (3.16e-5, "3.16e-5"), (0.001, "0.001"), (0.3, "0.3"), (64, "64"), (2.5e6, "2.5e6")],
)
def test_marks_of_an_axis_are_short(value, text):
    """As a person writes the number."""
    assert mark_text(value) == text


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (1e-4, 1e-1, ["1e-4", "0.001", "0.01", "0.1"]),
        (1e-3, 1e-2, ["0.001", "0.003", "0.01"]),
        (2e-3, 9e-3, ["0.002", "0.003", "0.004", "0.005", "0.006", "0.007", "0.008", "0.009"]),
        (1e-12, 1, ["1e-12", "1e-10", "1e-8", "1e-6", "1e-4", "0.01", "1"]),
    ],
)
def test_a_logarithmic_axis_has_a_handful_of_round_marks(low, high, marks):
    """From less than a decade to twelve."""
    results = random_study(4, Range(path=LR, low=low, high=high, log=True), score=lambda v: v[LR])
    axes = draw_slices(results).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == marks
    assert axes.get_xticklabels(minor=True) == []


@pytest.mark.parametrize("make", [lambda: random_study(16), several, mixed_study, lambda: grid_study(7)])
def test_no_two_labels_of_an_axis_overlap(make):
    """The boxes of the tick labels of every panel of every picture, as the renderer draws them."""
    for draw_figure in (draw_history, draw_slices, draw_heatmap, draw_curves, draw_front, draw_importance):
        figure = draw_figure(make())
        if figure is None:
            continue
        figure.canvas.draw()
        for axes in figure.axes:
            for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
                boxes = [label.get_window_extent() for label in labels if label.get_text() and label.get_visible()]
                for one, other in itertools.pairwise(boxes):
                    assert not one.overlaps(other)
