"""How does a user's mistake become one line instead of a traceback?"""


class UserError(ValueError):
    """A mistake that a user can mend: its text is one line naming the key or file and what is allowed.

    The command line prints the text after `error: ` and ends with `exit_code`; a traceback is shown only
    with `--traceback`. From Python it is an ordinary `ValueError`.
    """

    exit_code = 2


class NonFiniteLossError(UserError):
    """The training loss became NaN or infinite: names the step and the samples of that batch."""
