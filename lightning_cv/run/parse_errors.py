"""What does an error of the parser or of a constructor mean, in one line?

jsonargparse tells the key, at every level around it, all types that it tried, and the whole value. A user
needs the innermost key with its file and line, what was given, and what is expected.
"""

import re
from collections.abc import Mapping
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import TOP_LEVEL, Composed
from lightning_cv.recipe.paths import walk
from lightning_cv.run.constructor_errors import find_culprit

MAX_GIVEN = 60
MAX_LINE = 400

_TOKEN = re.compile(r'Parser key "([^"]+)"|[Pp]roblem with given class_path \'([^\']+)\'')
_NOISE = (
    *("Does not validate", "Subtypes:", "Errors:", "Given value type", "Expected a path but"),
    *("Subclass types expect", "Problem with", "Type "),
)
_GIVEN = re.compile(r"(?:Got|Given) value: ?(.*?)(?:\. Got value:.*)?$")

# What was being parsed when a line of the message was written: keys, and classes as `{class path}`.
_Trail = tuple[str, ...]


# Plain types first, null last.
_ORDER = {"bool": 0, "int": 1, "float": 2, "str": 3, "null": 5}


def explain(error: BaseException, origins: Mapping[str, str], values: Mapping[str, Any] | None = None) -> str:
    """One line: `file:line: key`, what was given, what is expected.

    Args:
        error: what building the recipe raised.
        origins: dotted path of each value to where it was said.
        values: the recipe; without it, list items and classes of the same kind cannot be told apart.
    """
    recipe = Composed(dict(values or {}), origins)
    text = str(error)
    if "Parser key " in text:
        trail, reasons = _innermost(text)
        path = _follow(trail, recipe)
        line = _describe(path, reasons, recipe, trail=trail)
    else:
        line = _constructor_line(_root(error), recipe)
    return _shorten(" ".join(line.split()), MAX_LINE)


def _constructor_line(error: BaseException, recipe: Composed) -> str:
    """What a constructor says, after the place of the option or class that it is about."""
    reason = _first_line(str(error)) or type(error).__name__
    stated = re.match(rf"(?:{'|'.join(TOP_LEVEL)})(?:\.\w+)+", reason)
    if stated:
        where = recipe.origin(stated[0])
        return f"{where}: {reason}" if where else reason
    path = find_culprit(error, recipe.values)
    return reason if isinstance(error, UserError) and not path else f"{_locate(path, recipe)}: {reason}"


def _root(error: BaseException) -> BaseException:
    """The error that a constructor raised, from under what the parser wrapped it in."""
    while error.__cause__ is not None and "Does not validate against" in str(error):
        error = error.__cause__
    return error


def _innermost(text: str) -> tuple[_Trail, list[str]]:
    """The longest trail of keys and classes in an error text, and the lines that were written there."""
    stack: list[tuple[int, str]] = []
    best: _Trail = ()
    reasons: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        content = line.strip().removeprefix("- ")
        indent = len(line) - len(line.lstrip())
        while stack and stack[-1][0] >= indent:
            stack.pop()
        tokens = _TOKEN.findall(content)
        stack.extend((indent, key or f"{{{class_path}}}") for key, class_path in tokens)
        reason = content.rpartition('":')[2].strip() if tokens else content
        if not reason or (reason.startswith(_NOISE) and "Expected '" not in reason):
            continue
        trail = tuple(token for _, token in stack)
        if len(trail) > len(best):
            best, reasons = trail, []
        if trail == best:
            reasons.append(reason)
    return best, reasons


def _follow(trail: _Trail, recipe: Composed) -> str:
    """The dotted path in the recipe that a trail of keys and classes leads to."""
    path = ""
    for token in trail:
        if token.startswith("{"):
            path = _descend_to_class(path, token[1:-1], recipe)
        elif not path:
            path = token
        else:
            known = dict(walk(recipe.values)) or dict(recipe.origins)
            below = (f"{path}.{token}", f"{path}.init_args.{token}", f"{path}.dict_kwargs.{token}")
            path = next((candidate for candidate in below if candidate in known), below[1])
    return path


