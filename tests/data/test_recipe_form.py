"""Every data set can be written in a recipe: jsonargparse reads its arguments, their types and their words."""

import pytest
from jsonargparse import ArgumentParser
from torchvision.transforms import v2

from lightning_cv.data import Cutout, MeanStd, VisionData
from tests.data.test_contract import DATA_SETS
from tests.makers import make_for


def parser():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VisionData, "data")
    return parser


@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda c: c.__name__)
def test_shared_and_own_arguments_are_read_from_a_recipe(data_set, tmp_path):
    init_args = {
        **make_for(data_set.__name__, tmp_path),
        "batch_size": 32,
        "normalize": {"mean": [0.5], "std": [0.25]},
        "train_transform": {
            "class_path": "torchvision.transforms.v2.RandomResizedCrop",
            "init_args": {"size": 8},
        },
        "batch_transforms": [
            {"class_path": "lightning_cv.data.Cutout", "init_args": {"area": [0.1, 0.2]}},
            {"class_path": "torchvision.transforms.v2.MixUp", "init_args": {"alpha": 0.2}},
        ],
    }
    recipe = {"data": {"class_path": f"lightning_cv.data.{data_set.__name__}", "init_args": init_args}}
    config = parser().parse_object(recipe)
    data = parser().instantiate_classes(config).data
    assert isinstance(data, data_set)
    assert data.batch_size == 32
    assert data.normalize == MeanStd([0.5], [0.25])
    assert isinstance(data.train_transform, v2.RandomResizedCrop)
    cutout, mixup = data.batch_transforms
    assert isinstance(cutout, Cutout)
    assert cutout.area == (0.1, 0.2)
    assert mixup.alpha == 0.2


@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda c: c.__name__)
def test_every_argument_has_its_words_in_the_help(data_set):
    own = ArgumentParser()
    added = own.add_class_arguments(data_set, "data")
    assert {"data.batch_size", "data.shuffle_seed"} <= set(added)
    words = {action.dest: action.help for group in own._action_groups for action in group._group_actions}
    assert not [name for name in added if name in words and not words[name]]
