"""Is a run recorded online or offline? Decided within a bound, asking nobody."""

from __future__ import annotations

import os
from typing import Literal

import wandb
from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.tracking.server import answers, may_be_logged_in
from lightning_cv.tracking.settings import server_url

Mode = Literal["auto", "online", "offline", "disabled"]

ANSWER_TIMEOUT_S = 2.5


def choose_mode(asked: Mode) -> str:
    """The mode to try first, WANDB_MODE before `asked`: online only where there is a key and the server answers."""
    variable = os.environ.get("WANDB_MODE", "")
    mode = {"dryrun": "offline", "run": "online"}.get(variable, variable) or asked
    if mode in ("offline", "disabled"):
        return mode
    logged_in = may_be_logged_in()
    if logged_in:
        url = server_url()
        if not answers(f"{url}/graphql", within_s=ANSWER_TIMEOUT_S):
            rank_zero_warn(f"W&B at {url} does not answer; the run is recorded offline.")
            return "offline"
        logged_in = wandb.login(prompt=False, verify=False)
    if not logged_in and mode == "online":
        rank_zero_warn("W&B: nobody is logged in (`wandb login`); the run is recorded offline.")
    return "online" if logged_in else "offline"
