"""Would a run be recorded online? A program of its own, since wandb may fail to import; it never says the key."""

from __future__ import annotations

import contextlib
import os
import sys

from lightning_cv.doctor.child import answering
from lightning_cv.tracking.server import answers, may_be_logged_in

# As long as a run waits for the server when it starts.
ANSWER_WITHIN_S = 2.5


def main() -> int:
    """Say the fields of `facts.Wandb`."""
    say = answering()
    os.environ |= {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    say(asking="wandb")
    import wandb

    from lightning_cv.tracking.settings import server_url

    url = server_url()
    say(url=url, asking="the key")
    logged_in = may_be_logged_in() and bool(wandb.login(prompt=False, verify=False))
    say(logged_in=logged_in)
    if logged_in and os.environ.get("WANDB_MODE") not in ("offline", "dryrun", "disabled"):
        say(asking="the server")
        say(answers=answers(f"{url}/graphql", within_s=ANSWER_WITHIN_S))
    with contextlib.suppress(Exception):
        wandb.teardown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
