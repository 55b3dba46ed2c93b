"""Where will curves and pretrained weights go to and come from, and is there a scheduler?"""

from __future__ import annotations

from lightning_cv.doctor.facts import Facts
from lightning_cv.doctor.finding import Finding, Status, count

_MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")
_LOG_IN = "wandb login, or set WANDB_API_KEY"
# Tried with lightning_cv.tracking and wandb 0.31.
_BREAKS = {
    "WANDB_SWEEP_ID": "gives every run another id and project",
    "WANDB_SERVICE": "is another program's service; runs fail once it has ended",
}
_IGNORED = ("WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_DIR", "WANDB_RESUME", "WANDB_DISABLED")
_FOR_ALL = ("WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE", "WANDB_TAGS", "WANDB_NOTES")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def check_wandb(facts: Facts) -> list[Finding]:
    """Whether runs are recorded, and where."""
    wandb, mode = facts.wandb, facts.environ.get("WANDB_MODE", "")
    if wandb.problem:
        key = "key" in wandb.problem.lower() and wandb.url
        mend = f"{_LOG_IN} again" if key else "reinstall it: pip install --force-reinstall wandb"
        return [Finding("W&B", Status.BROKEN, wandb.problem, mend)]
    if mode and mode not in _MODES:
        found = f"WANDB_MODE={mode} is none that W&B knows: nothing would be recorded"
        return [Finding("W&B", Status.BROKEN, found, "allowed: online, offline, disabled; or unset it")]
    if mode == "disabled":
        return [Finding("W&B", Status.NOTE, "WANDB_MODE=disabled: nothing is recorded there", "unset WANDB_MODE")]
    if mode in ("offline", "dryrun"):
        found = f"WANDB_MODE={mode}: runs are recorded on disk"
        return [Finding("W&B", Status.NOTE, found, "lightning-cv sync sends them")]
    if not wandb.logged_in:
        return [Finding("W&B", Status.NOTE, f"nobody is logged in at {wandb.url}: runs are recorded on disk", _LOG_IN)]
    if wandb.answers is False:
        found = f"logged in, but {wandb.url} does not answer: runs are recorded on disk"
        mend = "look at the network and the proxy (HTTPS_PROXY); WANDB_MODE=offline saves each run the wait"
        return [Finding("W&B", Status.WARNING, found, mend)]
    return [Finding("W&B", Status.OK, f"logged in at {wandb.url}, which answers")]


def check_wandb_variables(facts: Facts) -> list[Finding]:
    """Variables that do something else than one would think."""
    check = "W&B variables"
    for name, effect in _BREAKS.items():
        if name in facts.environ:
            return [Finding(check, Status.WARNING, f"{name} {effect}", f"unset {name}")]
    notes = []
    ignored = [name for name in _IGNORED if name in facts.environ]
    if ignored:
        notes.append(f"{', '.join(ignored)}: without effect, the recipe or the run folder says it")
    for_all = [name for name in _FOR_ALL if name in facts.environ]
    if for_all:
        notes.append(f"{', '.join(for_all)}: for every run that says nothing else")
    return [Finding(check, Status.NOTE, "; ".join(notes))] if notes else []


def check_hugging_face(facts: Facts) -> list[Finding]:
    """Whether pretrained weights may be downloaded."""
    given = [name for name in _OFFLINE if facts.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")]
    if not given:
        return []
    found = f"{given[0]} is set: pretrained weights come from what was downloaded before"
    return [Finding("Hugging Face", Status.NOTE, found, f"unset {given[0]} where there is a network")]


def check_slurm(facts: Facts) -> list[Finding]:
    """Whether jobs can be submitted, and whether this is one."""
    environ = facts.environ
    if "SLURM_JOB_ID" in environ:
        tasks = int(environ.get("SLURM_NTASKS", "1"))
        nodes = int(environ.get("SLURM_JOB_NUM_NODES", environ.get("SLURM_NNODES", "1")))
        found = f"in job {environ['SLURM_JOB_ID']}: {count(tasks, 'task')} on {count(nodes, 'node')}"
        if tasks > 1 and "SLURM_STEP_ID" not in environ:
            return [Finding("SLURM", Status.NOTE, f"{found}; this is not one of its tasks", "srun lightning-cv ...")]
        return [Finding("SLURM", Status.OK, found)]
    if facts.slurm is None:
        return []
    if facts.slurm_problem:
        return [Finding("SLURM", Status.NOTE, f"its programs are here, but no cluster answers: {facts.slurm_problem}")]
    return [Finding("SLURM", Status.OK, facts.slurm)]
