"""Is the copy of a state the same state, and none of its memory?"""

import copy
import gc
import warnings
import weakref
from collections import OrderedDict, defaultdict, namedtuple

import pytest
import torch
from torch import nn

from lightning_cv.callbacks.host_copy import HostCopy

Pair = namedtuple("Pair", "left right")


def tensors() -> dict[str, torch.Tensor]:
    base = torch.arange(24.0).reshape(4, 6)
    leaf = torch.ones(3, requires_grad=True)
    return {
        "plain": base.clone(),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "turned": base.clone().t(),
        "row": base.clone()[2],
        "strided": base.clone()[:, ::2],
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 5),
        "channels_last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "bool": torch.tensor([True, False]),
        "int64": torch.arange(5),
        "uint8": torch.arange(5, dtype=torch.uint8),
        "float64": torch.randn(3, dtype=torch.float64),
        "bfloat16": torch.randn(3).bfloat16(),
        "float8": torch.randn(4).to(torch.float8_e4m3fn),
        "complex": torch.randn(3, dtype=torch.complex64),
        "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
        "negative": torch.randn(3, dtype=torch.complex64).conj().imag,
        "needs_grad": leaf,
        "not_leaf": leaf * 2,
        "parameter": nn.Parameter(torch.randn(2, 2)),
        "frozen": nn.Parameter(torch.randn(2), requires_grad=False),
        "sparse": torch.eye(3).to_sparse(),
        "csr": torch.eye(3).to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(torch.randn(4), 0.1, 0, torch.qint8),
    }


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's, of sparse rows and quantized tensors: once a process
    KINDS = list(tensors())


