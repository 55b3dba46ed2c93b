"""One table of tolerances by dtype, so that no test invents its own."""

import torch

# dtype: relative tolerance, absolute tolerance
TOLERANCE = {
    torch.float64: (1e-9, 1e-11),
    torch.float32: (1e-5, 1e-6),
    torch.bfloat16: (2e-2, 2e-2),
    torch.float16: (2e-3, 2e-3),
}


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal within the table's tolerance of the coarser of the two dtypes."""
    rtol, atol = max(TOLERANCE[actual.dtype], TOLERANCE.get(expected.dtype, (0, 0)))
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol, check_dtype=False)
