"""The head of every library classifier is found, started and replaced."""

import math
import warnings

import pytest
import timm
import torch
import torchvision
from jsonargparse import ArgumentParser
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks import find_head, find_heads, num_classes, start_head, with_new_head
from lightning_cv.networks.classify import SmallResNet

TORCHVISION = torchvision.models.list_models(module=torchvision.models)
# RegNets of every size come out of one class, and the meta device cannot spare building the large ones.
LARGE_REGNETS = [name for name in TORCHVISION if name.startswith("regnet") and not name.endswith("_400mf")]


def make(name: str, **arguments) -> nn.Module:
    """A torchvision network by its name, else a timm one, without pretrained weights."""
    if name not in TORCHVISION:
        return timm.create_model(name, **arguments)
    # Their default start draws truncated normals with SciPy, which takes a minute; the head is started anew.
    start = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, **arguments, **start)


def widths_of(heads: list[nn.Module]) -> set[int]:
    return {head.out_features if isinstance(head, nn.Linear) else head.out_channels for head in heads}


@pytest.mark.parametrize("name", [name for name in TORCHVISION if name not in LARGE_REGNETS])
def test_the_head_of_every_torchvision_classifier_is_found(name):
    """row 124: of all layers, the one found is the one whose width follows `num_classes`."""
    # RegNet's constructor reads values that the meta device lacks.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        network = make(name, num_classes=7)
    heads = find_heads(network)
    assert heads[0] is find_head(network)
    assert widths_of(heads) == {7}
    assert num_classes(network) == 7
    assert len(heads) == {"googlenet": 3, "inception_v3": 2}.get(name, 1)


def timm_families() -> list[str]:
    """The first model of each of timm's files."""
    first: dict[str, str] = {}
    for name in timm.list_models():
        first.setdefault(timm.model_entrypoint(name).__module__, name)
    assert len(first) > 50
    return sorted(first.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", timm_families())
def test_the_head_of_every_timm_family_is_found(name):
    """row 124: of one network of each of timm's files, all found heads are as wide as `num_classes`."""
    with torch.device("meta"):
        try:
            network = timm.create_model(name, num_classes=7)
        except (NotImplementedError, RuntimeError):
            pytest.skip("timm cannot build it on the meta device")
    assert widths_of(find_heads(network)) == {7}
    assert num_classes(network) == 7


def test_a_network_without_a_head_has_none():
    """row 124: a feature extractor has no number of classes, and no head to start."""
    features = timm.create_model("resnet10t", num_classes=0)
    assert num_classes(features) is None
    with pytest.raises(UserError, match="ResNet has no classification head"):
        start_head(features)


# name: smallest image that works, in pixels. One of each family of torchvision, a spread of timm's.
FAST = {"squeezenet1_1": 32, "resnet50": 32, "mobilenetv1_100": 32, "googlenet": 64, "levit_128": 224}
SLOW = {
    "alexnet": 64,
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "inception_v3": 299,
    "maxvit_t": 224,
    "mnasnet1_0": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_y_400mf": 32,
    "resnet18": 32,
    "resnext50_32x4d": 32,
    "shufflenet_v2_x1_0": 32,
    "swin_t": 32,
    "swin_v2_t": 32,
    "vgg11": 32,
    "vit_b_32": 224,
    "resnetv2_50": 32,
    "seresnet50": 32,
    "mixer_s16_224": 224,
    "mvitv2_tiny": 64,
    "vit_tiny_patch16_224": 224,
    "deit_tiny_distilled_patch16_224": 224,
    "xcit_nano_12_p16_224": 224,
    "cait_xxs24_224": 224,
    "convmixer_768_32": 64,
    "ghostnet_100": 32,
    "repvgg_a0": 32,
    "nf_regnet_b0": 32,
    "poolformer_s12": 64,
    "tf_efficientnet_lite0": 32,
    "darknet53": 64,
}


@pytest.mark.parametrize(
    ("name", "size_px"),
    [*FAST.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in SLOW.items())],
)
def test_the_first_loss_of_a_started_head_is_ln_c(name, size_px):
    """rows 6, 124: in training mode on noise, each head's loss, mean over labels, is ln 10 within 5%."""
    network = make(name, num_classes=10).train()
    if name == "squeezenet1_1":
        assert isinstance(find_head(network), nn.Conv2d)
    start_head(network)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = network(torch.randn(8, 3, size_px, size_px))
    for some in scores if isinstance(scores, tuple) else [scores]:
        if some is not None:
            assert -some.log_softmax(1).mean().item() == pytest.approx(math.log(10), rel=0.05)


