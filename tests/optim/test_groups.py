"""The optimizer gets every trainable parameter once, with the decay and the rate that are its own."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks import find_head
from lightning_cv.optim import build_optimizer, parameter_groups


class Tiny(nn.Module):
    """A convolution, three kinds of norm, a token, position embeddings of both kinds, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.batch_norm = nn.BatchNorm2d(4)
        self.norm_over_image = nn.LayerNorm([4, 6, 6])
        self.group_norm = nn.GroupNorm(2, 4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.pos_embed = nn.Embedding(9, 4)
        self.encoder = nn.ParameterDict({"pos_embedding": torch.zeros(1, 9, 4)})
        self.head = nn.Linear(4, 2)


def names_by_group(network: nn.Module, groups: list[dict]) -> dict[str, set[str]]:
    name_of = {id(parameter): name for name, parameter in network.named_parameters()}
    return {group["name"]: {name_of[id(parameter)] for parameter in group["params"]} for group in groups}


def test_norms_biases_tokens_and_positions_do_not_decay():
    """row 31: of a tiny transformer-like net, just the weights that multiply features decay."""
    network = Tiny()
    groups = parameter_groups(network, head=None, decay_norm_and_bias=False)
    assert names_by_group(network, groups)["network"] == {"conv.weight", "head.weight"}
    assert {group["name"]: group.get("weight_decay") for group in groups} == {
        "network": None,
        "network_no_decay": 0.0,
    }


@pytest.mark.parametrize(
    "make",
    [
        partial(torchvision.models.resnet18, num_classes=3),
        partial(torchvision.models.vit_b_32, num_classes=3),
        partial(torchvision.models.swin_t, num_classes=3),
        partial(timm.create_model, "vit_tiny_patch16_224", num_classes=3),
        partial(timm.create_model, "swin_tiny_patch4_window7_224", num_classes=3),
        partial(timm.create_model, "mvitv2_tiny", num_classes=3),
    ],
    ids=["resnet18", "vit_b_32", "swin_t", "timm_vit", "timm_swin", "timm_mvitv2"],
)
@pytest.mark.parametrize("decay_norm_and_bias", [False, True])
def test_each_trainable_parameter_is_in_one_group(make, decay_norm_and_bias):
    """row 31: over all groups, every parameter that is not frozen stands once, and no frozen one."""
    with torch.device("meta"):
        network = make()
    first = next(iter(network.parameters()))
    first.requires_grad_(False)
    groups = parameter_groups(network, head=find_head(network), decay_norm_and_bias=decay_norm_and_bias)
    seen = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(seen) == len(set(seen))
    assert set(seen) == {id(p) for p in network.parameters() if p.requires_grad}
    by_group = names_by_group(network, groups)
    in_head = {name for group, names in by_group.items() if group.startswith("head") for name in names}
    assert {name.rsplit(".", 1)[-1] for name in in_head} == {"weight", "bias"}
    assert len(in_head) == 2


def test_a_network_may_name_what_does_not_decay():
    """row 31: names from a network's own `no_weight_decay()`, timm's convention, do not decay."""

    class Naming(Tiny):
        def no_weight_decay(self) -> set[str]:
            return {"conv.weight"}

    network = Naming()
    groups = parameter_groups(network, head=None, decay_norm_and_bias=False)
    assert names_by_group(network, groups)["network"] == {"head.weight"}


def test_timm_names_what_does_not_decay():
    """row 31: what a timm Swin names, and every parameter of one dimension, does not decay."""
    with torch.device("meta"):
        network = timm.create_model("swin_tiny_patch4_window7_224", num_classes=3)
    groups = parameter_groups(network, head=None, decay_norm_and_bias=False)
    decayed = names_by_group(network, groups)["network"]
    named = set(network.no_weight_decay())
    assert named
    assert not named & decayed
    assert all(dict(network.named_parameters())[name].ndim > 1 for name in decayed)


def test_the_backbone_has_its_own_rate():
    """rows 22, 31: backbone groups have the factor of the base rate, head groups the base rate itself."""
    network = Tiny()
    optimizer = build_optimizer(
        network,
        partial(torch.optim.AdamW, lr=0.2, weight_decay=0.05),
        head=network.head,
        backbone_lr_factor=0.1,
    )
    assert {group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups} == {
        "backbone": (pytest.approx(0.02), 0.05),
        "backbone_no_decay": (pytest.approx(0.02), 0.0),
        "head": (0.2, 0.05),
        "head_no_decay": (0.2, 0.0),
    }


def test_a_rate_given_as_a_tensor_is_not_shared():
    """row 22: with a tensor as base rate, slowing the backbone leaves the head's rate alone."""
    network = Tiny()
    make = partial(torch.optim.AdamW, lr=torch.tensor(0.5), foreach=False)
    optimizer = build_optimizer(network, make, head=network.head, backbone_lr_factor=0.5)
    rates = {group["name"]: float(group["lr"]) for group in optimizer.param_groups}
    assert rates["head"] == 0.5
    assert rates["backbone"] == 0.25


@pytest.mark.parametrize(
    ("make", "decay_norm_and_bias", "expected"),
    [
        (partial(torch.optim.SGD, lr=0.1), False, ["network"]),
        (partial(torch.optim.SGD, lr=0.1, weight_decay=1e-4), True, ["network"]),
        (partial(torch.optim.SGD, lr=0.1, weight_decay=1e-4), False, ["network", "network_no_decay"]),
        (torch.optim.LBFGS, False, ["network"]),
    ],
)
def test_groups_are_split_only_where_it_matters(make, decay_norm_and_bias, expected):
    """row 31: without weight decay all parameters share one group (faster; L-BFGS needs it)."""
    optimizer = build_optimizer(Tiny(), make, head=None, decay_norm_and_bias=decay_norm_and_bias)
    assert [group["name"] for group in optimizer.param_groups] == expected


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"head": None, "backbone_lr_factor": 0.1}, "backbone_lr_factor is 0.1"),
        ({"head": nn.ReLU(), "backbone_lr_factor": -0.1}, "backbone_lr_factor is -0.1"),
        ({"head": None, "optimizer": partial(torch.optim.Adam, lr=-1.0)}, "optimizer: .*-1.0"),
        ({"head": None, "network": nn.ReLU()}, "trainable"),
    ],
)
def test_what_cannot_be_meant_is_one_line(arguments, named):
    """row 31: each mistake is a UserError of one line that names the setting."""
    defaults = {"network": Tiny(), "optimizer": partial(torch.optim.SGD, lr=0.1)}
    arguments = defaults | arguments
    with pytest.raises(UserError, match=named) as caught:
        build_optimizer(arguments.pop("network"), arguments.pop("optimizer"), **arguments)
    assert "\n" not in str(caught.value)
