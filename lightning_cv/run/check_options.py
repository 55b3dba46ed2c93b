"""Which options does a class or function take that a recipe names?"""

import collections.abc
import datetime
import enum
import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonargparse import ArgumentParser

_PLAIN = (str, int, float, bool, bytes, dict, list, tuple, set, os.PathLike, enum.Enum, datetime.timedelta)


@dataclass(frozen=True)
class Options:
    """What may stand in the `init_args` of one class or function.

    Args:
        names: options by name.
        open: whether it also takes options that cannot be known without calling it (`**kwargs` that go on to
            something chosen at run time, as in `timm.create_model`).
        annotations: types of the options whose type is known.
    """

    names: frozenset[str]
    open: bool
    annotations: Mapping[str, Any] = field(default_factory=dict, compare=False)


@functools.cache
def options_of(target: Callable[..., Any]) -> Options:
    """The options of a class or function as jsonargparse finds them, following `**kwargs` in the source."""
    explicit, takes_any = _signature(target)
    followed = _followed(target)
    names = explicit | followed
    return Options(frozenset(names), open=takes_any and names == explicit, annotations=_annotations(target))


def takes_code(annotation: Any) -> bool:
    """Whether text given for an option of this type names code: a class or a callable."""
    if annotation is inspect.Parameter.empty or annotation is Any or annotation is None:
        return False
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return not any(_takes_text(member) for member in members) and any(map(takes_code, members))
    if origin in (collections.abc.Callable, type) or annotation in (Callable, type):
        return True
    return inspect.isclass(annotation) and not issubclass(annotation, _PLAIN) and annotation is not object


def _takes_text(annotation: Any) -> bool:
    literal = typing.get_origin(annotation) is typing.Literal
    plain_class = inspect.isclass(annotation) and issubclass(annotation, (str, os.PathLike, enum.Enum))
    return literal or plain_class or annotation is Any


def _signature(target: Callable[..., Any]) -> tuple[set[str], bool]:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return set(), True
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _followed(target: Callable[..., Any]) -> set[str]:
    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(target) else parser.add_function_arguments
    try:
        keys = add(target, "options", fail_untyped=False, sub_configs=False)
    except (TypeError, ValueError, AttributeError, NameError):
        return set()
    return {key.removeprefix("options.").partition(".")[0] for key in keys}


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    owners = inspect.getmro(target) if inspect.isclass(target) else (target,)
    for owner in owners:
        function = vars(owner).get("__init__") if inspect.isclass(owner) else owner
        try:
            hints = typing.get_type_hints(function) if function is not None else {}
        except (NameError, TypeError, AttributeError):
            continue
        for name, annotation in hints.items():
            found.setdefault(name, annotation)
    return found
