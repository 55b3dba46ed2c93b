"""How is one value inside nested plain data reached by a dotted path?"""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning_cv.errors import UserError


def join_path(parent: str, key: object) -> str:
    """The dotted path of `key` inside `parent`; the path of the whole is empty."""
    return f"{parent}.{key}" if parent else str(key)


def child_key(container: object, part: str) -> Any:
    """The key of `container` that `part` of a dotted path means: of a mapping its key, of a list its index.

    Raises:
        KeyError: there is none, or `container` holds nothing.
    """
    if isinstance(container, Mapping):
        return next((key for key in container if str(key) == part), part)
    if isinstance(container, list) and part.isdecimal() and int(part) < len(container):
        return int(part)
    raise KeyError(part)


def get_at(values: Any, path: str) -> Any:
    """The value at `path`, e.g. `model.init_args.network` or `trainer.callbacks.0`.

    Raises:
        UserError: nothing is there; names the first part of the path that is missing.
    """
    value, walked = values, ""
    for part in path.split(".") if path else []:
        try:
            value = value[child_key(value, part)]
        except KeyError:
            raise UserError(f"{path}: {walked or 'the recipe'} has no {part}") from None
        walked = join_path(walked, part)
    return value


def walk(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted path, parents before children, the whole first under the empty path."""
    yield path, values
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from walk(value, join_path(path, key))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from walk(value, join_path(path, index))
