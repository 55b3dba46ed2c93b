"""What does cluster.yaml say about the cluster, and what do flags change of it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.keys import BY_NAME, KEYS
from lightning_cv.recipe.files import Recipe, display_path, read_recipe
from lightning_cv.recipe.mistakes import mistake, shown
from lightning_cv.recipe.suggest import hint

FILE = "cluster.yaml"
DEFAULT = "default"
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a job asks of a cluster, see `keys.KEYS`; None: it says nothing, and the cluster decides.

    Args:
        nodes: machines; None: the recipe's number.
        devices: of each machine; None: the recipe's number.
    """

    nodes: int | None = None
    devices: int | None = None
    gpu: bool = False
    cpus: int | None = None
    memory: str | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = None
    setup: tuple[str, ...] = ()
    container: str | None = None
    container_mounts: str | None = None
    prefix: tuple[str, ...] = ()
    python: str | None = None
    lead: int = 90
    no_requeue: bool = False
    max_restarts: int = 50


def read_resources(flags: Mapping[str, Any], profile: str | None) -> Resources:
    """What is asked for: the profile's values, and over them the flags'; lines of set-up add up.

    Args:
        flags: values by name of their key, as the command line gives them.
        profile: its name, or a file with a profile `default`, or `FILE:NAME`; None: `default`, if there is one.

    Raises:
        UserError: an unknown profile or key, or a value that is not allowed.
    """
    values = _read_profile(profile)
    for name, raw in flags.items():
        try:
            value = BY_NAME[name].read(raw)
        except ValueError as error:
            raise UserError(f"--{name}: {shown(raw)} given, allowed: {error}") from error
        field = BY_NAME[name].field
        values[field] = (*values.get(field, ()), *value) if name == "setup" else value
    if values.get("container") and values.get("prefix"):
        raise UserError("--container and --prefix exclude each other: both say in what the program starts")
    if values.get("container_mounts") and not values.get("container"):
        raise UserError("--container-mounts says what a container sees; give --container with it")
    return Resources(**values)


def _read_profile(given: str | None) -> dict[str, Any]:
    path, name = _place(given)
    if path is None:
        return {}
    said = read_recipe(path)
    profiles = said.values
    for known, content in profiles.items():
        _check(said, str(known), content)
    if name not in profiles:
        if given is None:
            return {}
        raise UserError(f"{display_path(path)}: has no profile {name}{hint(name, map(str, profiles))}")
    return {BY_NAME[str(key)].field: BY_NAME[str(key)].read(value) for key, value in (profiles[name] or {}).items()}


def _place(given: str | None) -> tuple[Path | None, str]:
    """The file with profiles, and the name of the one that is meant."""
    name = DEFAULT
    if given is not None:
        file, colon, behind = given.rpartition(":")
        named = file if colon else given
        if named.endswith(_SUFFIXES):
            if not Path(named).is_file():
                raise UserError(f"--profile {given}: no such file")
            return Path(named), behind if colon else DEFAULT
        name = given
    places = [Path(FILE), Path.home() / ".config" / "lightning_cv" / FILE]
    path = next((place for place in places if place.is_file()), None)
    if path is None and given is not None:
        looked = " nor ".join(map(str, places))
        raise UserError(f"--profile {given}: neither a file, nor is there {looked} with profiles")
    return path, name


def _check(said: Recipe, name: str, content: Any) -> None:
    if content is not None and not isinstance(content, dict):
        known = f"; a profile is a mapping, e.g. {name}: {{partition: ...}}"
        is_key = f"; it is a key of a profile: {DEFAULT}: {{{name}: ...}}" if name in BY_NAME else known
        raise mistake(said, name, f"{shown(content)} given{is_key}")
    for key, value in (content or {}).items():
        path = f"{name}.{key}"
        if str(key) not in BY_NAME:
            raise mistake(said, path, f"is no key of a profile{hint(str(key), [key.name for key in KEYS])}")
        try:
            BY_NAME[str(key)].read(value)
        except ValueError as error:
            raise mistake(said, path, f"{shown(value)} given, allowed: {error}") from error
