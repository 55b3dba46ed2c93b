"""How is an option of a data set refused?"""

from lightning_cv.errors import UserError


def check_option(key: str, value: object, allowed: str, holds: bool) -> None:
    """Refuse a value unless what is asked of it holds.

    Args:
        key: of the recipe, below `data.init_args`.
        value: as it was given.
        allowed: in words.
        holds: whether it is allowed.

    Raises:
        UserError: names the key, what was given and what is allowed.
    """
    if not holds:
        raise UserError(f"data.init_args.{key}: {value} given, allowed: {allowed}")
