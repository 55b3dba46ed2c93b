"""How is a nested state copied to the host fast, so that training may change it at once?"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor


class HostCopy:
    """Copies tensors into buffers that it keeps for the next time, storage by storage, in fused calls.

    What shares a storage in the state shares one in the copy: nothing doubles. The copy is valid until the next
    call. Buffers for tensors of a GPU are pinned.
    """

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []

    def __call__(self, state: Any) -> Any:
        """The same nesting of dicts, lists and tuples, with tensors on the CPU and values of its own."""
        copied = _Copy(self._buffers)
        result = copied.of(state)
        copied.fill()
        self._buffers = copied.buffers
        return result

    def free(self) -> None:
        """Give the memory back; the latest copy keeps its own as long as it is used."""
        self._buffers = []


class _Copy:
    """One copy: first the layout, then all bytes."""

    def __init__(self, earlier: list[Tensor]) -> None:
        self.buffers: list[Tensor] = []  # one a storage, in the order in which the state names them
        self._earlier = earlier
        self._sources: list[Tensor] = []  # what goes into each buffer
        self._places: dict[int, int] = {}  # by the storage that is copied
        self._others: dict[int, Tensor] = {}  # by the tensor that is copied

    def of(self, value: Any) -> Any:
        """The copy of a value; tensors get their bytes with `fill`."""
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, dict):
            copied: Any = copy.copy(value)  # keeps the class, and what a class such as defaultdict holds besides
            for key, part in value.items():
                copied[key] = self.of(part)
            if hasattr(value, "_metadata"):  # versions of modules, which nn.Module keeps on its state
                copied._metadata = copy.deepcopy(value._metadata)
            return copied
        if type(value) in (list, tuple):
            return type(value)(self.of(part) for part in value)
        return value if isinstance(value, str | bytes | int | float | bool | None) else copy.deepcopy(value)

    def fill(self) -> None:
        """Copy all bytes; returns when they are there."""
        if not self._sources:
            return
        with torch.no_grad():
            torch._foreach_copy_(self.buffers, self._sources, non_blocking=True)
        for device in {source.device for source in self._sources if source.is_cuda}:
            torch.cuda.synchronize(device)

    def _tensor(self, value: Tensor) -> Tensor:
        if not _is_plain(value):
            if id(value) not in self._others:
                self._others[id(value)] = _copy_of_other(value)
            return self._others[id(value)]
        storage = value.untyped_storage()
        place = self._places.setdefault(storage._cdata, len(self.buffers))
        if place == len(self.buffers):
            fills_storage = value.nbytes == storage.nbytes() and value.is_contiguous()
            source = value if fills_storage else torch.empty(0, dtype=torch.uint8, device=value.device).set_(storage)
            self._sources.append(source)
            self.buffers.append(self._buffer_for(source, place))
            if fills_storage and type(value) is Tensor and not value.requires_grad:
                return self.buffers[place]
        bytes_ = self.buffers[place].untyped_storage()
        copied = torch.empty(0, dtype=value.dtype).set_(bytes_, value.storage_offset(), value.size(), value.stride())
        if isinstance(value, torch.nn.Parameter):
            return torch.nn.Parameter(copied, requires_grad=value.requires_grad)
        return copied.requires_grad_(value.requires_grad)

    def _buffer_for(self, source: Tensor, place: int) -> Tensor:
        if place < len(self._earlier):
            buffer = self._earlier[place]
            alike = buffer.shape == source.shape and buffer.dtype == source.dtype
            if alike and buffer.is_pinned() == source.is_cuda:
                return buffer
        return torch.empty(source.shape, dtype=source.dtype, pin_memory=source.is_cuda)


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor is nothing but a view of its storage's bytes."""
    return (
        type(value) in (Tensor, torch.nn.Parameter)
        and value.layout is torch.strided
        and value.device.type in ("cpu", "cuda")
        and not (value.is_quantized or value.is_conj() or value.is_neg())
    )


def _copy_of_other(value: Tensor) -> Tensor:
    """The copy of a sparse, quantized, conjugated or otherwise special tensor, by its own methods."""
    copied = value.detach().resolve_conj().resolve_neg().clone()
    return copied if copied.device.type == "meta" else copied.cpu()
