"""Which network draws, and how does it draw: what a run and the command line say together?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from lightning_cv.contracts import Density, GenerativeNetwork, SamplesInSteps
from lightning_cv.data import VisionData
from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.request import SampleRequest
from lightning_cv.recipe.suggest import hint
from lightning_cv.run.checkpoints import find_checkpoint, run_of
from lightning_cv.run.load import load_run


@dataclass(frozen=True)
class Loaded:
    """A network and what it was trained on.

    Args:
        network: with a density, in eval mode, on its device.
        data: of the run's recipe, not set up.
        home: where to write.
        source: the checkpoint, for a person.
    """

    network: GenerativeNetwork
    data: VisionData
    home: Path
    source: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(cast(nn.Module, self.network).parameters()).device

    @property
    def name(self) -> str:
        """What the network is, for a person."""
        return type(self.network).__name__

    def label_of(self, given: str) -> int:
        """The class that a user means, by its number or its name.

        Raises:
            UserError: there is none.
        """
        number = self.network.num_classes
        if number is None:
            raise UserError(f"--class {given}: the network of this run is not conditional (its num_classes is null)")
        if given.isascii() and given.isdecimal():
            if int(given) < number:
                return int(given)
            raise UserError(f"--class {given}: allowed are 0 to {number - 1}, or the name of a class")
        self.data.prepare_data()
        self.data.setup("test")
        names = self.data.info.class_names
        if given not in names:
            raise UserError(f"--class {given}: no class of the data{hint(given, names)}")
        return names.index(given)


def load(request: SampleRequest) -> Loaded:
    """The network of a run by which it is judged, told how to draw.

    Raises:
        UserError: there is none, or it cannot draw so.
    """
    checkpoint = find_checkpoint(request.run)
    task, data = load_run(checkpoint, allow_code=request.allow_code)
    network = getattr(task, "scored_network", None)
    if not isinstance(getattr(network, "density", None), Density) or not isinstance(data, VisionData):
        raise UserError(
            f"{display_path(request.run)}: its task is {type(task).__name__}; sample needs the run of a task that "
            "learns to draw: Generate or Adversarial"
        )
    assert isinstance(network, nn.Module)
    network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    _set_sampling(network, request)
    home = request.out or (run_of(checkpoint) or checkpoint.parent) / "samples"
    return Loaded(cast(GenerativeNetwork, network), data, home, display_path(checkpoint))


def _set_sampling(network: nn.Module, request: SampleRequest) -> None:
    given: dict[str, Any] = {"sampler": request.sampler, "steps": request.steps, "guidance": request.guidance}
    given = {name: value for name, value in given.items() if value is not None}
    asked = [f"--{name}" for name in [*given, *(["trajectory"] if request.trajectory else [])]]
    if not asked:
        return
    if not isinstance(network, SamplesInSteps):
        raise UserError(
            f"{asked[0]}: {type(network).__name__} does not draw in steps; allowed: the run of a Diffusion, a "
            "FlowMatching or a LatentDiffusion"
        )
    wanted = replace(network.sampling, **given)
    network.check_sampling(wanted)
    network.sampling = wanted
