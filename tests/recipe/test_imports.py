"""A recipe may name only code that is meant to be named; the judgement imports nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.imports import ALLOWED, allowed_roots, check_imports

USUAL = allowed_roots()


@pytest.mark.parametrize(
    "path",
    [
        "lightning_cv.tasks.Classify",
        "lightning_cv.networks.classify.SmallResNet",
        "torch.nn.CrossEntropyLoss",
        "torch.optim.lr_scheduler.StepLR",
        "torchvision.models.resnet18",
        "torchvision.transforms.v2.Resize",
        "torchvision.ops.FrozenBatchNorm2d",
        "timm.create_model",
        "timm.models.resnet18",
        "timm.optim.Lamb",
        "torchmetrics.classification.MulticlassAccuracy",
        "lightning.pytorch.callbacks.EarlyStopping",
        "lightning.pytorch.loggers.CSVLogger",
        "lightning.pytorch.strategies.DDPStrategy",
    ],
)
def test_what_recipes_are_made_of_may_be_named(path):
    assert USUAL.refusal(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "torch.load",
        "torch.hub.load",
        "torch.utils.cpp_extension.load",
        "torch.nnx.Linear",
        "torchvision.datasets.utils.download_url",
        "timm.data.create_dataset",
        "timm.models._hub.load_state_dict_from_hf",
        "timm.models.helpers.load_checkpoint",
        "torchmetrics.text.BERTScore",
        "lightning.fabric.plugins.ClusterEnvironment",
        "lightning.pytorch.cli.LightningCLI",
        "lightning_cv.run.program.execute",
        "lightning_cv.cli.main.main",
        "lightning_cv",
        "jsonargparse.set_parsing_settings",
        "my_package.Net",
        "torch.nn.Module.__init__",
        "torch.nn._reduction.get_enum",
        "Classify",
        "",
        "torch.nn.",
        "torch.nn.Linear()",
        "torch.nn;os.system",
        "../torch.nn",
        3,
        None,
        ["torch.nn.Linear"],
    ],
)
def test_everything_else_may_not(path):
    refusal = USUAL.refusal(path)
    assert refusal
    assert "\n" not in refusal


def test_the_user_can_permit_a_package_but_not_the_policy_itself():
    permitted = allowed_roots(["my_package", "other.nets"])
    assert permitted.refusal("my_package.Net") is None
    assert permitted.refusal("other.nets.Net") is None
    assert permitted.refusal("my_package_2.Net")
    assert permitted.refusal("other.Net")
    for name in ("jsonargparse", "jsonargparse.typing", "*", "a-b", "", "a/b"):
        with pytest.raises(UserError, match="not the name of a package that can be permitted"):
            allowed_roots([name])


def test_the_refusal_says_where_what_and_how_to_permit_it():
    Path("recipe.yaml").write_text("model:\n  class_path: my_package.Net\n")
    composed = compose([read_recipe(Path("recipe.yaml"))])
    with pytest.raises(UserError) as caught:
        check_imports(composed, USUAL)
    said = str(caught.value)
    assert said.startswith("recipe.yaml:2: model.class_path names my_package.Net, which a recipe may not; allowed: ")
    assert said.endswith("; --allow-code my_package permits it, if you trust it")
    for name in ALLOWED:
        assert name.rpartition(".")[2] in said
    assert "--allow-code" not in str(USUAL.refusal("os.system"))


def test_names_are_judged_wherever_they_stand():
    text = "trainer: {callbacks: [{a: {class_path: os.system}}]}\n"
    Path("recipe.yaml").write_text(text)
    with pytest.raises(UserError, match=r"^recipe\.yaml:1: trainer\.callbacks\.0\.a\.class_path names os\.system"):
        check_imports(compose([read_recipe(Path("recipe.yaml"))]), USUAL)
    Path("recipe.yaml").write_text("model: {init_args: {loss.class_path: torch.nn.Linear}}\n")
    with pytest.raises(UserError, match=r"is not a key: a class_path stands by itself$"):
        check_imports(compose([read_recipe(Path("recipe.yaml"))]), USUAL)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("torch.nn.Liner", "does not exist; did you mean Linear?"),
        ("torch.nn.nope.Linear", "does not exist"),
        ("torch.nn.modules.module.functools.partial", "is not defined there but in functools.partial"),
        ("torch.optim.lr_scheduler.partial", "is not defined there but in functools.partial"),
        ("torch.nn.functional.importlib.import_module", "is not defined there but in importlib.import_module"),
        ("torch.optim.lr_scheduler.types", "is not defined there but in types"),
        ("timm.models.load_checkpoint", "is not defined there but in timm.models._helpers.load_checkpoint"),
        ("os.system", "which a recipe may not"),
    ],
)
def test_what_is_only_reachable_may_not_be_named(path, said):
    """After it was found, an object must be defined in an allowed place."""
    with pytest.raises(UserError) as caught:
        USUAL.resolve(path)
    assert said in str(caught.value)


def test_resolving_gives_the_object_itself():
    import torch

    assert USUAL.resolve("torch.nn.Linear") is torch.nn.Linear
    assert USUAL.resolve("torch.nn.functional.gelu") is torch.nn.functional.gelu


def test_packages_that_are_missing_or_need_another_are_named(monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("needs_more.py").write_text("import not_installed_anywhere\n")
    permitted = allowed_roots(["needs_more", "absent_package"])
    with pytest.raises(UserError, match="which needs the package not_installed_anywhere: not installed"):
        permitted.resolve("needs_more.Net")
    with pytest.raises(UserError, match="which needs the package absent_package: not installed"):
        permitted.resolve("absent_package.Net")


def test_the_recipe_package_loads_no_torch(repository):
    """The oracle is sys.modules of a fresh interpreter that imports every module of it and checks a recipe."""
    script = """
import importlib, pkgutil, sys
import lightning_cv.recipe
names = [info.name for info in pkgutil.iter_modules(lightning_cv.recipe.__path__)]
assert len(names) > 5, names
for name in names:
    importlib.import_module(f"lightning_cv.recipe.{name}")
from lightning_cv.recipe import compose, files, imports, shipped
recipe = files.read_recipe(shipped.shipped()[0].path)
imports.check_imports(compose.compose([recipe]), imports.allowed_roots())
print(sorted({"torch", "lightning", "numpy", "jsonargparse", "rich"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
