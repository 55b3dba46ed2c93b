"""What does a YAML recipe say, and on which line?

Only plain data comes out of a file: mappings with scalar keys, lists, strings, numbers, booleans and null.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_cv.errors import UserError
from lightning_cv.recipe.paths import join_path

MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 50

_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Recipe:
    """A recipe as plain data.

    Args:
        values: what the file says.
        lines: dotted path of each value to the line (from 1) of its key or list item.
        path: the file.
    """

    values: dict[str, Any]
    lines: Mapping[str, int]
    path: Path

    def origin(self, dotted: str) -> str:
        """`file:line` of a value that the file states."""
        return f"{display_path(self.path)}:{self.lines[dotted]}"


def read_recipe(path: Path) -> Recipe:
    """Read one recipe.

    Raises:
        UserError: the file cannot be read, is not YAML, says a key twice, holds more than plain data, or is
            larger than a recipe can be; names file, line and reason.
    """
    shown = display_path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{shown}: cannot be read ({error.strerror})") from error
    if len(raw) > MAX_BYTES:
        raise UserError(f"{shown}: larger than {MAX_BYTES // 1024} KiB, which no recipe is")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{shown}: not UTF-8 text (byte {error.start})") from error
    values, lines = _load(text, shown)
    if not isinstance(values, dict):
        found = "is empty" if values is None else f"holds a {_kind(values)}"
        raise UserError(f"{shown}:1: {found}; a recipe is a mapping with the keys model, data, trainer, ...")
    return Recipe(values, lines, path)


def read_value(text: str, name: str) -> Any:
    """One value as YAML reads it; text that is not YAML is itself, unless it starts like a list or mapping.

    Raises:
        UserError: a broken list, mapping or quotation; starts with `name`.
    """
    if not text.strip():
        return text
    try:
        return _load(text, name)[0]
    except UserError:
        if text.lstrip()[0] in "[{\"'":
            raise
        return text


def display_path(path: Path) -> str:
    """The path relative to the working folder where it lies inside it, else as given."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without dates and without numbers to base 60; `1e-3` is a number, as jsonargparse reads it."""


_REPLACED = (":timestamp", ":value", ":int", ":float")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(_REPLACED)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"""^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
            |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
            |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
            |[-+]?\.(?:inf|Inf|INF)
            |\.(?:nan|NaN|NAN))$""",
        re.VERBOSE,
    ),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)


def _load(text: str, name: str) -> tuple[Any, dict[str, int]]:
    """The plain data of a YAML text and the line of each value."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        builder = _Builder(loader, name)
        return (None if node is None else builder.build(node, "", 0)), builder.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark and "\n" in text else ""
        raise UserError(f"{name}{place}: not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        place = f":{text.count(chr(10), 0, getattr(error, 'position', 0)) + 1}" if "\n" in text else ""
        raise UserError(f"{name}{place}: not YAML: {reason}") from error
    except RecursionError as error:
        raise UserError(f"{name}: nested deeper than {MAX_DEPTH} levels") from error


class _Builder:
    """Turns YAML nodes into plain data, counting what it makes: aliases cannot multiply without end."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self.lines: dict[str, int] = {}
        self._loader = loader
        self._name = name
        self._made = 0

    def build(self, node: yaml.Node, path: str, depth: int) -> Any:
        self._made += 1
        if self._made > MAX_VALUES:
            raise self._error(node, f"more than {MAX_VALUES} values once its aliases are filled in")
        if depth > MAX_DEPTH:
            raise self._error(node, f"nested deeper than {MAX_DEPTH} levels, or an alias to itself")
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return self._sequence(node, path, depth)
        return self._scalar(node)

    def _sequence(self, node: yaml.SequenceNode, path: str, depth: int) -> list[Any]:
        items = []
        for index, child in enumerate(node.value):
            below = join_path(path, index)
            self.lines[below] = child.start_mark.line + 1
            items.append(self.build(child, below, depth + 1))
        return items

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        seen: dict[Any, int] = {}
        merged: list[yaml.Node] = []
        for key_node, child in node.value:
            if key_node.tag == _MERGE:
                merged.append(child)
                continue
            key = self._scalar(key_node)
            below, line = join_path(path, key), key_node.start_mark.line + 1
            if key is None or key == "":
                raise self._error(key_node, "an empty key")
            if str(key) in seen:
                raise self._error(key_node, f"{below} is given twice (first on line {seen[str(key)]})")
            seen[str(key)] = self.lines[below] = line
            values[key] = self.build(child, below, depth + 1)
        for child in merged:
            self._merge(child, values, path, depth)
        return values

    def _merge(self, node: yaml.Node, values: dict[Any, Any], path: str, depth: int) -> None:
        """YAML's `<<`: what the mapping does not say itself comes from the merged one."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            own, self.lines = self.lines, {}
            built = self.build(source, path, depth + 1)
            for below, line in self.lines.items():
                own.setdefault(below, line)
            self.lines = own
            if not isinstance(built, dict):
                raise self._error(source, "<< merges mappings only")
            for key, value in built.items():
                values.setdefault(key, value)

    def _scalar(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _PLAIN:
            what = f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')}" if node.tag else "this"
            raise self._error(node, f"{what} is refused: a recipe is plain data")
        try:
            return self._loader.construct_object(node)
        except (ValueError, KeyError, IndexError) as error:
            raise self._error(node, f"not a {node.tag.rpartition(':')[2]}: {node.value[:40]!r}") from error

    def _error(self, node: yaml.Node, problem: str) -> UserError:
        return UserError(f"{self._name}:{node.start_mark.line + 1}: {problem}")


def _kind(value: object) -> str:
    return "list" if isinstance(value, list) else "single value"
