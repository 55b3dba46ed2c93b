"""Do the installed packages have the versions that lightning_cv, and what it needs, ask for?"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from lightning_cv.doctor.facts import Package, Software

NAME = "lightning_cv"


def read_software() -> Software:
    """Python and every package that is asked for, from the metadata of what is installed.

    What lightning_cv asks for comes first, then what these packages ask for of one another (torchvision wants a
    certain torch). A package of an extra counts where it is installed, and so does one that lightning_cv does not
    ask for itself.
    """
    from packaging.specifiers import SpecifierSet

    python = platform.python_version()
    try:
        wanted = metadata.metadata(NAME)["Requires-Python"] or ""
    except metadata.PackageNotFoundError:
        return Software(python=python, python_wanted="", python_fits=True, packages=())
    own = list(_asked(NAME))
    theirs = [package for direct in own if direct.installed for package in _asked(direct.name)]
    fits = SpecifierSet(wanted).contains(python, prereleases=True)
    return Software(
        python=python, python_wanted=wanted, python_fits=fits, packages=tuple(dict.fromkeys([*own, *theirs]))
    )


def _asked(by: str) -> Iterator[Package]:
    """The packages that one package asks for on this system."""
    from packaging.requirements import Requirement

    for text in metadata.requires(by) or ():
        needed = Requirement(text)
        is_extra = needed.marker is not None and "extra" in str(needed.marker)
        if is_extra and (by != NAME or not _is_for_an_extra(needed.marker)):
            continue
        if needed.marker is not None and not is_extra and not needed.marker.evaluate():
            continue
        installed = _version(needed.name)
        if is_extra and installed is None:
            continue
        fits = installed is not None and needed.specifier.contains(installed, prereleases=True)
        yield Package(needed.name, str(needed.specifier), installed, fits, by)


def _is_for_an_extra(marker: object) -> bool:
    """Whether a marker holds once some extra is asked for, whichever."""
    from packaging.markers import Marker

    assert isinstance(marker, Marker)
    extras = metadata.metadata(NAME).get_all("Provides-Extra") or []
    return any(marker.evaluate({"extra": extra}) for extra in extras)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