def values(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    if tensor.is_quantized:
        return tensor.int_repr()
    if tensor.layout is not torch.strided:
        return tensor.to_dense()
    return tensor.view(torch.uint8) if tensor.dtype is torch.float8_e4m3fn else tensor.resolve_conj()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_tensor_is_copied_right(name, times):
    """Same values, type, shape, strides and need for gradients; also into buffers that are there already."""
    copied_of, original = HostCopy(), tensors()[name]
    for _ in range(times):
        copied = copied_of({name: original})[name]
    assert torch.equal(values(copied), values(original))
    assert (type(copied), copied.dtype, copied.shape) == (type(original), original.dtype, original.shape)
    assert copied.requires_grad == original.requires_grad
    assert copied.is_leaf
    if original.layout is torch.strided and not original.is_neg():
        assert copied.stride() == original.stride()
    if original.layout is torch.strided and original.numel():
        assert copied.untyped_storage().data_ptr() != original.untyped_storage().data_ptr()


def test_later_steps_do_not_reach_the_copy():
    """Everything is changed in place that can be; oracle: a deep copy made before."""
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(network.parameters())

    def step():
        network(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()

    step()
    state = {"weights": network.state_dict(), "optimizer": optimizer.state_dict()}
    expected = copy.deepcopy(state)
    copied = HostCopy()(state)
    step()
    assert not torch.equal(network.state_dict()["0.weight"], expected["weights"]["0.weight"])
    for name, value in expected["weights"].items():
        assert torch.equal(copied["weights"][name], value)
    for place, moments in expected["optimizer"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(copied["optimizer"]["state"][place][name], value)
    assert copied["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]


def test_tensors_that_share_memory_share_it_in_the_copy():
    """Whatever their order, shape and type of view; those of equal content that do not share stay apart."""
    weight = torch.randn(10, 10)
    state = {"row": weight[3], "whole": weight, "turned": weight.t(), "again": weight, "apart": weight.clone()}
    copied = HostCopy()(state)
    storages = {name: tensor.untyped_storage().data_ptr() for name, tensor in copied.items()}
    assert len({storages[name] for name in ("row", "whole", "turned", "again")}) == 1
    assert storages["apart"] != storages["whole"]
    copied["whole"].zero_()
    assert not copied["row"].any()
    assert weight.any()


def test_a_special_tensor_named_twice_is_copied_once():
    special = torch.eye(3).to_sparse()
    copied = HostCopy()([special, {"again": special}])
    assert copied[0] is copied[1]["again"]
    assert copied[0] is not special


def test_the_next_copy_uses_the_same_memory():
    """It is the allocation that costs the time; a tensor of another size or type gets memory of its own."""
    copied_of = HostCopy()
    state = {"a": torch.randn(100), "b": torch.randn(4, 4), "view": torch.randn(9)[1:]}
    first = {name: tensor.data_ptr() for name, tensor in copied_of(state).items()}
    again = {name: tensor.data_ptr() for name, tensor in copied_of({k: v + 1 for k, v in state.items()}).items()}
    assert {first["a"], first["b"]} == {again["a"], again["b"]}
    other = copied_of({"a": torch.arange(100), "b": torch.ones(5), "view": torch.zeros(9)[1:]})
    assert torch.equal(other["a"], torch.arange(100))
    assert other["a"].dtype is torch.int64
    assert torch.equal(other["b"], torch.ones(5))


def test_memory_is_given_back_and_the_copy_that_is_used_stays_whole():
    copied_of = HostCopy()
    state = {"a": torch.randn(100)}
    copied = copied_of(state)
    copied_of.free()
    other = copied_of({"a": torch.zeros(100)})
    assert other["a"].data_ptr() != copied["a"].data_ptr()
    assert torch.equal(copied["a"], state["a"])


def test_the_buffers_hold_on_to_no_graph():
    """A tensor with a history would keep all that it was computed from."""
    leaf = torch.ones(3, requires_grad=True)
    reference = weakref.ref(leaf)
    copied_of = HostCopy()
    copied = copied_of([leaf * 2])[0]
    del leaf
    gc.collect()
    assert reference() is None
    assert torch.equal(copied, torch.full((3,), 2.0))


def test_containers_keep_their_kind_and_are_not_the_same_objects():
    counts = defaultdict(int, {"a": 1})
    state = {"list": [1, [2]], "tuple": (1, [2]), "pair": Pair([1], 2), "set": {1}, "bytes": bytearray(b"x")}
    state |= {"ordered": OrderedDict(b=[1], a=[2]), "counts": counts, "none": None, "text": "x", "number": 1.5}
    copied = HostCopy()(state)
    assert copied == state
    assert {name: type(value) for name, value in copied.items()} == {n: type(v) for n, v in state.items()}
    assert list(copied["ordered"]) == ["b", "a"]
    assert copied["counts"].default_factory is int
    for name in ("list", "set", "bytes", "ordered", "counts", "pair"):
        assert copied[name] is not state[name], name
    state["list"][1].append(3)
    state["tuple"][1].append(3)
    state["pair"].left.append(3)
    state["ordered"]["b"].append(3)
    assert copied["list"] == [1, [2]]
    assert copied["tuple"] == (1, [2])
    assert copied["pair"].left == [1]
    assert copied["ordered"]["b"] == [1]


def test_the_given_state_is_not_changed():
    weight = torch.randn(3)
    state = {"a": OrderedDict(weight=weight), "b": [weight]}
    HostCopy()(state)
    assert state["a"]["weight"] is weight
    assert state["b"][0] is weight


def test_versions_of_modules_are_kept():
    """`nn.Module.load_state_dict` reads them from `_metadata`."""
    given = nn.BatchNorm1d(3).state_dict()
    copied = HostCopy()({"network": given})["network"]
    assert copied._metadata == given._metadata
    assert copied._metadata is not given._metadata


@pytest.mark.gpu
def test_tensors_of_a_gpu_are_copied_to_pinned_memory_and_are_there_at_once():
    """A kernel that follows changes them; the second time the same memory is used."""
    copied_of = HostCopy()
    state = {"a": torch.randn(1000, 1000, device="cuda"), "b": torch.ones(3), "row": torch.ones(4, 4, device="cuda")[1]}
    for _ in range(2):
        expected = {name: tensor.cpu().clone() for name, tensor in state.items()}
        copied = copied_of(state)
        for tensor in state.values():
            tensor.add_(1)
        for name, tensor in copied.items():
            assert tensor.device.type == "cpu"
            assert torch.equal(tensor, expected[name])
    assert copied["a"].is_pinned()
    assert not copied["b"].is_pinned()