def _descend_to_class(path: str, class_path: str, recipe: Composed) -> str:
    """`path`, or what lies in it (an item of a list, an entry of a mapping) if that names the class."""
    named = [
        at.removesuffix(".class_path")
        for at, value in walk(recipe.values)
        if at.startswith(f"{path}.") and at.endswith(".class_path") and value == class_path
    ]
    return min(named, key=len) if named and path not in named else path


def _describe(path: str, reasons: list[str], recipe: Composed, *, trail: _Trail) -> str:
    text = " ".join(reasons)
    missing = re.search(r"following arguments are required: ([\w., ]+)", text)
    if missing:
        names = [name.strip() for name in missing[1].split(",")]
        owner = trail[-1][1:-1] if trail[-1].startswith("{") else "the recipe"
        return f"{_locate(path, recipe)} lacks {', '.join(names)}, which {owner} requires"
    wrong_class = re.search(r"Import path (\S+) does not correspond to a subclass of (\w+)", text)
    wrong_class = wrong_class or re.search(r"Expected '([^']+)' to be .*?(?:subclass of|returns) <class '(\w+)'", text)
    if wrong_class:
        at = f"{_descend_to_class(path, wrong_class[1], recipe)}.class_path"
        at = at if at in recipe.origins else at.removesuffix(".class_path")
        return f"{_locate(at, recipe)} names {wrong_class[1]}, which is not a kind of {wrong_class[2]}"
    given = [match[1] for reason in reasons if (match := _GIVEN.search(reason))]
    at = _find_given(path, given, recipe)
    found = dict.fromkeys(words for reason in reasons for words in _expected(reason))
    # Python may hand out int | float for float | int, whichever was written first in the process.
    expected = sorted(found, key=lambda words: _ORDER.get(words, 4))
    shown = _given(at, recipe, given)
    if not expected:
        return f"{_locate(at, recipe)}{shown}: {_first_line(reasons[0]) if reasons else 'not accepted'}"
    *others, last = expected
    allowed = f"{', '.join(others)} or {last}" if others else last
    return f"{_locate(at, recipe)}{shown}; expected {allowed}"


def _find_given(path: str, given: list[str], recipe: Composed) -> str:
    """The one item below `path` that is a given value, else `path`."""
    below = {at: value for at, value in walk(recipe.values) if at.startswith(f"{path}.")}
    if f"{path}.class_path" in below:
        return path
    found = [at for at, value in below.items() if str(value) in given]
    return found[0] if len(found) == 1 else path


def _given(path: str, recipe: Composed, given: list[str]) -> str:
    try:
        return f" is {_shorten(repr(recipe.get(path)), MAX_GIVEN)}"
    except UserError:
        return f" is {_shorten(given[-1], MAX_GIVEN)}" if given else ""


def _expected(reason: str) -> list[str]:
    """What `Expected a <type>. Got value: ...` asks for, in a user's words; empty if the line says none."""
    if reason.startswith("invalid literal for int()"):
        return ["int keys"]
    kind = re.match(r"(?:Not a valid subclass of|Does not implement protocol) (\w+)\.", reason)
    if kind is not None:
        return [f"{{class_path: a kind of {kind[1]}}}"]
    match = re.match(r"Expected an? (.+?)(?:\. Got value:.*)?$", reason)
    if match is None or match[1].startswith("dot import path"):
        return []
    words = match[1]
    members = re.match(r"member of .*: \{(.*)\}", words) or re.match(r"typing\.Literal\[(.*)\]$", words)
    if members:
        return [member.strip(" '\"") for member in members[1].split(",")]
    words = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", words)
    return [words.replace("NoneType", "null").replace("typing.", "").replace("collections.abc.", "")]


def _locate(path: str, recipe: Composed) -> str:
    """`file:line: path`, with options as the recipe states them, in `init_args`."""
    if path and path not in recipe.origins:
        path = path.replace(".dict_kwargs.", ".init_args.")
    if not path:
        where = next((said for said in recipe.origins.values() if ":" in said), "recipe")
        return where.rpartition(":")[0] or where
    return recipe.locate(path)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
