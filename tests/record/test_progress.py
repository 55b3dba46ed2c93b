"""Does reading back give the events that count, and only those?"""

import json
import math

import pytest

from lightning_cv.record.progress import ProgressFile, read_progress


def line(event="curve", step=0, metrics=None, **more):
    return json.dumps({"event": event, "epoch": 0, "step": step, "metrics": metrics or {}, **more})


def steps(path):
    return [event["step"] for event in read_progress(path)]


def test_what_the_file_writes_is_read_back(tmp_path):
    """Oracle: the values that went in, the ones that are not finite among them."""
    file = ProgressFile()
    file.open(tmp_path)
    file.append("curve", epoch=0, step=1, metrics={"loss": 0.25, "bad": math.nan, "up": math.inf, "down": -math.inf})
    file.append("end", epoch=1, step=2, metrics={}, outcome={"status": "completed"})
    first, last = read_progress(tmp_path)
    assert math.isnan(first["metrics"].pop("bad"))
    assert first["metrics"] == {"loss": 0.25, "up": math.inf, "down": -math.inf}
    assert (last["event"], last["status"], last["step"]) == ("end", "completed", 2)


@pytest.mark.parametrize(("text", "value"), [("Infinity", math.inf), ("-Infinity", -math.inf)])
def test_what_is_infinite_is_a_float_again_whatever_else_the_file_holds(tmp_path, text, value):
    (tmp_path / "progress.jsonl").write_text(line(metrics={"loss": text}))
    assert read_progress(tmp_path)[0]["metrics"]["loss"] == value


@pytest.mark.parametrize(
    "torn",
    [
        "",
        '{"event": "curve", "st',
        "[]",
        "7",
        "null",
        '{"event": "curve"}',
        '{"metrics": {}}',
        '{"event": 1, "metrics": 2}',
        "\x00",
    ],
)
def test_lines_that_are_no_events_are_passed_over(tmp_path, torn):
    (tmp_path / "progress.jsonl").write_text(f"{line(step=1)}\n{torn}\n{line(step=2)}\n{torn}")
    assert steps(tmp_path) == [1, 2]


def test_a_torn_line_never_joins_with_its_neighbour(tmp_path):
    """Both halves are void, even where together they would be an event."""
    (tmp_path / "progress.jsonl").write_text('{"event": "curve", "step": 5\n"metrics": {}}\n' + line(step=6) + "\n")
    assert steps(tmp_path) == [6]


def test_a_bare_nan_is_read_as_python_writes_it(tmp_path):
    (tmp_path / "progress.jsonl").write_text('{"event": "curve", "step": 1, "metrics": {"loss": NaN}}\n' + line(step=2))
    first, second = read_progress(tmp_path)
    assert math.isnan(first["metrics"]["loss"])
    assert second["step"] == 2


@pytest.mark.parametrize(
    ("kept", "left"), [(0, [9, 4]), (1, [1, 9, 4]), (2, [1, 9, 4]), (3, [1, 2, 9, 4]), (99, [1, 2, 3, 9, 4])]
)
def test_what_a_resume_takes_back_is_void(tmp_path, kept, left):
    """`kept` counts lines, a torn one among them; more than there are keeps all."""
    lines = [line(step=1), '{"torn', line(step=2), line(step=3), line("resume", step=9, kept=kept), line(step=4)]
    (tmp_path / "progress.jsonl").write_text("\n".join(lines))
    assert steps(tmp_path) == left


def test_a_resume_counts_lines_that_an_earlier_resume_made_void(tmp_path):
    lines = [line(step=1), line(step=2), line("resume", step=10, kept=1), line(step=2), line(step=3)]
    lines += [line("resume", step=11, kept=4), line(step=3)]
    (tmp_path / "progress.jsonl").write_text("\n".join(lines))
    assert steps(tmp_path) == [1, 10, 2, 11, 3]


def test_a_resume_without_kept_takes_nothing_back(tmp_path):
    (tmp_path / "progress.jsonl").write_text("\n".join([line(step=1), line("resume", step=1), line(step=2)]))
    assert steps(tmp_path) == [1, 1, 2]


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_progress(tmp_path / "progress.jsonl")
