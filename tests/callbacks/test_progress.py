"""What do a person and a program see of a run while it trains?"""

import json
import math
from itertools import pairwise

import pytest
import torch

from lightning_cv.callbacks import Progress, ProgressFile, Snapshot, Throughput
from lightning_cv.errors import UserError
from tests.callbacks.tiny import TinyTask, loader, newest, trainer

KEYS = ["event", "epoch", "step", "samples_seen", "time_s", "metrics"]


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no strict JSON")


def events(folder, *, curves: bool = False) -> list[dict]:
    """The lines of the file, strictly parsed; the points of the curves only if asked for."""
    lines = (folder / "progress.jsonl").read_text().splitlines()
    found = [json.loads(line, parse_constant=refuse) for line in lines]
    return [event for event in found if curves or event["event"] != "curve"]


def test_the_file_has_a_line_for_each_validation_and_one_at_the_end(tmp_path):
    """Oracle: 24 images in batches of 4 make 6 steps an epoch; the metric is the script's."""
    task = TinyTask(script=[0.25, 0.75])
    fitter = trainer(tmp_path, [Progress()], num_sanity_val_steps=2)
    fitter.fit(task, loader(), loader())
    rows = events(tmp_path)
    assert [row["event"] for row in rows] == ["validation", "validation", "end"]
    assert [(row["epoch"], row["step"], row["samples_seen"]) for row in rows[:2]] == [(0, 6, 24), (1, 12, 48)]
    assert [row["metrics"]["val/score"] for row in rows] == [0.25, 0.75, 0.75]
    assert rows[0]["metrics"].keys() == {"train/loss", "val/loss", "val/score"}
    assert list(rows[0]) == KEYS
    assert rows[2]["status"] == "completed"
    assert 0 < rows[0]["time_s"] <= rows[1]["time_s"] <= rows[2]["time_s"]


def test_values_that_are_not_finite_are_strings_of_strict_json(tmp_path):
    task = TinyTask(script=[math.nan, -math.inf])
    trainer(tmp_path, [Progress()]).fit(task, loader(), loader())
    assert [row["metrics"]["val/score"] for row in events(tmp_path)] == ["NaN", "-Infinity", "-Infinity"]


def test_a_resume_is_noted_and_everything_goes_on_counting(tmp_path):
    """Oracle: the numbers of the run without an interruption."""
    script = [0.3, 0.9, 0.2, 0.5]
    trainer(tmp_path, [Progress(), Snapshot()]).fit(TinyTask(script=script), loader(), loader())
    again = Progress()
    fitter = trainer(tmp_path, [again, Snapshot()], max_epochs=4)
    last = newest(tmp_path)
    fitter.fit(TinyTask(script=script), loader(), loader(), ckpt_path=last, weights_only=True)
    rows = events(tmp_path)
    kinds = ["validation"] * 2 + ["end", "resume"] + ["validation"] * 2 + ["end"]
    assert [row["event"] for row in rows] == kinds
    assert [row["step"] for row in rows] == [6, 12, 12, 12, 18, 24, 24]
    assert [row["samples_seen"] for row in rows[3:]] == [48, 72, 96, 96]
    assert all(a["time_s"] <= b["time_s"] for a, b in pairwise(rows[3:]))
    assert rows[3]["time_s"] > 0
    assert again.state_dict()["best"] == pytest.approx(0.9)


def test_a_line_that_a_kill_left_unfinished_spoils_no_other(tmp_path):
    (tmp_path / "progress.jsonl").write_text('{"event": "valid')
    file = ProgressFile()
    file.folder = tmp_path
    file.append("end", epoch=1, step=2, metrics={"a": 1.0}, outcome={"status": "completed"})
    torn, whole = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert torn == '{"event": "valid'
    assert json.loads(whole)["status"] == "completed"


def test_a_failure_ends_the_file_with_its_type_and_message(tmp_path):
    class Broken(TinyTask):
        def training_step(self, batch, batch_idx):
            if self.trainer.global_step == 7:
                raise ValueError("boom")
            return super().training_step(batch, batch_idx)

    with pytest.raises(ValueError, match="boom"):
        trainer(tmp_path, [Progress()]).fit(Broken(), loader(), loader())
    last = events(tmp_path)[-1]
    assert (last["event"], last["status"], last["error"]) == ("end", "failed", "ValueError: boom")
    assert last["step"] == 7


