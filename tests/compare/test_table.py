"""Does the table say what the runs hold, in every form and at every width?"""

import csv
import io
import json
import math

import pytest
from rich.console import Console

from lightning_cv.compare.comparison import compare
from lightning_cv.compare.exported import to_csv, to_json, to_markdown
from lightning_cv.compare.folder import read_folder
from lightning_cv.compare.printed import print_comparison
from lightning_cv.compare.report import remarks
from lightning_cv.compare.table import make_table
from lightning_cv.errors import UserError
from tests.compare.maker import TRAINING, event, history, make_run, recipe

LR = "model.init_args.optimizer.init_args.lr"


def compared(*folders, **options):
    found = compare([read_folder(folder) for folder in folders], **options)
    return found, make_table(found)


def three():
    """Best accuracies 0.7, 0.9 and 0.8, reached at steps 20, 20 and 10; learning rates 0.003, 0.1 and 0.02."""
    return compared(
        make_run("runs/digits/a", history([0.5, 0.7, 0.6])),
        make_run("runs/digits/b", history([0.6, 0.9, 0.4]), recipe(model__init_args__optimizer__init_args__lr=0.1)),
        make_run("runs/digits/c", history([0.8, 0.3]), recipe(model__init_args__optimizer__init_args__lr=0.02)),
    )


def printed(comparison, table, width, **options):
    stream = io.StringIO()
    print_comparison(Console(file=stream, width=width), comparison, table, **options)
    return stream.getvalue()


def test_the_table_holds_best_last_and_cost():
    _, table = three()
    assert table.column("val/accuracy:best").values == (0.7, 0.9, 0.8)
    assert table.column("val/accuracy:best_step").values == (20, 20, 10)
    assert table.column("val/accuracy:last").values == (0.6, 0.4, 0.3)
    assert table.column("val/loss:best").values == pytest.approx((0.3, 0.1, 0.2))
    assert table.column(LR).values == (0.003, 0.1, 0.02)
    assert table.column("steps").values == (30, 30, 20)
    assert table.column("samples/s").values == (640.0, 640.0, 640.0)
    assert table.column("devices").values == ("1 cpu",) * 3
    assert table.column("parameters").texts == ("78,042",) * 3
    assert table.column("val/accuracy:best").texts == ("0.7 @ 20", "0.9 @ 20", "0.8 @ 10")
    assert table.column("val/accuracy:best").best == 1
    assert table.column("val/loss:best").best == 1
    assert table.column("val/accuracy:last").best == 0


@pytest.mark.parametrize(
    ("key", "descending", "order"),
    [
        ("val/accuracy", False, "acb"),
        ("val/accuracy", True, "bca"),
        ("val/accuracy:last", False, "cba"),
        ("optimizer.lr", True, "bca"),
        (LR, False, "acb"),
        ("steps", False, "cab"),
        ("status", False, "abc"),
    ],
)
def test_runs_are_sorted_by_any_column(key, descending, order):
    _, table = three()
    found = table.sorted(key, descending=descending)
    assert "".join(found.labels) == order
    by_label = dict(zip(table.labels, table.column(LR).values, strict=True))
    assert found.column(LR).values == tuple(by_label[label] for label in found.labels)
    assert found.labels[found.column("val/accuracy").best] == "b"


@pytest.mark.parametrize("descending", [False, True])
def test_runs_without_a_value_come_last_either_way(descending):
    nan = make_run("n", [event("validation", 10, {"val/accuracy": "NaN", "val/loss": 1.0})])
    nothing = make_run("m", [], recipe(seed_everything=1))
    _, table = compared(make_run("a"), nan, nothing)
    assert set(table.sorted("val/accuracy", descending=descending).labels[1:]) == {"n", "m"}


def test_a_column_that_there_is_not_is_refused_with_the_nearest():
    _, table = three()
    with pytest.raises(UserError, match=r"--sort val/acuracy: no such column; did you mean val/accuracy"):
        table.sorted("val/acuracy")


def test_values_that_differ_never_read_equal():
    _, table = compared(make_run("a", history([0.123456])), make_run("b", history([0.123457])))
    assert len(set(table.column("val/accuracy:last").texts)) == 2
    _, table = compared(make_run("c", history([1 / 3])), make_run("d", history([0.333346])))
    assert table.column("val/accuracy:last").texts == ("0.33333", "0.33335")


@pytest.mark.parametrize("width", [60, 80, 120, 300])
def test_nothing_is_cut_at_any_width_and_no_line_is_wider(width):
    """Every run and every value of the table stands in the text, whole."""
    comparison, table = three()
    text = printed(comparison, table, width)
    assert max(map(len, text.splitlines())) <= width
    for column in table.shown(all_keys=False):
        assert column.label in text
        for cell in column.texts:
            assert cell in text
    assert "…" not in text


def test_where_runs_fit_beside_each_other_they_are_columns_else_rows():
    comparison, table = three()
    assert printed(comparison, table, 120).splitlines()[0].split() == ["a", "b", "c"]
    many = compared(*(make_run(f"runs/digits/run{n}", values=recipe(seed_everything=n)) for n in range(12)))
    lines = printed(*many, 80).splitlines()
    assert lines[0].startswith("run ")
    assert lines[1].startswith("run0 ")
    assert sum(line.startswith("run11 ") for line in lines) == sum(line.startswith("run ") for line in lines) > 1


def test_one_run_is_shown_alone():
    comparison, table = compared(make_run("runs/digits/a"))
    text = printed(comparison, table, 80)
    assert "0.7 @ 20" in text
    assert "seeds" not in text
    assert "differ" not in text


