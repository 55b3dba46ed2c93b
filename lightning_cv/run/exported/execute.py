"""Which parts of a trained diffusion does diffusers know, and what stands in the folder that it loads?"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import (
    Diffusion,
    DiscretizedNormal,
    FlowMatching,
    InSteps,
    LatentDiffusion,
    Normal,
    UNet,
)
from lightning_cv.ops import CosineSchedule
from lightning_cv.recipe.files import display_path
from lightning_cv.run.checkpoints import find_checkpoint
from lightning_cv.run.load import load_run
from lightning_cv.run.quiet import quiet_libraries

if TYPE_CHECKING:
    from lightning_cv.recipe.request import ExportRequest

_PIPELINE = Path(__file__).with_name("pipeline.py")
_STEPS = 1000  # in which the schedulers of diffusers tell a network the time


@dataclass
class Parts:
    """What a folder is made of.

    Args:
        models: those of diffusers, by the name of their folder.
        options: of the pipeline, beside these.
        is_own: whether its pipeline is our own file in the folder; else it is `DDIMPipeline`.
    """

    models: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    is_own: bool = False


def execute(request: ExportRequest) -> list[str]:
    """Write the folder; returns what was written and how to load it, for a person.

    Raises:
        UserError: the run is none, its network cannot be exported, or the folder holds something else.
    """
    quiet_libraries()
    if request.out.exists() and not (request.out / "model_index.json").is_file() and any(request.out.iterdir()):
        raise UserError(f"--out {display_path(request.out)}: holds something else; allowed: a new or an empty folder")
    checkpoint = find_checkpoint(request.run)
    task, _ = load_run(checkpoint, allow_code=request.allow_code)
    network = getattr(task, "scored_network", None)
    parts = _parts_of(network)
    request.out.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {"_class_name": ["pipeline", "LightningCvPipeline"] if parts.is_own else "DDIMPipeline"}
    for name, model in parts.models.items():
        model.save_pretrained(request.out / name)  # weights as safetensors
        index[name] = ["diffusers", type(model).__name__]
    (request.out / "model_index.json").write_text(json.dumps(index | parts.options, indent=2) + "\n")
    if parts.is_own:
        shutil.copy(_PIPELINE, request.out)
    trust = ", trust_remote_code=True" if parts.is_own else ""
    clipped = "" if parts.is_own else ", use_clipped_model_output=True"
    return [
        f"source    {display_path(checkpoint)}, the weights that its scores are of",
        f"written   {display_path(request.out)}: {', '.join(sorted(path.name for path in request.out.iterdir()))}",
        f'load      pipe = diffusers.DiffusionPipeline.from_pretrained("{display_path(request.out)}"{trust})',
        f"draw      pipe(batch_size=64, num_inference_steps=50{clipped}).images",
    ]


def _parts_of(network: object) -> Parts:
    """The parts of a network that draws.

    Raises:
        UserError: diffusers does not know some of them.
    """
    if isinstance(network, LatentDiffusion):
        return _latent_parts(network)
    if not isinstance(network, Diffusion | FlowMatching):
        raise UserError(
            f"export: the network of this run is {type(network).__name__}; allowed: Diffusion, FlowMatching and "
            "LatentDiffusion, which diffusers has pipelines for"
        )
    is_own = network.num_classes is not None or isinstance(network, FlowMatching)
    return Parts({"unet": _unet_of(network), "scheduler": _scheduler_of(network)}, is_own=is_own)


def _latent_parts(network: LatentDiffusion) -> Parts:
    likelihood = network.autoencoder.likelihood
    if not isinstance(likelihood, DiscretizedNormal | Normal):
        raise UserError(
            f"export: the autoencoder's likelihood is {type(likelihood).__name__}; allowed: DiscretizedNormal, "
            "DiscretizedLogistic, Normal, whose first output is an image"
        )
    vae = network.autoencoder.autoencoder
    vae.register_to_config(scaling_factor=1 / float(network.scale))
    parts = _parts_of(network.diffusion)
    centred = isinstance(likelihood, DiscretizedNormal)
    return Parts(parts.models | {"vae": vae}, {"centred": centred}, is_own=True)


def _unet_of(network: InSteps) -> Any:
    if not isinstance(network.denoiser, UNet):
        raise UserError(
            f"export: the denoiser is {type(network.denoiser).__name__}; allowed: UNet, the one that diffusers has too"
        )
    return network.denoiser.unet


def _scheduler_of(network: InSteps) -> Any:
    import diffusers  # takes 15 s

    if isinstance(network, FlowMatching):
        return diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=_STEPS, shift=1.0)
    assert isinstance(network, Diffusion)
    schedule = network.schedule
    if schedule.num_steps != _STEPS:
        raise UserError(
            f"export: the schedule has {schedule.num_steps} steps; allowed: {_STEPS}, since diffusers tells a network "
            "the number of the step, and here it heard a thousandth of the way"
        )
    betas: dict[str, Any] = {"trained_betas": schedule.betas.tolist()}
    if isinstance(schedule, CosineSchedule):
        betas = {"beta_schedule": "squaredcos_cap_v2"}
    return diffusers.DDIMScheduler(
        num_train_timesteps=_STEPS,
        **betas,
        prediction_type=network.prediction,
        clip_sample=network.most is not None,
        timestep_spacing="trailing",
    )
