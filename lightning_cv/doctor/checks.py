"""Which checks are there, and what do all of them find?"""

from __future__ import annotations

from collections.abc import Callable

from lightning_cv.doctor import (
    checks_cards,
    checks_devices,
    checks_folders,
    checks_services,
    checks_software,
    checks_system,
)
from lightning_cv.doctor.facts import Facts
from lightning_cv.doctor.finding import Finding

# In the order of the table.
CHECKS: tuple[Callable[[Facts], list[Finding]], ...] = (
    checks_software.check_python,
    checks_software.check_packages,
    checks_software.check_torch,
    checks_software.check_torchvision,
    checks_devices.check_driver,
    checks_devices.check_devices,
    checks_devices.check_visible,
    checks_cards.check_health,
    checks_cards.check_use,
    checks_cards.check_mig,
    checks_devices.check_bf16,
    checks_devices.check_nccl,
    checks_devices.check_peers,
    checks_system.check_cores,
    checks_system.check_threads,
    checks_system.check_memory,
    checks_system.check_shared_memory,
    checks_system.check_open_files,
    checks_system.check_locked_memory,
    checks_folders.check_runs,
    checks_folders.check_runs_behaviour,
    checks_folders.check_temporary,
    checks_services.check_wandb,
    checks_services.check_wandb_variables,
    checks_services.check_hugging_face,
    checks_services.check_slurm,
)


def examine(facts: Facts) -> list[Finding]:
    """What every check finds; one that does not apply to the machine finds nothing."""
    return [finding for check in CHECKS for finding in check(facts)]
