"""Which options does the Trainer have, or a class that a recipe may name?"""

import inspect

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser

import lightning_cv.data
import lightning_cv.tasks
from lightning_cv.errors import UserError
from lightning_cv.recipe.imports import allowed_roots
from lightning_cv.recipe.request import OptionsRequest
from lightning_cv.run.check import restrict_imports

_SHIPPED = {"model": lightning_cv.tasks, "data": lightning_cv.data}


def show_options(request: OptionsRequest) -> int:
    """Print the options that a recipe may state under a key; returns the exit status.

    Raises:
        UserError: the class may not be named, does not exist, or is a function.
    """
    policy = allowed_roots(request.allow_code)
    restrict_imports(policy)
    if request.subject == "trainer":
        _print_options(pl.Trainer, "trainer")
        return 0
    if request.class_path is None:
        shipped = _SHIPPED[request.subject]
        print(f"{request.subject}.class_path may name, among others:")
        for name in shipped.__all__:
            value = getattr(shipped, name)
            part = inspect.isclass(value) and issubclass(value, pl.LightningModule | pl.LightningDataModule)
            if part and not inspect.isabstract(value):
                print(f"  {shipped.__name__}.{name:<12} {(value.__doc__ or '').splitlines()[0]}")
        print(f"options of one: --{request.subject}.help CLASS")
        return 0
    try:
        target = policy.resolve(request.class_path)
    except UserError as error:
        raise UserError(f"--{request.subject}.help {error}") from error
    if not inspect.isclass(target):
        raise UserError(f"--{request.subject}.help names {request.class_path}, which is not a class")
    _print_options(target, f"{request.subject}.init_args")
    return 0


def _print_options(target: type, key: str) -> None:
    parser = LightningArgumentParser(
        prog="lightning-cv fit RECIPE", usage="%(prog)s [options]", description="", add_help=False
    )
    parser.add_class_arguments(target, key, fail_untyped=False)
    parser.print_help()
