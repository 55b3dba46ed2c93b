"""Which known name did the user probably mean?"""

import difflib
from collections.abc import Iterable


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean NAME?` for the nearest known name, or an empty string if none is near."""
    near = nearest(given, known)
    return f"; did you mean {near}?" if near else ""


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name most like `given` (difflib ratio of at least 0.6, case ignored), or None."""
    by_folded = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(given.lower(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def hint(given: str, known: Iterable[str]) -> str:
    """What to write instead: the nearest name, or if none is near all of them (the first 30, sorted)."""
    names = sorted(known)
    near = did_you_mean(given, names)
    if near or not names:
        return near
    shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
    return f"; allowed: {shown}"
