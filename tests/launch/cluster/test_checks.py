"""Is what would go wrong with a job told before it waits in a queue, and nothing that would not?"""

from dataclasses import replace
from pathlib import Path

import pytest

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.checks import check_batch, check_folder, check_partition, check_time, check_wandb
from lightning_cv.launch.cluster.earlier import find_earlier
from lightning_cv.launch.cluster.job import Job
from lightning_cv.launch.cluster.limits import read_limit, show_time
from lightning_cv.launch.cluster.profile import Resources
from lightning_cv.recipe.compose import Composed, compose
from lightning_cv.recipe.files import read_recipe
from tests.compare.maker import TRAINING, history, make_run, recipe


def composed(tmp_path, **changes) -> Composed:
    """The recipe of the maker, as a file that was read."""
    run = make_run(tmp_path / "recipe", values=recipe(**changes))
    return compose([read_recipe(run / "recipe.yaml")])


def job(tmp_path, **changes) -> Job:
    fields = {"key": "k", "name": "net", "kind": "fit", "words": ("fit",), "parent": tmp_path / "runs" / "net"}
    return Job(**(fields | {"folder": tmp_path} | changes))


@pytest.mark.parametrize(
    ("size", "nodes", "devices", "said"),
    [
        (64, 1, 1, "batch     64 = 1 device x 64"),
        (64, 1, 8, "batch     64 = 8 devices x 8"),
        (1024, 4, 8, "batch     1024 = 4 x 8 devices x 32"),
    ],
)
def test_the_batch_of_each_device_is_told(tmp_path, size, nodes, devices, said):
    note = check_batch(
        composed(tmp_path, data__init_args__batch_size=size), job(tmp_path, nodes=nodes, devices=devices)
    )
    assert str(note) == said


@pytest.mark.parametrize(("size", "near"), [(64, "next: 63 or 66"), (2, "next: 3")])
def test_a_batch_that_the_devices_cannot_share_is_refused_with_the_next_ones(tmp_path, size, near):
    """Oracle: multiples of three by hand; the line names the file and the key."""
    with pytest.raises(
        UserError, match=rf"recipe\.yaml:\d+: data.init_args.batch_size is {size}, .* = 3 devices.*{near}"
    ):
        check_batch(composed(tmp_path, data__init_args__batch_size=size), job(tmp_path, nodes=3))


@pytest.fixture
def earlier(tmp_path):
    """A run of ten epochs of one second, ten steps each, on one device."""
    make_run(tmp_path / "runs" / "net" / "old", history([0.5] * 10), training=TRAINING)
    return find_earlier(tmp_path / "runs" / "net", batch_size=64)


def test_an_earlier_run_tells_seconds_an_epoch_and_a_step(earlier):
    assert (earlier.epoch_s, earlier.step_s, earlier.devices) == (pytest.approx(1.0), pytest.approx(0.1), 1)


def test_a_run_with_another_batch_tells_nothing_and_the_longest_tells_most(tmp_path):
    place = tmp_path / "runs"
    make_run(place / "short", history([0.5]))
    make_run(place / "long", history([0.5] * 3))
    make_run(place / "other", history([0.5] * 9), recipe(data__init_args__batch_size=32))
    assert find_earlier(place, batch_size=64).run.name == "long"
    assert find_earlier(place, batch_size=16) is None


@pytest.mark.parametrize(
    ("epochs", "limit", "changes", "begins", "ends"),
    [
        (600, None, {}, "time      about 10:00 for at most 600 epochs", "no --time: the partition's limit counts"),
        (600, "11", {}, "time      about 10:00 for at most 600 epochs", "runs/net/old; limit 11"),
        # 3600 s in starts of 600 s, of which 100 s are the lead: eight
        (3600, "10", {"lead": 100}, "time      about 1:00:00", "limit 10: about 8 starts"),
        (3600, "10", {"lead": 100, "max_restarts": 6}, "warning   about 1:00:00", "limit 10: about 8 starts"),
        (3600, "10", {"no_requeue": True}, "warning   about 1:00:00", "where it is cut off (--no-requeue)"),
    ],
)
def test_the_length_is_judged_by_an_earlier_run(tmp_path, monkeypatch, earlier, epochs, limit, changes, begins, ends):
    monkeypatch.chdir(tmp_path)
    resources = replace(Resources(time=limit), **changes)
    note = str(check_time(composed(tmp_path, trainer__max_epochs=epochs), job(tmp_path), resources, earlier)[0])
    assert note.startswith(begins)
    assert note.endswith(ends)


