"""Are the settings found in which runs differ, and only those?"""

import pytest

from lightning_cv.compare.settings import ABSENT, differences, fingerprint, leaves, short_names, short_value
from tests.compare.maker import RECIPE, recipe

LR = "model.init_args.optimizer.init_args.lr"
OPTIMIZER = "model.init_args.optimizer"


def test_only_what_differs_is_named():
    found = differences([recipe(), recipe(model__init_args__optimizer__init_args__lr=0.1), recipe(seed_everything=1)])
    assert found.keys == ("seed_everything", LR)
    assert [values[LR] for values in found.values] == [0.003, 0.1, 0.003]
    assert found.ignored == ()
    assert not found.of_classes


def test_equal_recipes_differ_nowhere():
    assert differences([recipe(), recipe()]).keys == ()
    assert differences([recipe()]).keys == ()


def test_one_number_written_in_two_ways_is_one_but_truth_is_no_number():
    assert differences([{"a": 1, "b": [0.0, 1]}, {"a": 1.0, "b": [0, 1.0]}]).keys == ()
    assert differences([{"a": 1, "b": None}, {"a": True, "b": 0}]).keys == ("a", "b")


def test_a_list_is_one_value_unless_it_holds_mappings():
    assert dict(leaves({"a": [1, 2], "b": [{"c": 1}], "d": {}, "e": []})) == {"a": [1, 2], "b.0.c": 1, "d": {}, "e": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"trainer__logger": None},
        {"trainer__logger__init_args__name": "other"},
        {"trainer__default_root_dir": "/elsewhere"},
        {"callbacks__progress__init_args__redraws_per_s": 1.0},
        {"callbacks__snapshot__init_args__dirpath": "/elsewhere"},
    ],
)
def test_where_output_goes_is_ignored_and_said(changes):
    found = differences([recipe(), recipe(**changes)])
    assert found.keys == ()
    assert found.ignored
    assert fingerprint(recipe(), found.ignored) == fingerprint(recipe(**changes), found.ignored)


def test_data_in_another_place_is_ignored_but_other_data_is_not():
    def with_root(root):
        return recipe(data__init_args__root=root)

    assert differences([with_root("/a/cifar10"), with_root("/b/cifar10")]).ignored == ("data.init_args.root",)
    assert differences([with_root("/a/cifar10"), with_root("/a/mnist")]).keys == ("data.init_args.root",)


def test_what_only_one_of_two_classes_has_is_marked_and_what_both_have_is_not():
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9}}
    found = differences([recipe(), recipe(model__init_args__optimizer=sgd)])
    assert set(found.keys) == {
        f"{OPTIMIZER}.class_path",
        LR,
        f"{OPTIMIZER}.init_args.weight_decay",
        f"{OPTIMIZER}.init_args.momentum",
    }
    assert found.of_classes == {f"{OPTIMIZER}.init_args.weight_decay", f"{OPTIMIZER}.init_args.momentum"}
    assert found.values[0][f"{OPTIMIZER}.init_args.momentum"] == ABSENT


def test_a_recipe_that_could_not_be_read_differs_nowhere():
    found = differences([recipe(), None, recipe(seed_everything=1)])
    assert found.keys == ("seed_everything",)
    assert found.values[1] == {}


def test_the_fingerprint_knows_everything_but_the_seed():
    """Oracle: the recipe changed in each leaf in turn."""
    base = fingerprint(RECIPE, ())
    assert fingerprint(recipe(seed_everything=9), ()) == base
    for path, _ in leaves(RECIPE):
        if path != "seed_everything":
            assert fingerprint(recipe(**{path.replace(".", "__"): "changed"}), ()) != base, path


def test_names_are_short_where_that_is_clear():
    names = short_names(
        [LR, "seed_everything", f"{OPTIMIZER}.class_path", "model.init_args.a.b.lr", "data.init_args.a.b.lr"]
    )
    assert names[LR] == "optimizer.lr"
    assert names["seed_everything"] == "seed"
    assert names[f"{OPTIMIZER}.class_path"] == "model.optimizer"
    assert names["model.init_args.a.b.lr"] == "model.a.b.lr"
    assert names["data.init_args.a.b.lr"] == "data.a.b.lr"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0.001, "0.001"),
        (64, "64"),
        ([32, 64], "[32, 64]"),
        ("torch.optim.SGD", "SGD"),
        ("a b.c", "a b.c"),
        ("16-mixed", "16-mixed"),
    ],
)
def test_values_read_as_in_a_recipe_and_classes_by_their_name(value, text):
    assert short_value(value) == text