@pytest.mark.parametrize("name", ["googlenet", "levit_128"])
def test_all_heads_are_started(name):
    """row 124: auxiliary and second heads too have weights of standard deviation 1e-3 and biases 0."""
    network = make(name, num_classes=10)
    start_head(network)
    heads = find_heads(network)
    assert len(heads) > 1
    for head in heads:
        assert head.weight.std().item() == pytest.approx(1e-3, rel=0.1)
        assert not head.bias.any()


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv1_100"])
def test_library_heads_need_a_start(name):
    """row 124: as the libraries start them, resnet50 and timm's mobilenetv1 are more than 5% above ln 10."""
    network = make(name, num_classes=10).train()
    with torch.no_grad():
        scores = network(torch.randn(8, 3, 64, 64))
    assert -scores.log_softmax(1).mean().item() > 1.05 * math.log(10)


def test_a_started_head_still_learns():
    """row 124: SqueezeNet has a ReLU behind its head: a small start learns, where zero is dead."""
    network = make("squeezenet1_1", num_classes=10).train()
    images, labels = torch.randn(4, 3, 64, 64), torch.arange(4)
    start_head(network)
    nn.functional.cross_entropy(network(images), labels).backward()
    assert find_head(network).weight.grad.any()
    nn.init.zeros_(find_head(network).weight)
    network.zero_grad()
    nn.functional.cross_entropy(network(images), labels).backward()
    assert not find_head(network).weight.grad.any()
    with pytest.raises(UserError, match="std is 0; allowed: above 0"):
        start_head(network, std=0)


@pytest.mark.parametrize(
    ("name", "size_px"),
    [
        ("resnet18", 32),
        ("squeezenet1_1", 32),
        ("googlenet", 64),
        ("deit_tiny_distilled_patch16_224", 224),
        ("levit_128s", 224),
    ],
)
def test_a_new_head_has_the_new_classes(name, size_px):
    """rows 124, 200: all heads give the new number of scores and every other weight is kept."""
    network = make(name, num_classes=20)
    heads = find_heads(network)
    old = {n: t.clone() for n, t in network.state_dict().items()}
    changed = with_new_head(network, 3).eval()
    assert widths_of(find_heads(changed)) == {3}
    assert not set(heads) & set(changed.modules())
    new = changed.state_dict()
    different = [n for n in old if new[n].shape != old[n].shape or not torch.equal(new[n], old[n])]
    assert len(different) == sum(2 if head.bias is not None else 1 for head in heads)
    assert changed(torch.randn(2, 3, size_px, size_px)).shape == (2, 3)
    assert getattr(changed, "num_classes", 3) == 3


def test_a_new_head_needs_a_class():
    """row 124: no classes cannot be meant."""
    with pytest.raises(UserError, match="num_classes is 0; allowed: 1 or more"):
        with_new_head(SmallResNet(), 0)


NETWORK_RECIPES = {
    "own": {"class_path": "lightning_cv.networks.classify.LeNet5", "init_args": {"num_classes": 7}},
    "torchvision": {"class_path": "torchvision.models.resnet18", "init_args": {"weights": None}}
    | {"dict_kwargs": {"num_classes": 7}},
    "timm": {
        "class_path": "timm.create_model",
        "init_args": {"model_name": "resnet10t"},
        "dict_kwargs": {"num_classes": 7},
    },
    "new_head": {
        "class_path": "lightning_cv.networks.with_new_head",
        "init_args": {"network": {"class_path": "torchvision.models.squeezenet1_1"}, "num_classes": 7},
    },
}


@pytest.mark.parametrize("recipe", NETWORK_RECIPES.values(), ids=NETWORK_RECIPES)
def test_any_library_classifier_is_reachable(recipe):
    """row 77: own, torchvision and timm classifiers, and one with a new head, by dotted path."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    parsed = parser.parse_object({"network": recipe})
    assert num_classes(parser.instantiate(parsed).network) == 7
    assert parser.parse_string(parser.dump(parsed)) == parsed
