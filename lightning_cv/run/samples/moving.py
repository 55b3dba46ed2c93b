"""How do images move: on their way out of noise, and along a path of latent vectors?"""

from __future__ import annotations

import torch

from lightning_cv.contracts import DecodesLatents, SamplesInSteps
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.walks import walk as latent_walk
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.request import SampleRequest
from lightning_cv.run.samples.drawn import folder_name, labels_of, one_class
from lightning_cv.run.samples.files import where, write_gif, write_images
from lightning_cv.run.samples.loaded import Loaded

_MOST_FRAMES = 50
_MOST_IMAGES = 36  # that a moving grid shows
_FRAMES_A_POINT = 16


@torch.no_grad()
def show_trajectory(loaded: Loaded, request: SampleRequest) -> list[str]:
    """Write `trajectory.gif`: the first images that were drawn, on their way out of noise; returns what was written."""
    network = loaded.network
    assert isinstance(network, SamplesInSteps), "the run was loaded for this"
    label = None if request.label is None else loaded.label_of(request.label)
    index = torch.arange(min(request.num, _MOST_IMAGES), device=loaded.device)
    draws = OwnDraws.of_indices(index, seed=request.seed)
    frames = network.trajectory(draws, labels_of(loaded, index, label), num_frames=_MOST_FRAMES).float().cpu()
    path = write_gif(loaded.home / folder_name(loaded, request) / "trajectory.gif", frames, is_loop=False)
    return [f"moving    {display_path(path)} ({len(frames)} frames, from noise to the images)"]


@torch.no_grad()
def walk(loaded: Loaded, request: SampleRequest) -> list[str]:
    """Write `walk.gif`, its frames and a grid of them: a closed path through latent vectors (row 251).

    Raises:
        UserError: the network has no latent vectors.
    """
    network, points = loaded.network, request.walk
    assert points is not None
    if not isinstance(network, DecodesLatents):
        raise UserError(f"--walk: {loaded.name} has no latent vectors; allowed: the run of a VAE, a GAN or a diffusion")
    draws = OwnDraws.of_indices(torch.arange(points, device=loaded.device), seed=request.seed)
    label, frames = one_class(loaded, request), points * _FRAMES_A_POINT
    images = latent_walk(network, draws, num_frames=frames, label=label, batch_size=request.batch_size).cpu()
    folder = loaded.home / f"{folder_name(loaded, request)}-walk-{points}"
    write_images(folder, images, columns=_FRAMES_A_POINT)
    path = write_gif(folder / "walk.gif", images[:, None], is_loop=True)
    return [
        f"walked    through {points} latent vectors and back, {len(images)} frames",
        f"moving    {display_path(path)}",
        *where(folder),
    ]
