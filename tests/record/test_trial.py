"""Do a sweep and the training of its trial understand one another, and is every contradiction told?"""

import json

import pytest

from lightning_cv.record.trial import (
    LiveNote,
    TrialNote,
    contradictions,
    read_live_note,
    read_trial_note,
    write_live_note,
    write_trial_note,
)

SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9}}
VALUES = {"a.lr": 1e-3, "a.on": True, "a.name": "x", "a.none": None, "a.betas": [0.9, 0.99], "a.optimizer": SGD}


def test_a_note_reads_back_as_it_was_written(tmp_path):
    """Every float to its last bit; a second note replaces the first, and no other file is left."""
    for number, state in ((7, "running"), (8, "pruned")):
        values = VALUES | {"a.third": number / 3}
        note = TrialNote("digits", number, "trial", values, state=state, reason="median")
        write_trial_note(tmp_path, note)
        assert read_trial_note(tmp_path) == note
    live = LiveNote(values=VALUES, unknown=("b",), total_steps=10, steps_per_epoch=None, pid=3)
    write_live_note(tmp_path, live)
    assert read_live_note(tmp_path) == live
    assert {path.name for path in tmp_path.iterdir()} == {"trial.json", "live.json"}


def test_the_files_have_the_keys_that_other_programs_read(tmp_path):
    write_trial_note(tmp_path, TrialNote("digits", 7, "trial", {"a": 1}))
    write_live_note(tmp_path, LiveNote({"a": 1}, ("b",), 10, 5, 3))
    trial = {"study": "digits", "number": 7, "job_type": "trial", "values": {"a": 1}, "state": "running", "reason": ""}
    assert json.loads((tmp_path / "trial.json").read_text()) == trial
    live = {"values": {"a": 1}, "unknown": ["b"], "total_steps": 10, "steps_per_epoch": 5, "pid": 3}
    assert json.loads((tmp_path / "live.json").read_text()) == live


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        '{"study": "x", "num',
        "[]",
        "null",
        "{}",
        "\udcff",
        '{"study": 3, "number": 0, "values": {}}',
        '{"study": "x", "number": true, "values": {}}',
        '{"study": "x", "number": 1, "values": []}',
        '{"study": "x", "number": -1, "values": {}, "unknown": {}}',
        '{"values": {}, "unknown": [], "pid": null}',
        "[" * 100_000,
    ],
)
def test_a_missing_or_damaged_file_is_no_note(tmp_path, text):
    for name, read in (("trial.json", read_trial_note), ("live.json", read_live_note)):
        if text is not None:
            (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
        assert read(tmp_path) is None


def test_what_is_live_as_it_was_sampled_contradicts_nothing():
    assert contradictions(VALUES, LiveNote(values=json.loads(json.dumps(VALUES)))) == []


@pytest.mark.parametrize(
    ("sampled", "live"),
    [
        (0.1, 0.1 * (1 + 1e-10)),
        (1, 1.0),
        (float("inf"), float("inf")),
        ((0.9, 0.99), [0.9, 0.99]),
        ("torch.optim.SGD", {"class_path": "torch.optim.SGD"}),
        (SGD, {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}),
        (SGD, {"init_args": {"momentum": 0.9}}),
        ({0: 1.5}, {"0": 1.5}),
        ([{"class_path": "A", "init_args": {"p": 0.5}}], [{"class_path": "A", "init_args": {"p": 0.5, "q": 1}}]),
    ],
)
def test_one_value_in_two_spellings_is_no_contradiction(sampled, live):
    """Nor is what could not be found in a class."""
    assert contradictions({"a": sampled}, LiveNote(values={"a": live})) == []


@pytest.mark.parametrize(
    ("sampled", "live", "line"),
    [
        (0.1, 0.1 * (1 + 1e-8), "a: sampled 0.1, live 0.100000001"),
        (3, 4, "a: sampled 3, live 4"),
        (2**60, 2**60 + 1, "a: sampled 1152921504606846976, live 1152921504606846977"),
        (0.0, 1e-300, "a: sampled 0.0, live 1e-300"),
        (1, True, "a: sampled 1, live true"),
        (True, False, "a: sampled true, live false"),
        ("cos", "step", "a: sampled cos, live step"),
        ("1", 1, "a: sampled 1, live 1"),
        (0.1, None, "a: sampled 0.1, live null"),
        (None, 0.1, "a: sampled null, live 0.1"),
        ([0.9, 0.99], [0.9, 0.999], "a: sampled [0.9, 0.99], live [0.9, 0.999]"),
        ([1, 2], [1, 2, 3], "a: sampled [1, 2], live [1, 2, 3]"),
        (SGD, {"class_path": "torch.optim.Adam"}, "a.class_path: sampled torch.optim.SGD, live torch.optim.Adam"),
        (
            {"init_args": {"lr": 0.1}, "class_path": "torch.optim.SGD"},
            {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.5}},
            "a.class_path: sampled torch.optim.SGD, live torch.optim.Adam",
        ),
        (SGD, None, "a: sampled torch.optim.SGD, live null"),
        (SGD, {**SGD, "init_args": {"lr": 0.5, "momentum": 0}}, "a.init_args.lr: sampled 0.1, live 0.5"),
        ("torch.optim.SGD", {"class_path": "torch.optim.Adam"}, "a: sampled torch.optim.SGD, live torch.optim.Adam"),
        ([SGD], [{**SGD, "init_args": {"momentum": 0}}], "a.0.init_args.momentum: sampled 0.9, live 0"),
    ],
)
def test_each_contradiction_is_one_line_with_both_values(sampled, live, line):
    assert contradictions({"b": 1, "a": sampled}, LiveNote(values={"a": live, "b": 1})) == [line]


def test_a_long_value_is_cut_in_the_line():
    (line,) = contradictions({"a": "x" * 500}, LiveNote(values={"a": "y" * 500}))
    assert len(line) < 200
