"""How is wandb told to be silent, quick and discreet, and which server does it speak to?"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import wandb

FINISH_TIMEOUT_S = 120.0
ONLINE_WITHIN_S = 8.0  # for everything that waits for the server; going offline after it takes 1 to 2 s
OFFLINE_WITHIN_S = 60.0  # for W&B's own program to start, on a machine under load too; nothing can be recorded before


def quiet_settings(*, init_timeout_s: float = ONLINE_WITHIN_S, finish_timeout_s: float) -> wandb.Settings:
    """Silent, on disk within a second, without endless waits, and nothing of the command line or the machine.

    W&B would store the command line, git remotes, a diff and the code, any of which may hold a secret; the run's
    folder has what is needed of them.
    """
    return wandb.Settings(
        silent=True,
        console="off",
        init_timeout=init_timeout_s,
        finish_timeout=finish_timeout_s,
        x_transaction_log_flush_interval=1.0,
        x_disable_meta=True,
        x_disable_machine_info=True,
        disable_git=True,
        disable_code=True,
        save_code=False,
    )


def server_url() -> str:
    """Address of the server that the environment and wandb's settings name."""
    url: str = wandb.setup(quiet_settings(finish_timeout_s=FINISH_TIMEOUT_S)).settings.base_url
    return url


def prepare_process(save_dir: str) -> None:
    """Set what wandb reads from the environment alone, and end the run that another tracker left open.

    A user's own variables stay. Without the second, both would be one, also where the other's service is gone. A
    service that another process started is left alone: what a killed run had begun there would still be open.
    """
    if os.environ.get("WANDB_SERVICE", "").split("-")[1:2] not in ([], [str(os.getpid())]):
        del os.environ["WANDB_SERVICE"]
    os.environ.setdefault("WANDB_CACHE_DIR", os.fspath(Path(save_dir) / "wandb" / "cache"))
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it looks up a host name even offline
    if wandb.run is not None:
        with contextlib.suppress(Exception):  # its service may be gone already
            wandb.run.finish()
        wandb.run = None
