"""How is plain data written as YAML that a person likes to read, and that reads back equal?"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lightning_cv.recipe.files import read_value

_WIDTH = 100  # letters of a line, without what stands in front of it
_OPEN = ("fixed", "space", "callbacks", "trainer")  # mappings with an entry a line, however short
_NUMBER = re.compile(r"[-+.0-9]")


def as_yaml(mapping: Mapping[str, Any], header: Sequence[str] = ()) -> str:
    """A file that says `mapping`, with the header's lines as comments above it.

    Keys keep their order. What holds no mapping stands in one line: `{log_uniform: [1.0e-4, 0.1]}`. Small and large
    numbers are written as `1.0e-4`; `lightning_cv.recipe.files` reads every one of them back to the same bits.
    """
    lines = [line for text in header for line in (text.splitlines() or [""])]
    comment = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    root = _Dumper(io.StringIO(), sort_keys=False).represent_data(dict(mapping))
    _lay_out(root, at_root=True)
    return comment + str(yaml.serialize(root, Dumper=_Dumper, width=2 * _WIDTH, allow_unicode=True))


class _Dumper(yaml.SafeDumper):
    """Plain data without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _number(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", _float_text(value))


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    """In quotes where recipes would read something else: `1e-3` is text to YAML 1.1, and a number to them."""
    quoted = bool(_NUMBER.match(value)) and not isinstance(read_value(value, value), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if quoted else None)


_Dumper.add_representer(float, _number)
_Dumper.add_representer(str, _text)
_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)


def _float_text(value: float) -> str:
    """The shortest digits that mean this number: `0.25`, `1.0e-4`, `1.5e+6`."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else (".inf" if value > 0 else "-.inf")
    if value == 0 or 0.1 <= abs(value) < 1e5:
        return repr(value)
    digits, _, exponent = repr(value).partition("e")
    sign = "-" if value < 0 else ""
    whole, _, fraction = digits.lstrip("-").partition(".")
    figures = (whole + fraction).lstrip("0")
    power = int(exponent or 0) + len(whole) - 1 - (len(whole + fraction) - len(figures))
    figures = figures.rstrip("0") or "0"
    return f"{sign}{figures[0]}.{figures[1:] or '0'}e{power:+d}"


def _lay_out(node: yaml.Node, *, at_root: bool = False) -> None:
    """One line for a short mapping or list without a mapping inside; the others have a line for each entry."""
    if isinstance(node, yaml.SequenceNode):
        node.flow_style = not _has_mapping(node) and _length(node) <= _WIDTH
        for item in node.value:
            _lay_out(item)
    elif isinstance(node, yaml.MappingNode):
        plain = not any(_has_mapping(value) for _, value in node.value)
        node.flow_style = not at_root and plain and _length(node) <= _WIDTH
        for key, value in node.value:
            _lay_out(value)
            if at_root and key.value in _OPEN and value.value:
                value.flow_style = False


def _has_mapping(node: yaml.Node) -> bool:
    if isinstance(node, yaml.SequenceNode):
        return any(_has_mapping(item) for item in node.value)
    return isinstance(node, yaml.MappingNode)


def _length(node: yaml.Node) -> int:
    """Letters of a node in one line."""
    if isinstance(node, yaml.MappingNode):
        return sum(_length(key) + _length(value) + 4 for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return sum(_length(item) + 2 for item in node.value)
    return len(node.value)
