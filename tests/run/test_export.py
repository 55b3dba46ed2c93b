"""What is exported, diffusers loads and draws the same with; what cannot be exported is said in one line."""

from pathlib import Path

import pytest
import torch

from lightning_cv.cli.main import main
from lightning_cv.contracts import Sampling
from lightning_cv.run import load_task
from tests.run.trained import trained_runs

RECIPE = """
seed_everything: 0
model:
  class_path: lightning_cv.tasks.Generate
  init_args:
    network: {class_path: lightning_cv.networks.generate.NETWORK}
    optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.003}}
data: {class_path: lightning_cv.data.Digits, init_args: {batch_size: 64}}
callbacks:
  ema: {class_path: lightning_cv.callbacks.Ema, init_args: {decay: 0.9}}
trainer: {max_steps: 5, logger: false, accelerator: cpu}
"""
UNET = "{class_path: lightning_cv.networks.generate.UNet, init_args: {image: IMAGE, widths: [8, 8]CLASSES}}"
PLAIN, CLASSES = (UNET.replace("IMAGE", "[1, 8, 8]").replace("CLASSES", c) for c in ("", ", num_classes: 10"))
COSINE = "schedule: {class_path: lightning_cv.ops.CosineSchedule}"
LINEAR = "schedule: {class_path: lightning_cv.ops.LinearSchedule, init_args: {beta_start: 0.001, beta_end: 0.019}}"
SHORT = "schedule: {class_path: lightning_cv.ops.LinearSchedule, init_args: {num_steps: 60}}"
LATENT = UNET.replace("IMAGE", "[2, 4, 4]").replace("CLASSES", "")
NETWORKS = {
    "plain": f"Diffusion, init_args: {{denoiser: {PLAIN}, {LINEAR}}}",
    "classes": f"Diffusion, init_args: {{denoiser: {CLASSES}, {COSINE}, prediction: v_prediction}}",
    "flow": f"FlowMatching, init_args: {{denoiser: {CLASSES}}}",
    "latent": "LatentDiffusion, init_args: {autoencoder: {class_path: lightning_cv.networks.generate.KlAutoencoder, "
    "init_args: {image: [1, 8, 8], latent_channels: 2, widths: [8, 8]}}, diffusion: {class_path: "
    f"lightning_cv.networks.generate.Diffusion, init_args: {{denoiser: {LATENT}, levels: null, clip: false}}}}}}",
    "short": f"Diffusion, init_args: {{denoiser: {PLAIN}, {SHORT}}}",
    "dit": "Diffusion, init_args: {denoiser: {class_path: lightning_cv.networks.generate.Dit}}",
    "vae": "MlpVae, init_args: {width: 8}",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """The folders of runs that were trained for a few steps."""
    recipes = {name: RECIPE.replace("NETWORK", network) for name, network in NETWORKS.items()}
    return trained_runs(tmp_path_factory.mktemp("trained"), recipes)


def load(folder: Path, **options):
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(folder, local_files_only=True, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", ["plain", "classes", "flow", "latent"])
def test_diffusers_draws_the_same_images_from_the_same_noise(runs, tmp_path, name):
    """rows 259, 261: to 1e-4, guided too, of the averaged weights, by which the run is scored."""
    assert main(["export", str(runs[name]), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "unet" / "diffusion_pytorch_model.safetensors").is_file()
    task = load_task(runs[name])
    network = task.scored_network
    assert network is not task.network
    sampler = "euler" if name == "flow" else "ddim"
    guidance = 2.5 if network.num_classes else 1.0
    network.sampling = Sampling(sampler, 20, guidance)
    shape = (4, *(network.diffusion if name == "latent" else network).image)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([3, 1, 4, 1]) if network.num_classes else None
    wanted = network.decode(noise.flatten(1), labels)

    if name == "plain":  # a pipeline of diffusers, which draws the noise itself
        pipe, own = load(tmp_path / "out"), {"batch_size": 4, "use_clipped_model_output": True}
        assert type(pipe).__name__ == "DDIMPipeline"
    else:
        pipe = load(tmp_path / "out", trust_remote_code=True)
        own = {"batch_size": 4, "class_labels": labels, "guidance_scale": guidance}
    options = {"num_inference_steps": 20, "output_type": "np"}
    drawn = torch.from_numpy(pipe(generator=torch.Generator().manual_seed(3), **own, **options).images)
    torch.testing.assert_close(drawn.permute(0, 3, 1, 2), wanted, rtol=0, atol=1e-4)
    assert wanted.std() > 0.05


def test_unet_and_scheduler_load_by_themselves(runs, tmp_path):
    """row 259: without trusting any file, into what a user writes around them; a second export replaces the first."""
    from diffusers import DDIMScheduler, UNet2DModel

    out = tmp_path / "out"
    for _ in range(2):
        assert main(["export", str(runs["classes"]), f"--out={out}"]) == 0
    unet = UNet2DModel.from_pretrained(out / "unet", local_files_only=True)
    assert unet.config.num_class_embeds == 11
    scheduler = DDIMScheduler.from_pretrained(out / "scheduler", local_files_only=True)
    assert scheduler.config.prediction_type == "v_prediction"
    network = load_task(runs["classes"]).scored_network
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), network.schedule.alpha_bar, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vae", "the network of this run is MlpVae; allowed: Diffusion, FlowMatching and LatentDiffusion"),
        ("dit", "the denoiser is Dit; allowed: UNet"),
        ("short", "the schedule has 60 steps; allowed: 1000"),
    ],
)
def test_what_diffusers_does_not_know_is_refused(runs, tmp_path, capsys, name, says):
    """row 259: in one line, and nothing is written."""
    capsys.readouterr()
    assert main(["export", str(runs[name]), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["--out", "x"], "one RUN"),
        (["a", "b", "--out", "x"], "one RUN"),
        (["a"], "one --out DIR"),
        (["a", "--out"], "--out needs a value"),
        (["a", "--out", "x", "--to", "y"], "--to is not an option of export"),
        (["nothing", "--out", "x"], "nothing"),
        (["nothing", "--out", "full"], "--out full: holds something else"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, line, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    assert main(["export", *line]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
