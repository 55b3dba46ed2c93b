"""Which words and which options stand on the command line of a verb with few of them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import hint

Values = Mapping[str, Sequence[str]]


def read_words(
    verb: str, arguments: Sequence[str], options: Mapping[str, int], *, repeatable: Sequence[str] = ()
) -> tuple[list[str], dict[str, list[str]]]:
    """The words, and the values of each option that is given: `--name value`, `--name=value`, or none.

    Args:
        verb: for messages.
        arguments: of the command line, behind the verb.
        options: how many values follow each.
        repeatable: options whose values add up; of others the last one counts.

    Raises:
        UserError: an option is unknown, or has too few or too many values.
    """
    words: list[str] = []
    values: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--"):
            words.append(argument)
            continue
        name, given, text = argument.partition("=")
        if name not in options:
            raise UserError(f"{name} is not an option of {verb}{hint(name, [*options, '--help'])}")
        found = [text] if given else []
        if len(found) > options[name]:
            raise UserError(f"{name} takes no value; {text:.40} given")
        while len(found) < options[name] and rest and not rest[0].startswith("--"):
            found.append(rest.pop(0))
        if len(found) < options[name] or not all(found):
            wanted = "a value" if options[name] == 1 else f"{options[name]} values"
            raise UserError(f"{name} needs {wanted}; lightning-cv {verb} --help tells more")
        values[name] = [*(values.get(name, []) if name in repeatable else []), *found]
    return words, values
