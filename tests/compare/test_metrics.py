"""Which metrics are compared, and which way is better?"""

import pytest

from lightning_cv.compare.metrics import choose_metrics, drawn_metrics, mode_by_name
from lightning_cv.compare.run import Curve, Run
from lightning_cv.errors import UserError


def run(*names, monitor=None, mode=None, source="run"):
    curves = {name: Curve([1], [0], [1], [1], [0.5]) for name in names}
    return Run(source=source, name="", run_id=source, recipe={}, curves=curves, monitor=monitor, mode=mode)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, "max") for name in ("val/accuracy", "val/ap50", "val/mAP", "val/mean_iou", "val/meanIoU", "val/top5")),
        *((name, "max") for name in ("val/f1", "val/psnr", "throughput/images_per_s", "loss/accuracy")),
        *((name, "min") for name in ("train/loss", "val/top5_error", "val/nll", "val/fid", "val/rmse", "val/map_loss")),
        *((name, "min") for name in ("val/calibration_error", "throughput/step_ms", "val/focalloss")),
        *((name, None) for name in ("lr/network", "val/ratio", "val/lossless", "val/maps")),
    ],
)
def test_the_name_tells_the_mode_or_nothing(name, mode):
    assert mode_by_name(name) == mode


def test_the_recipe_says_before_the_name():
    (metric,) = choose_metrics([run("val/loss", monitor="val/loss", mode="max")], ["val/loss"], {})
    assert (metric.mode, metric.reason, metric.arrow) == ("max", "recipe", "↑")


def test_mode_says_before_the_name_and_the_name_last():
    runs = [run("val/loss", "val/accuracy", "val/ratio")]
    found = choose_metrics(runs, ["val/loss", "val/accuracy", "val/ratio"], {"val/loss": "max"})
    assert [(m.mode, m.reason) for m in found] == [("max", "--mode"), ("max", "name"), (None, "")]


def test_a_mode_that_the_recipe_contradicts_is_refused():
    with pytest.raises(UserError, match=r"--mode val/loss=max: the recipe of run says min"):
        choose_metrics([run("val/loss", monitor="val/loss", mode="min")], [], {"val/loss": "max"})


def test_recipes_that_contradict_each_other_need_mode():
    runs = [
        run("val/x", monitor="val/x", mode="min", source="a"),
        run("val/x", monitor="val/x", mode="max", source="b"),
    ]
    with pytest.raises(UserError, match=r"val/x: a says min, b says max; give --mode val/x=max or --mode val/x=min"):
        choose_metrics(runs, [], {})
    assert choose_metrics(runs, [], {"val/x": "max"})[0].mode == "max"


def test_the_monitored_metrics_stand_first_then_scores_then_losses():
    runs = [
        run(
            "val/top5",
            "val/loss",
            "val/accuracy",
            "test/accuracy",
            "train/loss",
            "lr/a",
            monitor="val/loss",
            mode="min",
        )
    ]
    names = [metric.name for metric in choose_metrics(runs, [], {})]
    assert names == ["val/loss", "val/accuracy", "test/accuracy", "val/top5"]


def test_without_validation_the_training_loss_is_compared():
    assert [m.name for m in choose_metrics([run("lr/a", "train/loss")], [], {})] == ["train/loss"]
    assert [m.name for m in choose_metrics([run("lr/a")], [], {})] == ["lr/a"]
    assert choose_metrics([run()], [], {}) == []


def test_a_monitored_metric_that_was_never_logged_is_passed_over():
    assert [m.name for m in choose_metrics([run("val/loss", monitor="val/ap", mode="max")], [], {})] == ["val/loss"]


def test_a_metric_that_no_run_has_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"--metric val/acuracy: no run has this metric; did you mean val/accuracy\?"):
        choose_metrics([run("val/accuracy")], ["val/acuracy"], {})
    with pytest.raises(UserError, match="--mode val/los: no run has"):
        choose_metrics([run("val/loss")], [], {"val/los": "min"})


def test_curves_are_drawn_of_all_that_was_asked_for_else_of_the_monitored():
    runs = [
        run("val/loss", "val/accuracy", "val/ap", monitor="val/loss", mode="min"),
        run("val/ap", monitor="val/ap", mode="max"),
    ]
    metrics = choose_metrics(runs, [], {})
    assert [m.name for m in drawn_metrics(runs, metrics, asked=False)] == ["val/loss", "val/ap"]
    assert drawn_metrics(runs, metrics, asked=True) == metrics
