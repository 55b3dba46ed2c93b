"""Which class of the recipe raised while it was built, and which of its options did it mean?

A constructor's error carries no key. The frames it passed through do: they run the code of the class whose
options the recipe states.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any

import lightning.pytorch as pl

from lightning_cv.recipe.paths import walk


def find_culprit(error: BaseException, values: Mapping[str, Any]) -> str:
    """The dotted path of the option, else of the class, else the section that raised; empty if unknown."""
    message = str(error)
    unexpected = re.search(r"unexpected keyword argument '(\w+)'", message)
    if unexpected:
        ends = (f".init_args.{unexpected[1]}", f".dict_kwargs.{unexpected[1]}")
        return next((path for path, _ in walk(values) if path.endswith(ends)), "")
    ran = set(_codes(error))
    place = ""
    for path, value in walk(values):
        target = _loaded(value["class_path"]) if isinstance(value, dict) and "class_path" in value else None
        if target is not None and ran.intersection(_own_codes(target)) and len(path) > len(place):
            place = path
    if not place and ran.intersection(_own_codes(pl.Trainer)):
        place = "trainer"
    return _named_option(message, place, values)


def _named_option(message: str, place: str, values: Mapping[str, Any]) -> str:
    """The option below `place` whose name or given text stands in the message; `place` if none does."""
    words = set(re.findall(r"\w+", message))
    by_value, by_name = "", ""
    for path, value in walk(values):
        name = path.rpartition(".")[2]
        if not path.startswith(f"{place}." if place else "") or isinstance(value, dict | list):
            continue
        if name == "class_path" or name.isdecimal():
            continue
        if name in words:
            by_name = by_name or path
        if isinstance(value, str) and len(value) > 2 and value in message:
            by_value = by_value or path
    return by_name or by_value or place


def _codes(error: BaseException) -> Iterator[CodeType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code
        trace = trace.tb_next


def _own_codes(target: Callable[..., Any]) -> Iterator[CodeType]:
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(owner)["__init__"] for owner in target.__mro__ if "__init__" in vars(owner)]
    for function in functions:
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is not None:
            yield code


def _loaded(path: Any) -> Any:
    """What a dotted path names, if it was imported already."""
    module, _, name = str(path).rpartition(".")
    return getattr(sys.modules.get(module), name, None)
