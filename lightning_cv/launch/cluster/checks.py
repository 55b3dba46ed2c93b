"""What can be known to go wrong with a job before it waits in a queue?"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.earlier import Earlier
from lightning_cv.launch.cluster.job import Job
from lightning_cv.launch.cluster.limits import read_limit, show_time
from lightning_cv.launch.cluster.profile import Resources
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.suggest import hint

BATCH = "data.init_args.batch_size"
_NEEDED_STEPS = 3  # within the lead: the one under way, the one in which processes agree, and one for writing
_IN_MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True)
class Note:
    """One line of what was checked.

    Args:
        about: what was looked at.
        text: what was found.
        is_warning: whether it is probably not meant so.
    """

    about: str
    text: str
    is_warning: bool = False

    def __str__(self) -> str:
        return f"{'warning' if self.is_warning else self.about:<9} {self.text}"


def check_batch(recipe: Composed, job: Job) -> Note:
    """Refuse a batch that the devices cannot share evenly.

    Raises:
        UserError: names both.
    """
    size, number = batch_size(recipe), job.nodes * job.devices
    devices = f"{job.nodes} x {_devices(job.devices)}" if job.nodes > 1 else _devices(job.devices)
    if size is None:
        return Note("batch", f"its size is the data's default; {devices} must be able to share it evenly")
    if size % number:
        below = size // number * number
        near = f"{below} or {below + number}" if below else str(number)
        raise UserError(
            f"{recipe.locate(BATCH)} is {size}, which --nodes {job.nodes} x --devices {job.devices} = {number} devices "
            f"cannot share evenly; next: {near}"
        )
    return Note("batch", f"{size} = {devices} x {size // number}")


def check_time(recipe: Composed, job: Job, resources: Resources, earlier: Earlier | None) -> list[Note]:
    """The length of the recipe and the snapshots against the time limit.

    Raises:
        UserError: the limit is over before the signal could help.
    """
    limit_s = read_limit(resources.time) if resources.time else None
    if limit_s is not None and limit_s <= resources.lead:
        raise UserError(
            f"--time {resources.time}: not longer than --lead, the {resources.lead} s that are left to save"
        )
    notes = [_length(recipe, job, resources, earlier, limit_s=limit_s)]
    snapshot = _snapshot(recipe)
    if snapshot is None:
        text = "the recipe has no snapshots, so that a job that is stopped starts anew from the beginning"
        return [*notes, Note("signal", text, is_warning=True)]
    if snapshot.get("every_n_steps") is None:
        text = "a machine that fails costs the work since the last epoch; callbacks.snapshot.init_args.every_n_steps"
        notes.append(Note("snapshot", f"{text} says how much it may cost", is_warning=limit_s is not None))
    return [*notes, _lead(resources, earlier, snapshot)]


def check_partition(resources: Resources, known: Mapping[str, int | None] | None) -> list[Note]:
    """Partition and limit against what the cluster has.

    Args:
        resources: what is asked for.
        known: limits by partition in seconds; None: nobody could be asked.

    Raises:
        UserError: there is no such partition.
    """
    if resources.partition is None:
        return []
    if known is None:
        return [Note("partition", f"{resources.partition}; sinfo is not there to say whether it exists")]
    names = resources.partition.split(",")
    for name in names:
        if name not in known:
            raise UserError(f"--partition {name}: sinfo knows no such partition{hint(name, known)}")
    limits = [known[name] for name in names]
    asked_s = read_limit(resources.time) if resources.time else None
    longest_s = None if None in limits else max(limit for limit in limits if limit is not None)
    if asked_s is not None and longest_s is not None and asked_s > longest_s:
        text = f"{resources.partition} ends jobs after {show_time(longest_s)}, before --time {resources.time}"
        return [Note("partition", text, is_warning=True)]
    return [Note("partition", resources.partition)]


def check_folder(folder: Path, *, is_shared: bool) -> Note:
    """Whether other machines can see what the job writes.

    Args:
        folder: that runs go to.
        is_shared: whether others must.
    """
    shown, place = display_path(folder), folder.resolve()
    temporary = {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}  # noqa: S108
    local = next((path for path in temporary if place.is_relative_to(path.resolve())), None)
    kind = _file_system(place)
    if (local is None and kind not in _IN_MEMORY) or not is_shared:
        return Note("folder", shown)
    where = f"below {local}" if local else f"in a {kind}"
    return Note("folder", f"{shown} lies {where}, which each machine has for itself", is_warning=True)


def check_wandb(recipe: Composed, environ: Mapping[str, str]) -> Note:
    """Where the curves go."""
    if _section(recipe, "trainer").get("logger", True) in (False, None):
        return Note("W&B", "off: trainer.logger is false")
    mode = environ.get("WANDB_MODE", "")
    if mode in ("offline", "dryrun", "disabled"):
        return Note("W&B", f"WANDB_MODE={mode}" + ("" if mode == "disabled" else "; lightning-cv sync sends it later"))
    netrc = Path(environ["NETRC"]) if environ.get("NETRC") else Path.home() / ".netrc"
    key = next((name for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE") if environ.get(name)), None)
    if key or netrc.is_file():
        return Note("W&B", f"online where the machine reaches the server ({key or netrc}), else offline")
    return Note("W&B", "offline: nobody is logged in (wandb login); lightning-cv sync sends it later")


def batch_size(recipe: Composed) -> int | None:
    """The recipe's batch over all devices; None: it does not say."""
    try:
        size = recipe.get(BATCH)
    except UserError:
        return None
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def _length(recipe: Composed, job: Job, resources: Resources, earlier: Earlier | None, *, limit_s: int | None) -> Note:
    """How long the recipe takes."""
    limit = f"limit {resources.time}" if limit_s is not None else "no --time: the partition's limit counts"
    epochs = _section(recipe, "trainer").get("max_epochs")
    number = job.nodes * job.devices
    if earlier is None:
        return Note("time", f"unknown: no earlier run in {display_path(job.parent)} to judge by; {limit}")
    by = f"by {display_path(earlier.run)}"
    if not isinstance(epochs, int) or epochs < 1:
        return Note("time", f"unknown: no trainer.max_epochs; {show_time(earlier.epoch_s)} an epoch {by}; {limit}")
    if earlier.devices != number:
        was = "an unknown number of devices" if earlier.devices is None else _devices(earlier.devices)
        text = f"{show_time(earlier.epoch_s)} an epoch on {was} {by}, unknown on {number}; {limit}"
        return Note("time", text)
    needed_s = epochs * earlier.epoch_s
    text = f"about {show_time(needed_s)} for at most {epochs} epochs {by}; {limit}"
    if limit_s is None or needed_s <= limit_s:
        return Note("time", text)
    starts = -(-needed_s // max(1, limit_s - resources.lead))
    if resources.no_requeue:
        return Note("time", f"{text}, where it is cut off (--no-requeue)", is_warning=True)
    too_many = starts - 1 > resources.max_restarts
    return Note("time", f"{text}: about {starts:.0f} starts", is_warning=too_many)


def _lead(resources: Resources, earlier: Earlier | None, snapshot: Mapping[str, Any]) -> Note:
    """Whether what is left after the signal is enough for a step and a snapshot."""
    signal = f"{resources.lead} s before the limit"
    if earlier is None:
        return Note("signal", f"{signal}; a step and a snapshot must take less")
    step = f"a step takes {earlier.step_s:.2g} s"
    if _NEEDED_STEPS * earlier.step_s > resources.lead:
        needed = f"{_NEEDED_STEPS} of them and a snapshot must fit; give a longer --lead"
        return Note("signal", f"{signal}, but {step}: {needed}", is_warning=True)
    steps = snapshot.get("every_n_steps")
    every = f", a snapshot every {show_time(steps * earlier.step_s)}" if isinstance(steps, int) else ""
    return Note("signal", f"{signal}; {step}{every}")


def _snapshot(recipe: Composed) -> Mapping[str, Any] | None:
    """The options of the recipe's snapshots; None: it has none."""
    callbacks = _section(recipe, "callbacks")
    named = [spec for spec in callbacks.values() if isinstance(spec, Mapping)]
    found = [spec for spec in named if str(spec.get("class_path", "")).rpartition(".")[2] == "Snapshot"]
    if found:
        return found[0].get("init_args") or {}
    return None if "snapshot" in callbacks else {}  # every recipe that does not name it gets one


def _section(recipe: Composed, name: str) -> Mapping[str, Any]:
    """A block of the recipe; empty where it is none, which training refuses in its own words."""
    section = recipe.values.get(name)
    return section if isinstance(section, Mapping) else {}


def _devices(number: int) -> str:
    return f"{number} device{'' if number == 1 else 's'}"


def _file_system(place: Path) -> str:
    """The kind of file system that a folder lies on, or will; empty: nobody knows."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    mounts = {}
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        mounts[re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)] = kind
    around = [point for point in mounts if place.is_relative_to(point)]
    return mounts[max(around, key=len)] if around else ""
