"""How are images changed by their latent vectors?"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_cv.contracts import DecodesLatents, HasLatents, SamplesInSteps
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.directions import direction_sheet, principal_directions, weight_directions
from lightning_cv.networks.generate.latents import STEPS, interpolation, traversal
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.recipe.request import SampleRequest
from lightning_cv.run.samples.drawn import folder_name, one_class
from lightning_cv.run.samples.files import where, write_images
from lightning_cv.run.samples.given import given_image, name_of
from lightning_cv.run.samples.loaded import Loaded

_NUM_DRAWS = 2000  # by which directions are measured


def edit(loaded: Loaded, which: str) -> list[str]:
    """Write an image of which one latent number after another is changed (row 243); returns what was written."""
    network = _with_latents(loaded, "--edit")
    image, label = _image(loaded, which)
    images = traversal(network, network.encode(image, label), label).cpu()
    title = "a latent number a row, from -3 to 3"
    folder = write_images(loaded.home / f"edit-{name_of(which)}", images, title=title, columns=len(STEPS))
    rows = len(images) // len(STEPS)
    return [f"edited    {rows} of {network.num_latents} latent numbers, each from -3 to 3", *where(folder)]


def interpolate(loaded: Loaded, which: tuple[str, str]) -> list[str]:
    """Write the way from one image to another; returns what was written."""
    network = _with_latents(loaded, "--interpolate")
    (first, label), (last, _) = (_image(loaded, each) for each in which)
    ends = network.encode(torch.cat([first, last]), None if label is None else label.expand(2))
    images = interpolation(network, ends, label)
    name = "-".join(map(name_of, which))
    folder = write_images(loaded.home / f"interpolate-{name}", images.cpu(), columns=len(images))
    return [f"went      from {which[0]} to {which[1]} in {len(images)} steps", *where(folder)]


def direct(loaded: Loaded, request: SampleRequest) -> list[str]:
    """Write one new image that is moved along each of the directions that tell most (row 252).

    By the weights of the first layers; of a network that takes its vector otherwise, by principal components.

    Raises:
        UserError: the network has no latent vectors, or one number of them for each pixel.
    """
    network = loaded.network
    assert request.directions is not None
    if not isinstance(network, DecodesLatents) or isinstance(network, SamplesInSteps):
        raise UserError(
            f"--directions: {loaded.name} has no short latent vectors; allowed: the run of a VAE or of a GAN"
        )
    label, count = one_class(loaded, request), min(request.directions, network.num_latents)
    draws = OwnDraws.of_indices(torch.arange(_NUM_DRAWS, device=loaded.device), seed=request.seed)
    try:
        found, how = weight_directions(network, draws, count=count, label=label), "weights of the first layers"
    except UserError:
        found, how = principal_directions(network, draws, count=count, label=label), "principal components"
    first = OwnDraws.of_indices(torch.zeros(1, dtype=torch.int64, device=loaded.device), seed=request.seed)
    images = direction_sheet(network, found, first, label=label).cpu()
    folder = loaded.home / f"{folder_name(loaded, request)}-directions-{request.directions}"
    title = "a direction a row, from -3 to 3 standard deviations"
    write_images(folder, images, title=title, columns=len(STEPS))
    return [f"moved     along {len(found.vectors)} directions, found by {how}", *where(folder)]


def _with_latents(loaded: Loaded, option: str) -> HasLatents:
    if isinstance(loaded.network, HasLatents):
        return loaded.network
    raise UserError(
        f"{option}: {loaded.name} finds no latent vectors of images; allowed: the run of an autoencoder, such as "
        "ConvVae"
    )


def _image(loaded: Loaded, which: str) -> tuple[Tensor, Tensor | None]:
    """(1, C, H, W) in [0, 1], and its class (1,) where the network takes one."""
    image, label = given_image(loaded, which)
    if loaded.network.num_classes is None:
        return image, None
    if label is None:
        raise UserError(
            f"image {which}: the network is conditional, and a file has no class; give the number of a test image"
        )
    return image, label
