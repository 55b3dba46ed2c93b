"""Which code may a recipe name?

A recipe names classes and functions by dotted path, and naming them runs them. A stranger's recipe must not
run a stranger's module, nor turn a harmless package into a shell: so only what stands here may be named,
plus what the user permits with `--allow-code`. A path is judged before anything is imported; afterwards the
object must also be *defined* in an allowed place, since `torch.nn.modules.module.os` is reachable but is
not torch's.

Network weights that a recipe asks torchvision or timm for (`weights=`, `pretrained=`, `hf-hub:` names, URLs in
`pretrained_cfg`) are downloaded. timm reads them as tensors only. torchvision fetches its own from its own fixed
addresses and reads them as pickles: these you trust as you trust the package. What reads files as code if asked to
(`torch.load`, `torch.hub`, `torch.utils.cpp_extension`, timm's checkpoint helpers) is not on the list.

A recipe can still choose which folders are written to (`dirpath`, `save_dir`, `default_root_dir`) and how much of the
machine is used: read a stranger's recipe before running it.
"""

import importlib
import inspect
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.paths import join_path, walk
from lightning_cv.recipe.suggest import hint

ALLOWED = (
    *(f"lightning_cv.{kind}" for kind in ("tasks", "networks", "data", "callbacks", "tracking", "strategies")),
    *(f"lightning_cv.{kind}" for kind in ("optim", "losses", "metrics", "ops")),
    "torch.nn",
    "torch.optim",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
    "timm.create_model",
    "timm.layers",
    "timm.loss",
    "timm.models",
    "timm.optim",
    "segmentation_models_pytorch",
    *(f"diffusers.{name}" for name in ("AutoencoderKL", "ControlNetModel", "DiTTransformer2DModel")),
    *(f"diffusers.{name}" for name in ("PriorTransformer", "UNet2DConditionModel", "UNet2DModel")),
    "torchmetrics",
    *(f"lightning.pytorch.{kind}" for kind in ("accelerators", "callbacks", "loggers", "plugins", "profilers")),
    "lightning.pytorch.strategies",
)
# Where some of the above, or the values that they take, are defined; a recipe does not name these itself.
DEFINED = (
    "lightning_cv.contracts",
    "lightning.fabric.plugins",
    "lightning.fabric.accelerators",
    "torch._C._nn",
    "diffusers.models",
)
# Inside the above, but not meant for a recipe: they load other models by name, or read files with options.
REFUSED = (
    *(f"timm.models.{name}" for name in ("helpers", "hub", "_helpers", "_hub", "_builder")),
    *(f"torchmetrics.{name}" for name in ("text", "functional.text", "multimodal", "functional.multimodal")),
    *(f"segmentation_models_pytorch.{name}" for name in ("from_pretrained", "base", "encoders", "datasets", "utils")),
    *(f"torchmetrics.{name}" for name in ("audio", "functional.audio", "utilities")),
)


