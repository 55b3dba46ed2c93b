"""Which messages of the libraries below would only distract a user of the command line?"""

import logging
import warnings

# Advertisements, notes on what this platform does on purpose, and deprecations inside the libraries themselves.
_LOGGED = (
    "💡 Tip",
    "`weights_only` was not set",
    "Loading `train_dataloader` to estimate",
    "Seed set to",
    "TPU available",
)
_WARNED = (
    r".*isinstance\(treespec, LeafSpec\).*",
    r"The image decoding and encoding capabilities.*",
    # Means and metrics are reduced over devices before they are logged.
    r"It is recommended to use `self.log\(.*sync_dist=True\)`.*",
    # Scoring a run that exists logs to no tracker; Lightning returns only what was meant for one.
    r"You called `self.log\(.*\)` but have no logger configured.*",
    r".*``instantiate_classes`` was deprecated.*",
    r".*skip_none parameter was deprecated.*",
    # A frozen part of a network stays in evaluation mode on purpose.
    r"Found \d+ module\(s\) in eval mode at the start of training.*",
    # `lightning-cv submit` is how a run gets to the cluster's machines.
    r"The `srun` command is available on your system but is not used.*",
)


def _is_wanted(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_LOGGED)


def _as_line(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001 - the signature is the standard library's
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> str:
    """A warning as a user reads it: what it says, not which line of a library said it."""
    return f"warning: {' '.join(str(message).split())}\n"


def quiet_libraries() -> None:
    """Pass over these messages, and no others, for the rest of the process."""
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        for target in (logging.getLogger(name), *logging.getLogger(name).handlers):
            if _is_wanted not in target.filters:
                target.addFilter(_is_wanted)
    warnings.formatwarning = _as_line
    for message in _WARNED:
        warnings.filterwarnings("ignore", message=message)
