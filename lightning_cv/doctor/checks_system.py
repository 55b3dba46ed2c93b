"""Are there cores, threads, memory and handles enough for training and its loader processes?"""

from __future__ import annotations

from lightning_cv.doctor.facts import Facts
from lightning_cv.doctor.finding import Finding, Status, count, size

GIB = 1 << 30
LITTLE_MEMORY = 2 * GIB  # torch and Lightning take about half of it
LITTLE_SHARED = 1 * GIB
FEW_FILES, SOME_FILES = 1024, 4096
_THREADS = "OMP_NUM_THREADS"


def check_cores(facts: Facts) -> list[Finding]:
    """How many cores this process can keep busy."""
    cores = facts.cores
    usable = count(cores.usable, "core")
    if cores.usable == cores.machine:
        return [Finding("cores", Status.OK, usable)]
    by_quota = cores.quota is not None and cores.quota < cores.affinity
    reason = f"the limit of its control group is {cores.quota:g}" if by_quota else "it may not run on the others"
    return [Finding("cores", Status.NOTE, f"{usable} of the {cores.machine} of this machine: {reason}")]


def check_threads(facts: Facts) -> list[Finding]:
    """Threads of each process against the cores that they share."""
    cores, given = facts.cores, facts.environ.get(_THREADS)
    if given is None:
        if cores.usable < cores.affinity:
            found = f"torch starts {cores.affinity} threads in each process, for {count(cores.usable, 'core')}"
            return [Finding("threads", Status.WARNING, found, f"export {_THREADS}={cores.usable}")]
        return [Finding("threads", Status.OK, f"torch starts one a core in each process, {cores.affinity}")]
    first = given.split(",")[0].strip()
    if not first.isdecimal() or int(first) == 0:
        mend = f"export {_THREADS}={cores.usable}, or unset it"
        return [Finding("threads", Status.WARNING, f"{_THREADS}={given} is no number from 1", mend)]
    if int(first) > cores.usable:
        found = f"{_THREADS}={given}, for {count(cores.usable, 'core')}: they wait for one another"
        return [Finding("threads", Status.WARNING, found, f"export {_THREADS}={cores.usable}")]
    return [Finding("threads", Status.OK, f"{_THREADS}={given}, for {count(cores.usable, 'core')}")]


def check_memory(facts: Facts) -> list[Finding]:
    """What is left for this process: of the machine, and below the limit of its control group."""
    memory = facts.memory
    if memory.total is None or memory.available is None:
        return []
    left, of = memory.available, f"{size(memory.total)}"
    if memory.limit is not None and memory.limit < memory.total:
        of = f"{size(memory.limit)}, the limit of its control group (the machine has {of})"
        left = min(left, memory.limit - (memory.limit_used or 0))
    found = f"{size(max(left, 0))} free of {of}"
    if left < LITTLE_MEMORY:
        return [Finding("memory", Status.WARNING, found, "end other programs, or ask the scheduler for more (--mem)")]
    return [Finding("memory", Status.OK, found)]


def check_shared_memory(facts: Facts) -> list[Finding]:
    """The shared memory, through which loader processes hand over batches, and NCCL gradients."""
    if facts.system != "Linux":
        return []
    check = "shared memory"
    mend = "docker run --shm-size=8g or --ipc=host; mount -o remount,size=8g /dev/shm; or num_workers: 0"
    if facts.shared_memory is None:
        return [Finding(check, Status.BROKEN, "there is no /dev/shm: loader processes cannot hand over a batch", mend)]
    total, free = facts.shared_memory
    found = f"{size(free)} free of {size(total)} in /dev/shm"
    if free < LITTLE_SHARED:
        return [Finding(check, Status.WARNING, f"{found}: loader processes die of it (bus error)", mend)]
    return [Finding(check, Status.OK, found)]


def check_open_files(facts: Facts) -> list[Finding]:
    """How many files and tensors from loader processes may be open at once."""
    soft, hard = facts.limits.open_files, facts.limits.open_files_hard
    if soft is None or soft >= SOME_FILES:
        return [Finding("open files", Status.OK, f"limit {'none' if soft is None else f'{soft:,}'}")]
    most = 65536 if hard is None else min(hard, 65536)
    mend = f"ulimit -n {most}" if most > soft else "have the limit raised in /etc/security/limits.conf"
    if soft < FEW_FILES:
        found = f"limit {soft:,}: with loader processes it is soon used up (too many open files)"
        return [Finding("open files", Status.WARNING, found, mend)]
    return [Finding("open files", Status.NOTE, f"limit {soft:,}: enough for a few loader processes", mend)]


def check_locked_memory(facts: Facts) -> list[Finding]:
    """InfiniBand needs memory that is not paged out, as much as it asks for."""
    limit = facts.limits.locked_memory
    if not facts.infiniband:
        return []
    if limit is None:
        return [Finding("locked memory", Status.OK, "no limit, as InfiniBand needs")]
    found = f"limit {size(limit)}: NCCL fails over InfiniBand (ibv_reg_mr, cannot allocate memory)"
    return [Finding("locked memory", Status.BROKEN, found, "ulimit -l unlimited; in a container: --ulimit memlock=-1")]
