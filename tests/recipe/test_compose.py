"""Several recipes and overrides become one: later wins, and every value knows where it was said."""

from pathlib import Path

import pytest

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import Recipe, read_recipe

BASE = """\
seed_everything: 0
model:
  class_path: a.Task
  init_args:
    network: {class_path: n.Old, init_args: {width: 8, depths: [1, 2]}, dict_kwargs: {z: 1}}
    lr: 0.1
callbacks:
  ema: {class_path: c.Ema, init_args: {decay: 0.9}}
trainer: {max_epochs: 3, callbacks: [{class_path: c.A, init_args: {x: 1}}, b]}
"""


def recipe(text: str, name: str = "base.yaml") -> Recipe:
    path = Path(name)
    path.write_text(text)
    return read_recipe(path)


@pytest.fixture
def base() -> Recipe:
    return recipe(BASE)


def test_later_recipes_win_mappings_merge_lists_and_null_replace(base):
    later = recipe(
        "trainer: {devices: 2, callbacks: [q]}\ncallbacks: {ema: null, stop: {class_path: s.S}}\n", "later.yaml"
    )
    composed = compose([base, later])
    assert composed.values["trainer"] == {"max_epochs": 3, "devices": 2, "callbacks": ["q"]}
    assert composed.values["callbacks"] == {"ema": None, "stop": {"class_path": "s.S"}}
    assert composed.values["model"] == base.values["model"]
    assert composed.origins["trainer.devices"] == "later.yaml:1"
    assert composed.origins["trainer.max_epochs"] == "base.yaml:9"
    assert composed.origins["callbacks.ema"] == "later.yaml:2"
    assert "trainer.callbacks.1" not in composed.origins
    assert "callbacks.ema.init_args.decay" not in composed.origins


def test_composing_leaves_its_sources_as_they_were(base):
    before = read_recipe(Path("base.yaml")).values
    composed = compose([base], [("model.init_args.network.init_args.depths.0", "7")])
    composed.values["model"]["init_args"]["lr"] = 5
    assert base.values == before


@pytest.mark.parametrize("by_command_line", [False, True])
def test_another_class_drops_the_options_of_the_old_one(base, by_command_line):
    """Only options that the later source gives remain, whatever their order on the command line."""
    if by_command_line:
        network = "model.init_args.network"
        overrides = [(f"{network}.init_args.heads", "4"), (f"{network}.class_path", "n.New")]
        composed = compose([base], overrides)
    else:
        text = "model: {init_args: {network: {class_path: n.New, init_args: {heads: 4}}}}\n"
        composed = compose([base, recipe(text, "later.yaml")])
    assert composed.get("model.init_args.network") == {"class_path": "n.New", "init_args": {"heads": 4}}
    assert composed.get("model.init_args.lr") == 0.1
    assert "model.init_args.network.init_args.width" not in composed.origins
    assert "model.init_args.network.dict_kwargs" not in composed.origins


def test_the_same_class_keeps_its_options(base):
    text = "model: {init_args: {network: {class_path: n.Old, init_args: {width: 9}}}}\n"
    network = compose([base, recipe(text, "later.yaml")]).get("model.init_args.network")
    assert network["init_args"] == {"width": 9, "depths": [1, 2]}
    assert network["dict_kwargs"] == {"z": 1}


def test_options_given_before_any_class_are_kept():
    first = recipe("callbacks: {ema: {init_args: {decay: 0.5}}}\n", "first.yaml")
    second = recipe("callbacks: {ema: {class_path: c.Ema}}\n", "second.yaml")
    composed = compose([first, second])
    assert composed.get("callbacks.ema") == {"init_args": {"decay": 0.5}, "class_path": "c.Ema"}


def test_a_dotted_text_in_place_of_a_class_names_the_class(base):
    composed = compose([base], [("model.init_args.network", "n.New"), ("model.init_args.network.init_args.q", "1")])
    assert composed.get("model.init_args.network") == {"class_path": "n.New", "init_args": {"q": 1}}


def test_overrides_are_yaml_and_reach_items_of_lists(base):
    overrides = [
        ("trainer.max_epochs", "5"),
        ("trainer.max_epochs", "6"),
        ("model.init_args.lr", "1e-3"),
        ("trainer.callbacks.0.init_args.x", "[2]"),
        ("model.init_args.network.init_args.depths.1", "7"),
        ("callbacks.new.class_path", "c.New"),
        ("callbacks.ema", "null"),
        ("trainer.logger", "{class_path: l.L}"),
    ]
    composed = compose([base], overrides)
    assert composed.get("trainer.max_epochs") == 6
    assert composed.get("model.init_args.lr") == 0.001
    assert composed.get("trainer.callbacks.0.init_args.x") == [2]
    assert composed.get("model.init_args.network.init_args.depths") == [1, 7]
    assert composed.get("callbacks") == {"ema": None, "new": {"class_path": "c.New"}}
    assert composed.origins["trainer.logger.class_path"] == "command line"
    assert composed.locate("trainer.callbacks.0.init_args.x") == "command line: trainer.callbacks.0.init_args.x"
    assert composed.locate("model.init_args.lr.nothing") == "command line: model.init_args.lr.nothing"
    assert composed.locate("data") == "data"


def test_keys_that_are_numbers_stay_numbers():
    first = recipe("trainer: {schedule: {0: 1, 4: 2}}\n", "first.yaml")
    second = recipe("trainer: {schedule: {4: 3, 8: 4}}\n", "second.yaml")
    composed = compose([first, second], [("trainer.schedule.0", "9")])
    assert composed.get("trainer.schedule") == {0: 9, 4: 3, 8: 4}
    assert composed.get("trainer.schedule.8") == 4


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("trainr.max_epochs", "--trainr.max_epochs: a recipe has no trainr; did you mean trainer?"),
        ("model.init_arg.lr", "--model.init_arg.lr: model has no init_arg; did you mean init_args?"),
        ("model.init_args.lr.x", "model.init_args.lr is 0.1 (base.yaml:6), which has no x"),
        ("model.init_args.network.init_args.depths.2", "is a list (base.yaml:5) of 2, counted from 0"),
        ("model.init_args.network.init_args.depths.x", "is a list (base.yaml:5), which has no x"),
        ("model.init_args.network.init_args.depths.-1", "is a list (base.yaml:5), which has no -1"),
        ("model..lr", "an empty part in the path"),
        (".lr", "an empty part in the path"),
    ],
)
def test_an_override_that_leads_nowhere_says_where_it_stopped(base, path, said):
    with pytest.raises(UserError) as caught:
        compose([base], [(path, "1")])
    assert said in str(caught.value)


def test_below_a_callback_that_is_switched_off_nothing_can_be_set(base):
    with pytest.raises(UserError, match=r"callbacks\.ema is null \(command line\), which has no init_args"):
        compose([base], [("callbacks.ema", "null"), ("callbacks.ema.init_args.decay", "1")])


def test_get_and_set_reach_one_value(base):
    composed = compose([base])
    changed = composed.set("model.init_args.lr", 0.7, origin="sweep.yaml:3")
    assert changed.get("model.init_args.lr") == 0.7
    assert changed.origin("model.init_args.lr") == "sweep.yaml:3"
    assert composed.get("model.init_args.lr") == 0.1
    with pytest.raises(UserError, match=r"^model\.init_args\.nope: model\.init_args has no nope$"):
        composed.get("model.init_args.nope")