def test_other_devices_and_no_earlier_run_are_unknown(tmp_path, earlier):
    recipe_ = composed(tmp_path)
    assert "unknown on 4" in str(check_time(recipe_, job(tmp_path, devices=4), Resources(time="10"), earlier)[0])
    assert "unknown: no earlier run" in str(check_time(recipe_, job(tmp_path), Resources(time="10"), None)[0])


def test_a_limit_that_is_over_before_the_signal_could_help_is_refused(tmp_path):
    with pytest.raises(UserError, match="--time 1: not longer than --lead, the 90 s that are left to save"):
        check_time(composed(tmp_path), job(tmp_path), Resources(time="1"), None)


def test_a_step_that_takes_longer_than_the_lead_is_a_warning(tmp_path, earlier):
    slow = replace(earlier, step_s=40.0)
    notes = check_time(composed(tmp_path), job(tmp_path), Resources(time="60"), slow)
    assert any(note.is_warning and "a step takes 40 s" in note.text for note in notes)
    quick = check_time(composed(tmp_path), job(tmp_path), Resources(time="60"), earlier)
    assert not any(note.is_warning and note.about == "signal" for note in quick)


def test_a_recipe_without_snapshots_is_a_warning(tmp_path):
    notes = check_time(composed(tmp_path, callbacks__snapshot=None), job(tmp_path), Resources(time="60"), None)
    assert any(note.is_warning and "no snapshots" in note.text for note in notes)


def test_an_interval_between_snapshots_is_told_in_time(tmp_path, earlier):
    kept = composed(tmp_path, callbacks__snapshot__init_args={"every_n_steps": 1200})
    (signal,) = [n for n in check_time(kept, job(tmp_path), Resources(time="60"), earlier) if n.about == "signal"]
    assert "a snapshot every 2:00" in signal.text


def test_partitions_are_those_that_there_are():
    limits = {"gpu": 3600, "long": None}
    assert check_partition(Resources(), limits) == []
    assert not check_partition(Resources(partition="gpu,long", time="2-0"), limits)[0].is_warning
    assert check_partition(Resources(partition="gpu", time="2:00:00"), limits)[0].is_warning
    with pytest.raises(UserError, match=r"--partition gqu: sinfo knows no such partition; did you mean gpu\?"):
        check_partition(Resources(partition="gqu"), limits)
    assert "sinfo is not there" in str(check_partition(Resources(partition="gqu"), None)[0])


def test_a_folder_that_other_machines_cannot_see_is_a_warning_where_they_must():
    assert check_folder(Path("/tmp/runs"), is_shared=True).is_warning  # noqa: S108
    assert not check_folder(Path("/tmp/runs"), is_shared=False).is_warning  # noqa: S108


@pytest.mark.parametrize(
    ("changes", "environ", "said"),
    [
        ({"trainer__logger": False}, {}, "off: trainer.logger is false"),
        ({}, {"WANDB_MODE": "offline"}, "WANDB_MODE=offline; lightning-cv sync sends it later"),
        ({}, {"WANDB_API_KEY": "secret"}, "online where the machine reaches the server (WANDB_API_KEY), else offline"),
        ({}, {}, "offline: nobody is logged in (wandb login); lightning-cv sync sends it later"),
    ],
)
def test_where_the_curves_go_is_told_without_the_key(tmp_path, monkeypatch, changes, environ, said):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_wandb(composed(tmp_path, **changes), environ).text == said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 1800), ("30:15", 1815), ("1:00:00", 3600), ("2-0", 172_800), ("1-2:3", 93_780), ("1-2:3:4", 93_784),
     ("infinite", None), ("UNLIMITED", None)],
)  # fmt: skip
def test_limits_are_read_as_slurm_reads_them(text, seconds):
    """By hand from sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours and so on."""
    assert read_limit(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "x", "1:2:3:4", "-5", "1-", "1.5", "0:00"])
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(ValueError, match="a time above 0"):
        read_limit(text)


@pytest.mark.parametrize(("seconds", "text"), [(42, "0:42"), (3900, "1:05:00"), (183_600, "2-03:00:00")])
def test_times_are_shown_as_slurm_writes_them(seconds, text):
    assert show_time(seconds) == text
