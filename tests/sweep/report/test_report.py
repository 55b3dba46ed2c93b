"""Does the report say what the trials hold, at every width and for programs, and warn where it must?"""

import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lightning_cv.recipe.space import Choice, Range
from lightning_cv.sweep.engine.results import StudyResults, TrialResult
from lightning_cv.sweep.report.printed import print_results, to_csv, to_json
from tests.sweep.studies import (
    ACCURACY,
    BATCH,
    BATCHES,
    DECAY,
    DECAY_RANGE,
    LR,
    LR_RANGE,
    NETWORK,
    NETWORKS,
    SIZE,
    WIDTH,
    WIDTH_RANGE,
    draws,
    finished,
    grid_study,
    make_sweep,
    mixed_study,
    random_study,
)

ANSI = re.compile(r"\x1b\[([0-9;]*)m")


def printed(results, *, width=200, terminal=False, **options):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    print_results(console, results, **options)
    return stream.getvalue()


def many_parameters():
    """Trials with five parameters, one of them conditional, and an option with a long name."""
    long = Choice(path="data.init_args.root", options=(("a_folder_with_a_name_that_no_column_of_a_table_can_hold", 1),))
    sweep = make_sweep(LR_RANGE, NETWORKS, WIDTH_RANGE, BATCHES, long)
    trials = [finished(n, values, 0.5 + n / 100) for n, values in enumerate(draws(sweep.space, 12))]
    return StudyResults(sweep, tuple(trials))


def two_objectives():
    """Trials 0 and 2 are the front, 1 is beaten."""
    sweep = make_sweep(LR_RANGE, objectives=(ACCURACY, SIZE))
    scores = [(0.9, 1e6), (0.8, 2e6), (0.7, 1e5)]
    return StudyResults(sweep, tuple(finished(n, {LR: 0.01}, *pair) for n, pair in enumerate(scores)))


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("make", [mixed_study, many_parameters, grid_study, two_objectives])
def test_no_line_is_wider_than_the_console_and_every_trial_is_there(width, make):
    """Each trial's number begins a line, its score stands in the text whole, and no line exceeds the width."""
    results = make()
    text = printed(results, width=width)
    assert max(map(len, text.splitlines())) <= width
    for trial in results.trials:
        assert re.search(rf"^{trial.number}( ★)? ", text, re.MULTILINE)
        assert trial.state in text
    assert "…" not in text
    assert "\x1b" not in text


