"""Every network of our own, found by walking the package, keeps the contract of a network.

A network is a public `nn.Module` under `lightning_cv/networks/` outside `blocks/`. Its constructor's defaults
make a working network, and its class attribute `example_input` is the (C, H, W) that this one takes.
"""

import importlib
import inspect
import math
import pkgutil

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

import lightning_cv.networks
from lightning_cv.networks import find_head, num_classes, start_head
from tests.tolerances import assert_close


def own_networks(folder: str = "") -> list[type[nn.Module]]:
    """Classes of `lightning_cv.networks`, or of one of its folders."""
    package = lightning_cv.networks
    found = []
    for module_info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".blocks" not in module_info.name and module_info.name.startswith(f"{package.__name__}.{folder}"):
            module = importlib.import_module(module_info.name)
            found += [
                value
                for name, value in vars(module).items()
                if inspect.isclass(value)
                and issubclass(value, nn.Module)
                and value.__module__ == module.__name__
                and not name.startswith("_")
                and not inspect.isabstract(value)
            ]
    return sorted(found, key=lambda network: network.__name__)


NETWORKS, CLASSIFIERS = own_networks(), own_networks("classify")


def images_for(network: type[nn.Module], count: int = 4) -> torch.Tensor:
    return torch.randn(count, *network.example_input)


def test_there_are_networks():
    """row 77: the walk finds the networks that are known to be there, so that the suite cannot pass empty."""
    assert {"LeNet5", "Mlp", "SmallResNet"} <= {network.__name__ for network in CLASSIFIERS}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
def test_a_recipe_builds_it_with_defaults(network):
    """row 77: a recipe that names the class alone, as its package exports it, makes a network."""
    package = importlib.import_module(network.__module__.rsplit(".", 1)[0])
    assert network.__name__ in package.__all__
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    class_path = f"{package.__name__}.{network.__name__}"
    parsed = parser.parse_object({"network": {"class_path": class_path}})
    assert isinstance(parser.instantiate(parsed).network, network)
    again = parser.parse_string(parser.dump(parsed))
    assert isinstance(parser.instantiate(again).network, network)


@pytest.mark.parametrize("network", CLASSIFIERS, ids=lambda n: n.__name__)
@pytest.mark.parametrize("classes", [2, 10])
def test_scores_have_one_column_a_class(network, classes):
    """row 77: images (B, C, H, W) give scores (B, num_classes), and the head says how many."""
    built = network(num_classes=classes)
    assert built(images_for(network)).shape == (4, classes)
    assert num_classes(built) == classes
    assert find_head(built) in set(built.modules())


@pytest.mark.parametrize("network", CLASSIFIERS, ids=lambda n: n.__name__)
def test_every_parameter_gets_a_gradient(network):
    """row 77: after one backward every parameter, by name, has a gradient that is finite and not all zero."""
    built = network()
    nn.functional.cross_entropy(built(images_for(network)), torch.arange(4)).backward()
    without = [
        name
        for name, parameter in built.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    assert not without


@pytest.mark.parametrize("network", CLASSIFIERS, ids=lambda n: n.__name__)
def test_scores_do_not_depend_on_batch_mates(network):
    """row 77: in evaluation an image alone has the scores that it has in a batch, and again the same."""
    built, images = network().double().eval(), images_for(network).double()  # libraries add in another order by batch
    with torch.no_grad():
        together = built(images)
        assert_close(torch.cat([built(image[None]) for image in images]), together)
        assert torch.equal(built(images), together)


@pytest.mark.parametrize("network", CLASSIFIERS, ids=lambda n: n.__name__)
def test_weights_survive_a_file(network, tmp_path):
    """row 77: weights saved and loaded (as a file that is safe to load) give the same scores."""
    built, images = network().eval(), images_for(network)
    torch.save(built.state_dict(), tmp_path / "weights.pt")
    other = network().eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    with torch.no_grad():
        assert torch.equal(built(images), other(images))


@pytest.mark.parametrize("network", CLASSIFIERS, ids=lambda n: n.__name__)
def test_the_first_loss_is_ln_c(network):
    """row 124: with a started head, the loss of the first batch, mean over all labels, is ln C within 5%."""
    built = network()
    start_head(built)
    log_p = built(images_for(network, 8)).log_softmax(1)
    assert -log_p.mean().item() == pytest.approx(math.log(num_classes(built)), rel=0.05)
