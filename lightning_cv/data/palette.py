"""In which colours are the classes of a data set shown that names none?"""

from lightning_cv.contracts import Color


def palette(number: int) -> tuple[Color, ...]:
    """Colours that differ, the first black: as Pascal VOC's, where the bits of a number are spread over RGB.

    Args:
        number: of classes.
    """
    return tuple((_channel(value), _channel(value >> 1), _channel(value >> 2)) for value in range(number))


def _channel(value: int) -> int:
    """Every third bit from the lowest on, the lowest weighing most."""
    return sum((value >> (3 * place) & 1) << (7 - place) for place in range(8))