def test_titles_and_columns_fit_at_every_width():
    """From 45 to 160 columns no line is too long, and each parameter's title stands there, in parts or whole."""
    results = many_parameters()
    for width in range(45, 161):
        text = printed(results, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "batch_size" in text
        assert "validations" in text


def test_where_there_is_room_a_trial_is_one_line_with_all_that_it_has():
    """At 200 columns the cells of a line are those of the trial, in the order of the titles."""
    text = printed(mixed_study())
    lines = text.splitlines()
    titles = ["trial", "state", "optimizer.lr", "optimizer.weight_decay", "val/accuracy", "↑", "validations", "time"]
    assert lines[0].split() == titles
    row = next(line.split() for line in lines if line.startswith("12 "))
    trial = mixed_study().trials[12]
    expected = [trial.values[LR], trial.values[DECAY], trial.scores[0]]
    assert row[:2] == ["12", "complete"]
    assert [float(cell) for cell in row[2:5]] == pytest.approx(expected, rel=1e-3)
    assert row[5:] == ["5", "24", "s"]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_reason_of_a_failed_trial_stands_below_its_row(width):
    """The words of the reason follow the row of trial 0 before that of trial 1."""
    text = printed(mixed_study(), width=width)
    between = text[text.index("\n0 ") : text.index("\n1 ")]
    assert "make data.init_args.batch_size smaller" in " ".join(between.split())


def test_the_best_trial_is_green_and_starred_and_a_failed_one_red():
    """In the ANSI codes 32 is green and 31 red; the best was found by hand."""
    lines = printed(mixed_study(), terminal=True).splitlines()
    colors = {ANSI.sub("", line).split()[0]: ANSI.findall(line)[:1] for line in lines if ANSI.match(line)}
    assert colors["11"] == ["32"]
    assert colors["0"] == ["31"]
    assert [ANSI.sub("", line)[:4] for line in lines if "★" in line] == ["11 ★"]


def test_of_several_objectives_every_trial_of_the_front_is_starred_and_listed():
    """Trials 0 and 2 of the three are the front, with all their scores."""
    text = printed(two_objectives())
    assert [line.split()[0] for line in text.splitlines() if "★" in line] == ["0", "2"]
    assert "Pareto front: 2 trials" in text
    assert "trial 2: val/accuracy 0.7, run/parameters 100000 (optimizer.lr 0.01)" in text
    assert "flatters" not in text


def test_states_are_counted_and_the_best_is_named():
    """Counts, the best trial, its values and its folder, as the study was made; the sweep plans 16 trials."""
    text = printed(mixed_study())
    assert "16 trials: 11 complete, 2 pruned, 1 failed, 1 running, 1 waiting; 4 min 13 s in all" in text
    assert "best: trial 11, val/accuracy 0.999859 (optimizer.lr 0.01028, optimizer.weight_decay 0.01722)" in text
    assert "runs/digits_lr/11" in text
    unfinished = StudyResults(random_study(16).sweep, random_study(16).trials[:10])
    assert "16 trials: 10 complete, 6 not begun" in printed(unfinished)


@pytest.mark.parametrize("order", ["number", "best"])
def test_a_limit_keeps_the_best_and_counts_the_others(order):
    """The four best of sixteen, by sorting their scores; in the order that was asked for."""
    results = random_study(16)
    best = [t.number for t in sorted(results.trials, key=lambda t: -t.scores[0])][:4]
    text = printed(results, limit=4, order=order)
    shown = [int(line.split()[0]) for line in text.splitlines() if line[:1].isdigit() and "complete " in line[:20]]
    assert shown == (best if order == "best" else sorted(best))
    assert "not shown: 12 more trials" in text


def at(value, parameter=LR_RANGE, number=9):
    """Trials of which the best has this value, the others the middle one."""
    sweep = make_sweep(parameter)
    values = [{parameter.path: value if n == 3 else parameter.at(0.5)} for n in range(number)]
    return StudyResults(sweep, tuple(finished(n, v, 0.9 if n == 3 else 0.1) for n, v in enumerate(values)))


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        (
            LR_RANGE,
            0.1,
            "upper end of optimizer.lr (0.1 of 0.0001 to 0.1): widen it, for example to log_uniform: [0.0001, 1]",
        ),
        (
            LR_RANGE,
            1.4e-4,
            "lower end of optimizer.lr (0.00014 of 0.0001 to 0.1): widen it, for example to log_uniform: [1e-05, 0.1]",
        ),
        (LR_RANGE, 1.5e-4, None),
        (LR_RANGE, 0.066, None),
        (LR_RANGE, 0.075, "upper end of optimizer.lr (0.075 of"),
        (LR_RANGE, 0.01, None),
        (Range(path=BATCH, low=10, high=30), 29.5, "uniform: [10, 40]"),
        (Range(path=BATCH, low=0, high=0.5), 0.0, None),
        (Range(path=BATCH, low=0, high=0.9), 0.89, "uniform: [0, 1]"),
        (Range(path=BATCH, low=0.5, high=1), 1.0, None),
        (Range(path=BATCH, low=1, high=5, integer=True), 5, "int: [1, 7]"),
        (Range(path=BATCH, low=1, high=64, integer=True, log=True), 1, None),
    ],
)
def test_a_best_trial_at_the_end_of_a_range_is_told_with_a_wider_one(parameter, value, said):
    """Within 5% of an end, half as wide again, at most a decade; ends that are natural, 0 and 1, are none."""
    text = printed(at(value, parameter))
    if said is None:
        assert "widen" not in text
    else:
        assert said in text


def test_few_trials_and_the_flattery_of_many_are_told():
    """Three random draws miss the best quarter with probability 0.75 ** 3 = 42%; from five on the best flatters."""
    assert "none lies in the best quarter of the space with probability 42%" in printed(random_study(3))
    assert "flatters" not in printed(random_study(3))
    assert "the best of 16 noisy trials flatters: lightning-cv sweep confirm digits_lr" in printed(random_study(16))
    assert "best quarter" not in printed(random_study(16))


