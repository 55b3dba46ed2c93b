"""Is training that goes on from any of its checkpoints the training that was never cut?"""

import inspect

import pytest

import lightning_cv.tasks
from lightning_cv.tasks import VisionTask
from tests.resuming import CASES, SaveEverywhere, differences, end_of, go_on, train


@pytest.mark.parametrize("name", CASES)
def test_training_goes_on_bit_for_bit_from_every_place_in_which_it_can_be_saved(tmp_path, name):
    """Oracle: the run that was never cut. Weights, averages, optimizer, schedules, generators, every logged value."""
    case = CASES[name]
    saver = SaveEverywhere(tmp_path / "saved")
    straight = train(tmp_path / "straight", case, saver)
    expected = end_of(straight)
    assert len(saver.saved) > 10
    wrong = {}
    for path in saver.saved:
        resumed = go_on(tmp_path / path.stem, case, straight.folder, path)
        found = differences(expected, end_of(resumed))
        if found:
            wrong[path.stem] = found
    assert not wrong


def test_every_task_is_cut_here():
    """A task that is added to the package needs a case."""
    exported = [getattr(lightning_cv.tasks, name) for name in lightning_cv.tasks.__all__]
    tasks = {value for value in exported if inspect.isclass(value) and not inspect.isabstract(value)}
    assert tasks
    assert {type(case.make_task()) for case in CASES.values()} >= {t for t in tasks if issubclass(t, VisionTask)}