def test_settings_of_one_class_only_are_left_out_and_said_unless_all_are_asked_for():
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9}}
    comparison, table = compared(make_run("a"), make_run("b", values=recipe(model__init_args__optimizer=sgd)))
    assert "momentum" not in printed(comparison, table, 120)
    assert "2 settings that only one of the differing classes has are left out; --all" in printed(
        comparison, table, 120
    )
    assert "optimizer.momentum" in printed(comparison, table, 120, all_keys=True)
    assert "model.init_args.optimizer.init_args.momentum" in to_csv(comparison, table)


def test_groups_are_printed_with_their_interval():
    runs = [make_run(f"a{seed}", history([0.5 + seed / 100]), recipe(seed_everything=seed)) for seed in range(3)]
    changed = {"model__init_args__optimizer__init_args__lr": 0.1}
    runs += [
        make_run(f"b{seed}", history([0.9 + seed / 100]), recipe(seed_everything=seed, **changed)) for seed in range(3)
    ]
    comparison, table = compared(*runs)
    text = printed(comparison, table, 120)
    # Oracle: variances of 0.0001, so a standard error of 0.00816 with 4 degrees of freedom; t is 2.776.
    assert "lr=0.1 3 0.91 ± 0.01 +0.4 [+0.377, +0.423] better" in " ".join(text.split())
    assert "reference" in text
    single, its_table = compared(runs[0], runs[3])
    assert "no interval: a side has one seed only" in printed(single, its_table, 120)


def test_what_could_not_be_read_is_said_and_the_rest_is_compared():
    broken = make_run("broken")
    (broken / "recipe.yaml").write_text("a: [")
    failed = make_run("failed", [event("end", 3, {}, status="failed", error="NonFiniteLossError: step 3")])
    comparison, table = compared(make_run("a"), broken, failed, make_run("s", values=recipe(seed_everything=1)))
    lines = remarks(comparison, all_keys=False)
    assert any(line.startswith("broken: broken/recipe.yaml: not YAML") for line in lines)
    assert "failed failed: NonFiniteLossError: step 3" in lines
    assert table.column("seed").texts == ("0", "?", "0", "1")


def test_metrics_without_a_mode_have_a_last_value_only_and_it_is_said():
    comparison, table = compared(make_run("a", [event("validation", n, {"val/ratio": n}) for n in (1, 2)]))
    assert table.column("val/ratio").values == (2,)
    assert any(
        "no best value of val/ratio" in line and "--mode val/ratio=max" in line
        for line in remarks(comparison, all_keys=False)
    )


def test_json_is_strict_and_complete():
    nan = make_run("n", [event("validation", 10, {"val/accuracy": "NaN"})], recipe(seed_everything=3))
    comparison, table = compared(make_run("a"), nan, make_run("a2"))
    found = json.loads(to_json(comparison, table), parse_constant=pytest.fail)
    assert found["runs"][0]["facts"]["val/accuracy:best"] == 0.7
    assert found["runs"][1]["facts"]["val/accuracy:last"] == "NaN"
    assert found["runs"][1]["facts"]["seed_everything"] == 3
    assert found["differing"] == ["seed_everything"]
    assert found["metrics"][0] == {"name": "val/accuracy", "mode": "max", "mode_from": "recipe"}
    assert found["groups"][0]["num_seeds"] == 2
    assert found["twins"][0]["agree"] is True


def test_json_tells_the_interval():
    runs = [
        make_run(f"{lr}{seed}", history([lr + seed / 100]), recipe(seed_everything=seed, trainer__max_epochs=lr))
        for lr in (0.1, 0.5)
        for seed in range(2)
    ]
    comparison, table = compared(*runs)
    contrast = json.loads(to_json(comparison, table))["contrasts"][0]
    low, high = contrast["interval_95"]
    assert contrast["difference"] == pytest.approx(0.4)
    assert low < contrast["difference"] < high
    assert (contrast["metric"], contrast["verdict"]) == ("val/accuracy", "better")


def test_csv_is_a_line_a_run_with_full_numbers():
    comparison, table = compared(make_run("a", history([1 / 3])), make_run("b", [], training=None))
    first, second = csv.DictReader(io.StringIO(to_csv(comparison, table)))
    assert float(first["val/accuracy:last"]) == 1 / 3
    assert (first["run"], first["steps"], first["parameters"]) == ("a", "10", "78042")
    assert (second["val/accuracy:last"], second["parameters"]) == ("", "")


def test_markdown_is_a_table_with_as_many_cells_in_every_line():
    comparison, table = three()
    lines = to_markdown(comparison, table).splitlines()
    assert lines[0] == "| run | a | b | c |"
    grid = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in grid[: grid.index("| parameters | 78,042 | 78,042 | 78,042 |") + 1]} == {5}
    assert any(line.startswith("* ↑ more is better: val/accuracy (says the recipe)") for line in lines)


def test_parameters_that_are_not_trained_have_their_own_line():
    frozen = {**TRAINING, "trainable_parameters": 10}
    comparison, table = compared(make_run("a"), make_run("b", training=frozen))
    assert "trainable" in printed(comparison, table, 80)
    same, its_table = compared(make_run("a"))
    assert "trainable" not in printed(same, its_table, 80)


def test_infinite_and_missing_values_are_never_the_best():
    events = [event("validation", n, {"val/accuracy": v}) for n, v in ((1, "Infinity"), (2, 0.4), (3, "NaN"))]
    _, table = compared(make_run("a", events), make_run("b", history([0.3, 0.2])))
    assert table.column("val/accuracy:best").values == (0.4, 0.3)
    assert math.isnan(table.column("val/accuracy:last").values[0])
    assert table.column("val/accuracy:last").texts == ("NaN", "0.2")
