"""What is wrong with a recipe is said in one line with key, file and line, before anything of it is built."""

import contextlib
import os
from pathlib import Path

import pytest
import torch
import torchvision

from lightning_cv.errors import UserError
from lightning_cv.recipe.imports import allowed_roots
from lightning_cv.run.check import check, restrict_imports, trainer_options
from lightning_cv.run.check_options import options_of
from tests.run.recipe_parts import ALLOWED, RECIPE, build, compose_text, make_parser, open_network

NETWORK = "model.init_args.network"


def checked(overrides: dict[str, str] | None = None, text: str = RECIPE):
    composed = compose_text(text, overrides)
    return check(composed.values, composed.origins, ALLOWED)


def refusal(overrides: dict[str, str] | None = None, text: str = RECIPE) -> str:
    with pytest.raises(UserError) as caught:
        checked(overrides, text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_recipe_passes_unchanged():
    composed = compose_text()
    assert check(composed.values, composed.origins, ALLOWED) == composed.values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("seed_everything: 0", "seed: 0"), "recipe.yaml:2: seed is not a key of a recipe"),
        (("trainer:", "trainr:"), "recipe.yaml:35: trainr is not a key of a recipe; did you mean trainer?"),
        (
            ("max_epochs", "max_epoch"),
            "recipe.yaml:36: trainer.max_epoch is not an option of the Trainer; did you mean",
        ),
        (
            ("num_classes", "num_clases"),
            "recipe.yaml:8: model.init_args.network.init_args.num_clases is not an option of "
            "torchvision.models.squeezenet1_1; did you mean num_classes?",
        ),
        (
            ("{label_smoothing: 0.1}", "{x: 0.1}"),
            "init_args.x is not an option of torch.nn.CrossEntropyLoss; allowed: ",
        ),
        (("patience: 3", "patient: 3"), "recipe.yaml:32: callbacks.early.init_args.patient is not an option of"),
        (("squeezenet1_1", "squeezenet1_2"), f"recipe.yaml:7: {NETWORK}.class_path names torchvision.models.squeeze"),
        (("parts.Task", "parts.Tsk"), "model.class_path names tests.run.recipe_parts.Tsk, which does not exist; did"),
        (("parts.Data", "prts.Data"), "data.class_path names tests.run.recipe_prts.Data, which does not exist"),
        (("torch.optim.AdamW", "AdamW"), "class_path is 'AdamW', which is not a full dotted path such as"),
        (("torch.optim.AdamW", "[1]"), "class_path is [1], which is not a dotted path"),
        (
            ("    loss:\n      class_path: torch.nn.CrossEntropyLoss\n", "    loss:\n"),
            "model.init_args.loss has no class",
        ),
        (
            ("      init_args: {label", "      init_arg: {label"),
            "loss.init_arg is not allowed here; did you mean init_args?",
        ),
        (
            ("      init_args: {label_smoothing: 0.1}", "      init_args: 3"),
            "loss.init_args is 3; give a mapping of opt",
        ),
        (
            ("      init_args: {label_smoothing: 0.1}", "      init_args: [3]"),
            "loss.init_args is a list; give a mapping",
        ),
        (
            ("      init_args: {label_smoothing: 0.1}", "      smooth: 3"),
            "loss.smooth is not allowed here; options belong",
        ),
        (("  rate:\n    class_path: l", "  rate:\n    - l"), "callbacks.rate is ["),
        (("class_path: torch.optim.AdamW", "class_path: torch.optim.lr_scheduler"), "which is not a class"),
        (("class_path: torch.optim.AdamW", "class_path: torch.optim.lr_scheduler.math.pi"), "in builtins.float"),
    ],
)
def test_a_wrong_key_or_class_is_named_with_its_line(change, said):
    assert RECIPE.count(change[0]) >= 1
    assert said in refusal(text=RECIPE.replace(change[0], change[1], 1))


@pytest.mark.parametrize("section", ["model", "data"])
def test_a_section_that_is_missing_is_named(section):
    assert refusal({section: "null"}).startswith(f"recipe.yaml: {section} is missing: give {section}: {{class_path")
    assert refusal({section: "3"}).startswith(f"command line: {section} is 3; give {{class_path")


def test_sections_of_the_wrong_shape_are_named():
    assert refusal({"callbacks": "[1]"}) == (
        "command line: callbacks is a list; give a mapping such as {ema: {class_path: ...}}"
    )
    assert refusal({"trainer": "3"}).startswith("command line: trainer is 3; give a mapping such as {max_epochs: 10}")
    assert refusal({"callbacks.erly.init_args.patience": "2"}).endswith(
        "callbacks.erly has no class_path; did you mean early?"
    )
    assert "callbacks" not in checked({"callbacks": "null"})
    assert "trainer" not in checked({"trainer": "null"})
    assert checked({"callbacks.early": "null"})["callbacks"]["early"] is None


