"""How many bytes is a size such as 20GB?"""

import pytest

from lightning_cv.errors import UserError
from lightning_cv.recipe.sizes import read_size, size_text


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("20GB", 20 * 10**9),
        ("1.5gib", 3 * 2**29),
        (" 512 MB ", 512 * 10**6),
        ("1000000", 1_000_000),
        ("1B", 1),
        (".5KiB", 512),
        ("2TB", 2 * 10**12),
        ("3tib", 3 * 2**40),
    ],
)
def test_a_size_is_read_in_decimal_and_binary_units(text, num_bytes):
    """IEC 80000-13: a kilobyte is 1,000 bytes, a kibibyte 1,024."""
    assert read_size(text, "--batch-memory") == num_bytes


@pytest.mark.parametrize("text", ["", "GB", "20XB", "-1GB", "1e9", "0", "0.1B", "1,5GB", "nan", "inf", "1 2GB"])
def test_anything_else_is_one_line_that_names_the_option(text):
    with pytest.raises(UserError, match=r"^--batch-memory .*: give a size such as 20GB, 512MB or 1\.5GiB$"):
        read_size(text, "--batch-memory")


def test_a_size_is_told_in_the_unit_that_fits():
    told = {999: "999 B", 1500: "1.5 KB", 85_000_000_000: "85.0 GB", 123_400_000: "123 MB", 2 * 10**12: "2.0 TB"}
    for num_bytes, text in told.items():
        assert size_text(num_bytes) == text
        assert read_size(text, "") == pytest.approx(num_bytes, rel=0.05)
