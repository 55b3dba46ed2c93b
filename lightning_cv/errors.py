"""How does a user's mistake become one line instead of a traceback, and which exit status says what?"""

# Exit statuses of the command line; a scheduler may act on them.
DONE = 0
RECIPE = 2  # a mistake in the recipe or on the command line
DATA = 3  # files of the data set are missing or wrong
DIVERGED = 4  # the loss became NaN or infinite
RESOURCES = 5  # memory or disk ran out, a loader process died
BUG = 70  # nothing that a user did; with a traceback
PREEMPTED = 75  # stopped by a signal, with a snapshot: the same command goes on from it


class UserError(ValueError):
    """A mistake that a user can mend: its text is one line naming the key or file and what is allowed.

    The command line prints the text after `error: ` and ends with `exit_code`; a traceback is shown only
    with `--traceback`. From Python it is an ordinary `ValueError`.
    """

    exit_code = RECIPE


class DataError(UserError):
    """Files of the data set are missing, damaged or contradict one another: names the file or folder."""

    exit_code = DATA


class NonFiniteLossError(UserError):
    """The training loss became NaN or infinite: names the step and the samples of that batch."""

    exit_code = DIVERGED


class ResourceError(UserError):
    """Memory or disk ran out, or a loader process died: says what to make smaller."""

    exit_code = RESOURCES


class Preempted(BaseException):
    """Training was stopped by a signal; the same command goes on from the snapshot that it left.

    Args:
        message: which signal, and where.
        agreed: whether all processes that train together stop at this step.
    """

    exit_code = PREEMPTED

    def __init__(self, message: str, *, agreed: bool = False) -> None:
        super().__init__(message)
        self.agreed = agreed