def test_options_of_the_trainer_are_lightnings_own():
    """The oracle is Lightning's documented list: a few that every version has, and no self."""
    assert {"max_epochs", "devices", "precision", "gradient_clip_val", "logger"} <= set(trainer_options())
    assert "self" not in trainer_options()


def test_options_behind_kwargs_are_followed_or_else_handed_on():
    """torchvision's `**kwargs` end in a known constructor, so a typo is seen; timm's are chosen at run time."""
    followed = options_of(torchvision.models.squeezenet1_1)
    assert {"num_classes", "dropout", "weights"} <= followed.names
    assert not followed.open
    assert options_of(open_network).open
    network = "{name: Linear, in_features: 3, out_features: 2}"
    values = checked({NETWORK: "tests.run.recipe_parts.open_network", f"{NETWORK}.init_args": network})
    assert values["model"]["init_args"]["network"] == {
        "class_path": "tests.run.recipe_parts.open_network",
        "init_args": {"name": "Linear"},
        "dict_kwargs": {"in_features": 3, "out_features": 2},
    }


def test_a_network_with_handed_on_options_is_built():
    """The weight's shape shows that the options arrived: a timm network and one of our own."""
    parser = make_parser()
    overrides = {NETWORK: "tests.run.recipe_parts.open_network"}
    overrides[f"{NETWORK}.init_args"] = "{name: Linear, in_features: 3, out_features: 2}"
    assert build(compose_text(overrides=overrides), parser).model.network.weight.shape == (2, 3)
    overrides[NETWORK] = "timm.create_model"
    overrides[f"{NETWORK}.init_args"] = "{model_name: test_resnet, num_classes: 7, in_chans: 1}"
    network = build(compose_text(overrides=overrides), parser).model.network
    assert network.get_classifier().out_features == 7


@pytest.mark.parametrize("value", ["4096", "'4096'", "0", "-2", "[0, 4096]", "'0,4096'"])
def test_devices_that_do_not_exist_are_refused(value):
    """Trap 9: 4,096 devices on a CPU would start 4,096 processes."""
    shown = refusal({"trainer.devices": value, "trainer.accelerator": "cpu"})
    assert shown.startswith("command line: trainer.devices ")
    assert f"this machine has {os.cpu_count()} CPU core" in shown


@pytest.mark.parametrize("value", ["1", "auto", "-1", "'1'", "[0]", "null", "'-1'"])
def test_devices_that_exist_pass(value):
    checked({"trainer.devices": value})


def test_more_gpus_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert refusal({"trainer.accelerator": "gpu", "trainer.devices": "3"}).endswith("is 3, but this machine has 2 GPUs")
    checked({"trainer.accelerator": "gpu", "trainer.devices": "2"})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert refusal({"trainer.accelerator": "cuda", "trainer.devices": "1"}).endswith("has 0 GPUs")