def test_a_study_without_trials_is_a_line():
    """Where nothing has begun, the report says how many are to come."""
    sweep = random_study(4).sweep
    assert printed(StudyResults(sweep, ())) == "4 trials: 4 not begun\n"


def test_a_metric_that_is_no_number_is_printed_and_not_the_best():
    """A complete trial with NaN reads nan, and the other one is best."""
    trials = finished(0, {LR: 0.1}, math.nan), finished(1, {LR: 0.2}, 0.5)
    text = printed(StudyResults(make_sweep(LR_RANGE), trials))
    assert re.search(r"^0 +complete +0.1 +nan", text, re.MULTILINE)
    assert re.search(r"^1 ★", text, re.MULTILINE)


def test_csv_reads_back_to_the_same_numbers():
    """The csv module finds one line a trial, every float to the last bit, and empty fields where there is nothing."""
    results = many_parameters()
    rows = list(csv.DictReader(io.StringIO(to_csv(results))))
    assert list(rows[0])[:3] == ["number", "state", LR]
    assert list(rows[0])[-5:] == ["val/accuracy", "validations", "time_s", "reason", "folder"]
    for trial, row in zip(results.trials, rows, strict=True):
        assert (int(row["number"]), row["state"]) == (trial.number, "complete")
        assert float(row[LR]) == trial.values[LR]
        assert row[NETWORK] == trial.values[NETWORK]
        assert row[WIDTH] == (str(trial.values[WIDTH]) if WIDTH in trial.values else "")
        assert float(row["val/accuracy"]) == trial.scores[0]
        assert (float(row["time_s"]), row["validations"]) == (trial.time_s, "5")
        assert row["folder"] == str(trial.folder)
    mixed = list(csv.DictReader(io.StringIO(to_csv(mixed_study()))))
    assert mixed[0]["reason"].startswith("out of memory: tried")
    assert [row[LR] for row in mixed][4] == ""


def test_csv_says_true_and_null_as_a_recipe_does():
    """The options true, null and "true, or not" are told apart, whatever they hold."""
    switch = Choice(path=BATCH, options=((True, True), (None, None), ('a "b", c', 1)))
    trials = tuple(finished(n, {BATCH: key}, 0.5) for n, key in enumerate(switch.keys))
    rows = list(csv.DictReader(io.StringIO(to_csv(StudyResults(make_sweep(switch), trials)))))
    assert [row[BATCH] for row in rows] == ["true", "null", 'a "b", c']


def test_json_is_strict_and_has_everything():
    """json reads it without NaN literals; every trial's values, reports and scores are those of the study."""
    results = mixed_study()
    odd = TrialResult(number=16, state="complete", values={LR: 0.1}, scores=(-math.inf,), reported={1: math.nan})
    text = to_json(StudyResults(results.sweep, (*results.trials, odd)))
    record = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert record["trials"][16]["scores"] == {"val/accuracy": "-Infinity"}
    assert record["trials"][16]["reported"] == {"1": "NaN"}
    for trial, found in zip(results.trials, record["trials"], strict=False):
        assert found["values"] == trial.values
        assert found["reported"] == {str(step): value for step, value in trial.reported.items()}
        assert found["scores"]["val/accuracy"] == (trial.scores[0] if trial.scores else None)
        assert (found["reason"], found["time_s"]) == (trial.reason, trial.time_s)
    assert record["best"] == [11]
    assert record["states"] == {"failed": 1, "pruned": 2, "running": 1, "waiting": 1, "complete": 12}
    assert sum(record["importances"].values()) == pytest.approx(1)
    assert record["space"][LR] == {"log_uniform": [1e-4, 1e-1]}


def test_no_password_is_in_any_text():
    """A storage's URL with a password appears in neither table, CSV nor JSON."""
    results = StudyResults(
        make_sweep(LR_RANGE, DECAY_RANGE, storage="postgresql://me:hunter2@host/db"), random_study(9).trials
    )
    assert "hunter2" not in printed(results) + to_csv(results) + to_json(results)


def test_reading_a_study_loads_neither_torch_nor_the_libraries_that_draw():
    """In a fresh interpreter the modules are imported, and none of the heavy libraries is."""
    code = (
        "import sys\nfrom lightning_cv.sweep.report import pictures, printed, refine, winner\n"
        "print([name for name in ('torch', 'lightning', 'matplotlib', 'optuna', 'wandb') if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
