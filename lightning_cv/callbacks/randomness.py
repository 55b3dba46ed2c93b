"""What is the state of every random generator that training may draw from, and how is it put back?"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_state(device: torch.device) -> dict[str, Any]:
    """The generators of Python, NumPy, torch and the process's CUDA device, as tensors and plain values."""
    numpy_state: dict[str, Any] = np.random.get_state(legacy=False)
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": {
            "pos": int(numpy_state["state"]["pos"]),
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what `random_state` returned."""
    random.setstate(state["python"])
    given = state["numpy"]
    np.random.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": given["key"].numpy().astype(np.uint32), "pos": given["pos"]},
            "has_gauss": given["has_gauss"],
            "gauss": given["gauss"],
        }
    )
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