@dataclass(frozen=True)
class ImportPolicy:
    """What a recipe may name.

    Args:
        extra: packages that the user permits beyond the usual ones.
    """

    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.extra:
            if not _is_dotted_name(name) or name.split(".")[0] == "jsonargparse":
                raise UserError(f"--allow-code {name}: not the name of a package that can be permitted")

    @property
    def roots(self) -> tuple[str, ...]:
        """Every path under which code may be named or defined."""
        return (*ALLOWED, *DEFINED, *self.extra)

    def permits(self, path: str) -> bool:
        """Whether the most specific entry that `path` lies under is an allowed one."""
        granted = _longest(path, self.roots)
        return granted > 0 and granted > _longest(path, REFUSED)

    def refusal(self, path: object) -> str | None:
        """Why `path` may not be named; None if it may. Nothing is imported."""
        if not isinstance(path, str):
            return f"is {path!r:.60}, which is not a dotted path to a class or function"
        if not _is_dotted_name(path) or "." not in path:
            return f"is {path!r:.60}, which is not a full dotted path such as lightning_cv.tasks.Classify"
        if not self.permits(path) or (_longest(path, DEFINED) and not _longest(path, self.extra)):
            return f"names {path:.100}, which a recipe may not; {self._remedy(path.split('.')[0])}"
        if any(part.startswith("_") for part in path.split(".")):
            return f"names {path:.100}, which is private"
        return None

    def _remedy(self, package: str) -> str:
        known = package in sys.stdlib_module_names or package in {name.split(".")[0] for name in ALLOWED}
        permit = "" if known or package == "jsonargparse" else f"; --allow-code {package} permits it, if you trust it"
        return f"allowed: {_grouped((*ALLOWED, *self.extra))}{permit}"

    def resolve(self, path: str) -> Any:
        """Import what `path` names.

        Raises:
            UserError: it may not be named, does not exist, or is defined where nothing may be named from; the
                text continues a key: `names torch.nn.Liner, which does not exist; did you mean Linear?`.
        """
        problem = self.refusal(path)
        if problem:
            raise UserError(problem)
        value, missing = _import(path)
        if missing:
            known = [name for name in dir(value) if not name.startswith("_")]
            raise UserError(f"names {path}, which does not exist{hint(missing, known)}")
        home = _defined_at(value)
        if home is None or not self.permits(home):
            raise UserError(f"names {path}, which is not defined there but in {home}: a recipe may not name it")
        return value


def allowed_roots(extra: Iterable[str] = ()) -> ImportPolicy:
    """The usual places, and the packages that the user permits with `--allow-code`.

    Raises:
        UserError: one of them is not the name of a package.
    """
    return ImportPolicy(tuple(extra))


def check_imports(composed: Composed, policy: ImportPolicy) -> None:
    """Refuse a recipe that names code outside the allowed places; imports nothing.

    Raises:
        UserError: the first such key, with its file and line.
    """
    for path, value in walk(composed.values):
        for key in value if isinstance(value, dict) else ():
            at = join_path(path, key)
            if key == "class_path":
                problem = policy.refusal(value[key])
            elif isinstance(key, str) and "class_path" in key:
                problem = "is not a key: a class_path stands by itself"
            else:
                continue
            if problem:
                raise UserError(f"{composed.locate(at)} {problem}")


def _is_dotted_name(path: str) -> bool:
    return all(part.isidentifier() for part in path.split("."))


def _grouped(paths: Iterable[str]) -> str:
    """Dotted paths in short: `torch.{nn,optim}, torchmetrics`."""
    names: dict[str, list[str]] = {}
    for path in paths:
        parent, _, name = path.rpartition(".")
        names.setdefault(parent, []).append(name)
    shown = [
        f"{parent}.{{{','.join(group)}}}"
        if len(group) > 1 and parent
        else ", ".join(f"{parent}.{n}".lstrip(".") for n in group)
        for parent, group in names.items()
    ]
    return ", ".join(shown)


def _longest(path: str, entries: Iterable[str]) -> int:
    return max((len(entry) for entry in entries if _lies_under(path, entry)), default=0)


def _lies_under(path: str, entry: str) -> bool:
    return f"{path}.".startswith(f"{entry}.")


def _import(path: str) -> tuple[Any, str]:
    """The object, and an empty string; or the last object on the way and the name that it lacks."""
    parts = path.split(".")
    try:
        value: Any = importlib.import_module(parts[0])
    except ModuleNotFoundError as error:
        raise UserError(f"names {path}, which needs the package {error.name}: not installed") from error
    for index, part in enumerate(parts[1:], start=2):
        if not hasattr(value, part) and isinstance(value, types.ModuleType):
            module = ".".join(parts[:index])
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                if not _lies_under(module, error.name or ""):
                    raise UserError(f"names {path}, which needs the package {error.name}: not installed") from error
        if not hasattr(value, part):
            return value, part
        value = getattr(value, part)
    return value, ""


def _defined_at(value: Any) -> str | None:
    if inspect.ismodule(value):
        return value.__name__
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        value = type(value)
    module = getattr(value, "__module__", None)
    return f"{module}.{value.__qualname__}" if module else None