def test_batch_norm_is_synchronized_on_gpus_only(monkeypatch):
    """As torch's DDP would say in its own words, after the processes have started."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    asked = {"trainer.accelerator": "cpu", "trainer.devices": "2", "trainer.sync_batchnorm": "true"}
    assert refusal(asked) == (
        "command line: trainer.sync_batchnorm is true, but torch synchronizes batch norm on GPUs only, and this "
        "training has CPU cores"
    )
    checked(asked | {"trainer.devices": "1"})
    checked(asked | {"trainer.sync_batchnorm": "false"})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    checked(asked | {"trainer.accelerator": "gpu"})


def test_loader_processes_without_measure_are_refused():
    limit = 8 * (os.cpu_count() or 1)
    checked({"data.init_args.num_workers": str(limit)})
    assert f"allowed: 0 to {limit}" in refusal({"data.init_args.num_workers": str(limit + 1)})


TOUCH = "[touch, executed]"
HOSTILE = {
    "a shell as a class": {"model.init_args.loss": "{class_path: os.system, init_args: {command: touch executed}}"},
    "a process as a class": {"model.init_args.loss": f"{{class_path: subprocess.Popen, init_args: {{args: {TOUCH}}}}}"},
    "a shell as a callable": {"model.init_args.activation": "os.system"},
    "a process for a callable": {
        "model.init_args.activation": f"{{class_path: subprocess.Popen, init_args: {{args: {TOUCH}}}}}"
    },
    "a shell as an optimizer": {
        "model.init_args.optimizer": "{class_path: os.system, init_args: {command: touch executed}}"
    },
    "a file through any": {"model.init_args.anything": "{class_path: pathlib.Path.touch, init_args: {self: executed}}"},
    "open through any": {
        "model.init_args.anything": "{class_path: builtins.open, init_args: {file: executed, mode: w}}"
    },
    "open for a callable": {
        "model.init_args.activation": "{class_path: builtins.open, init_args: {file: executed, mode: w}}"
    },
    "through a module's imports": {"model.init_args.activation": "torch.nn.modules.module.os.system"},
    "through our own imports": {"model.init_args.activation": "lightning_cv.data.base.os.system"},
    "partial through a module": {
        "model.init_args.activation": "{class_path: torch.optim.lr_scheduler.partial, init_args: {func: os.system}}"
    },
    "import_module through a module": {"model.init_args.activation": "torch.nn.functional.importlib.import_module"},
    "a stranger's module": {"model.init_args.loss": "{class_path: stranger.Loss}"},
    "a stranger's module as a callable": {"model.init_args.activation": "stranger.loss"},
    "a stranger's module as a callback": {"callbacks.early": "{class_path: stranger.Callback}"},
    "a stranger's module as a logger": {"trainer.logger": "{class_path: stranger.Logger}"},
    "a stranger's module in a list": {"trainer.callbacks": "[{class_path: stranger.Callback}]"},
    "a stranger's module as a task": {"model.class_path": "stranger.Task"},
    "a stranger's module under dict_kwargs": {"model.dict_kwargs": "{anything: {class_path: stranger.Loss}}"},
    "a stranger's module by a joined key": {"model.init_args": "{loss.class_path: stranger.Loss}"},
    "a joined key at the top": {"model": "null", "trainer": "{logger.class_path: stranger.Logger}"},
    "a stranger inside an allowed name": {"model.init_args.loss": "{class_path: torch.nn.modules.stranger.Loss}"},
    "torch.hub": {
        "model.init_args.network": "{class_path: torch.hub.load, init_args: {repo_or_dir: ., source: local, model: x}}"
    },
    "torch.load": {"model.init_args.network": "{class_path: torch.load, init_args: {f: evil.pt, weights_only: false}}"},
    "a compiler": {"model.init_args.activation": "torch.utils.cpp_extension.load"},
    "timm's checkpoint reader": {
        "model.init_args.network": "{class_path: timm.models.load_state_dict, init_args: {checkpoint_path: evil.pt}}"
    },
    "another recipe's file as a class": {"model.init_args.loss": "./hostile.yaml"},
    "another recipe's file as a callback": {"callbacks.early": "hostile.yaml"},
    "another recipe's file as the model": {"model": "hostile.yaml"},
    **{
        f"{factory} as a factory": {
            "model.init_args.network": "{class_path: lightning_cv.networks.build_network, init_args: "
            f"{{factory: {factory}, {options}}}}}"
        }
        for factory, options in (
            ("os.system", "command: touch executed"),
            ("subprocess.Popen", f"args: {TOUCH}"),
            ("torch.nn.modules.module.os.system", "command: touch executed"),
            ("stranger.Loss", "a: 1"),
            ("torch.load", "f: evil.pt"),
            ("'{class_path: subprocess.Popen}'", f"args: {TOUCH}"),
        )
    },
    "the policy itself": {"model.init_args.activation": "jsonargparse.set_parsing_settings"},
    "private names": {"model.init_args.activation": "torch.nn.Module.__init__.__globals__"},
}


@pytest.fixture
def strangers_code(monkeypatch):
    """A folder whose code would leave the file `executed` behind, on the import path."""
    leave = "open('executed', 'w').close()\n"
    Path("stranger.py").write_text(leave)
    Path("hubconf.py").write_text(leave)
    Path("hostile.yaml").write_text("class_path: stranger.Loss\n")
    Path("evil.pt").write_bytes(b"cos\nsystem\n(S'touch executed'\ntR.")
    monkeypatch.syspath_prepend(str(Path.cwd()))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_recipe_runs_nothing(strangers_code, name):
    """Refused in one line by the check; and by the parser alone, if the check had let it pass."""
    refused = refusal(HOSTILE[name])
    assert refused.startswith(("command line: ", "recipe.yaml"))
    assert not Path("executed").exists()
    restrict_imports(ALLOWED)
    parser = make_parser()
    composed = compose_text(overrides=HOSTILE[name])
    with contextlib.suppress(Exception):  # whatever the parser says; only what it runs matters here
        parser.instantiate_classes(parser.parse_object(composed.values))
    assert not Path("executed").exists()


def test_the_bait_works_when_the_stranger_is_allowed(strangers_code):
    """The oracle of the test above: with --allow-code the stranger's module is imported and leaves its file."""
    composed = compose_text(overrides={"model.init_args.loss": "{class_path: stranger.Loss}"})
    with pytest.raises(UserError, match=r"names stranger\.Loss, which does not exist"):
        check(composed.values, composed.origins, allowed_roots(["tests", "stranger"]))
    assert Path("executed").exists()


def test_a_restricted_parser_still_builds_a_good_recipe():
    restrict_imports(ALLOWED)
    assert build(compose_text(), make_parser()).model.network is not None