def test_test_and_validate_are_written_too(tmp_path):
    fitter = trainer(tmp_path, [Progress()])
    fitter.validate(TinyTask(script=[0.5]), loader(), verbose=False)
    fitter.test(TinyTask(), loader(), verbose=False)
    rows = events(tmp_path)
    assert [row["event"] for row in rows] == ["validate", "test"]
    assert rows[1]["metrics"].keys() == {"test/loss"}


def test_without_validation_each_epoch_gets_its_line(tmp_path):
    trainer(tmp_path, [Progress()]).fit(TinyTask(), loader())
    assert [(row["event"], row["step"]) for row in events(tmp_path)] == [("epoch", 6), ("epoch", 12), ("end", 12)]


def test_a_development_run_leaves_no_file(tmp_path):
    trainer(tmp_path, [Progress()], fast_dev_run=True).fit(TinyTask(), loader(), loader())
    assert not (tmp_path / "progress.jsonl").exists()


def test_where_the_output_is_no_terminal_only_the_permanent_lines_are_printed(tmp_path, capsys):
    """One line a validation, the best so far marked, no control characters, not cut at 80 columns."""
    task = TinyTask(script=[0.5, 0.9, 0.7])
    fitter = trainer(tmp_path, [Progress()], max_epochs=3, num_sanity_val_steps=2)
    fitter.fit(task, loader(), loader())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(character.isprintable() for line in lines for character in line)
    assert lines[1].startswith("epoch 2/3  step 12  train/loss ")
    assert ["val/score 0.5 *" in lines[0], "val/score 0.9 *" in lines[1], "val/score 0.7 *" in lines[2]] == [
        True,
        True,
        False,
    ]


def test_on_a_terminal_the_bar_shows_epoch_batches_speed_and_metrics(tmp_path, capsys, monkeypatch):
    """FORCE_COLOR makes rich take any output for a terminal; every batch may redraw."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    fitter = trainer(tmp_path, [Progress(redraws_per_s=1e9)], num_sanity_val_steps=2)
    fitter.fit(TinyTask(), loader(), loader())
    fitter.test(TinyTask(), loader(), verbose=False)
    fitter.predict(TinyTask(), loader())
    shown = capsys.readouterr().out
    for text in ("Epoch 1/2", "Epoch 2/2", "Sanity check", "Validation", "Test", "Prediction", "images/s", "6/6"):
        assert text in shown
    assert "train/loss" in shown.split("epoch 1/2")[0]
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # every hidden cursor came back


def test_between_redraws_nothing_is_drawn(tmp_path, capsys, monkeypatch):
    """One redraw in 1,000 s: of the six batches of an epoch only the first is drawn."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    trainer(tmp_path, [Progress(redraws_per_s=1e-3)], max_epochs=1).fit(TinyTask(), loader())
    shown = capsys.readouterr().out
    assert "1/6" in shown
    assert "3/6" not in shown


def test_the_bar_is_given_back_when_training_fails(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")

    class Broken(TinyTask):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        trainer(tmp_path, [Progress()]).fit(Broken(), loader(), loader())
    shown = capsys.readouterr().out
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") > 0


def test_a_disabled_bar_prints_nothing_but_writes_the_file(tmp_path, capsys):
    progress = Progress()
    fitter = trainer(tmp_path, [progress])
    progress.disable()
    fitter.fit(TinyTask(), loader(), loader())
    assert capsys.readouterr().out == ""
    assert len(events(tmp_path)) == 3


def test_speed_reaches_the_file(tmp_path):
    """Throughput's values are part of the metrics that Progress writes."""
    trainer(tmp_path, [Throughput(), Progress()]).fit(TinyTask(), loader(), loader())
    assert events(tmp_path)[-1]["metrics"]["throughput/images_per_s"] > 0


def test_a_wrong_rate_is_named():
    with pytest.raises(UserError, match="redraws_per_s is 0"):
        Progress(redraws_per_s=0)


def test_metrics_are_not_read_between_two_points_of_the_curves(tmp_path, monkeypatch):
    """Reading a metric waits for the device: with 6 steps and a point every 3, the bar reads three times."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    reads = []
    fitter = trainer(tmp_path, [Progress(redraws_per_s=1e9)], max_epochs=1, log_every_n_steps=3)
    kind = type(fitter)
    original = kind.progress_bar_metrics
    monkeypatch.setattr(kind, "progress_bar_metrics", property(lambda t: reads.append(1) or original.fget(t)))
    fitter.fit(TinyTask(), loader())
    assert len(reads) == 3  # at steps 1, 3 and 6
    assert torch.is_grad_enabled()
