"""How few steps does a diffusion need, and what does a step cost beside its network?

`python -m benchmarks.bench_diffusion RUN` looks at a run of `digits_ddpm`; without one, it is trained first.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv.cli.main import main as lightning_cv
from lightning_cv.contracts import IMAGE, Draws, Sampling
from lightning_cv.data import VisionData
from lightning_cv.metrics.sample_quality import frechet_distance, precision_and_recall
from lightning_cv.networks.generate import Diffusion
from lightning_cv.ops import LinearSchedule
from lightning_cv.ops.diffusion_sampling import PLANS, follow
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from lightning_cv.run.load import load_run

NUM_SAMPLES, AT_ONCE = 128, 64
STEPS = (10, 20, 50)
ROUNDS = 51
SHAPE = (1, 8, 8)


@torch.no_grad()
def _quality_table(run: Path) -> None:
    task, data = load_run(run)
    assert isinstance(data, VisionData)
    network: Any = task.scored_network
    assert isinstance(network, Diffusion)
    assert task.quality is not None
    features: Any = task.quality.features  # that the training found
    data.prepare_data()
    data.setup("test")
    # Loaders give uint8; what they become in a training, `Generate` takes back to [0, 1].
    real = torch.cat([features(batch[IMAGE].float() / 255) for batch in data.test_dataloader()])
    settings = [Sampling("ddpm", 1000), *(Sampling(name, steps) for name in PLANS for steps in STEPS)]
    rows = []
    for network.sampling in settings:
        seconds, parts = [], []
        for index in torch.arange(NUM_SAMPLES).split(AT_ONCE):
            start = time.process_time()
            images = network.sample(OwnDraws.of_indices(index))
            seconds.append(time.process_time() - start)
            parts.append(features(images))
        samples = torch.cat(parts)
        precision, recall = precision_and_recall(real, samples)
        scores = (frechet_distance(real, samples), precision, recall, statistics.median(seconds))
        rows.append((network.sampling.sampler, str(network.sampling.steps), *(f"{score:.2f}" for score in scores)))
    print_table(
        "Few steps",
        ("sampler", "steps", "FID", "precision", "recall", f"CPU s for {AT_ONCE} images"),
        rows,
        how=f"{NUM_SAMPLES} samples of digits_ddpm against the {len(real)} test images, by {features.name}: compare "
        "within the table alone.",
    )


def _ours(name: str, steps: int, answer: Tensor, draws: Draws) -> float:
    """Seconds a step, where the network answers at once."""
    plan = PLANS[name](LinearSchedule(), steps)

    def ask(_: Tensor, __: int) -> Tensor:
        return answer

    start = time.perf_counter()
    for _ in follow(plan, answer, ask, draws, prediction="epsilon", most=1.0):
        pass
    return (time.perf_counter() - start) / steps


def _theirs(scheduler: Any, steps: int, answer: Tensor) -> float:
    scheduler.set_timesteps(steps)
    start = time.perf_counter()
    x = answer
    for t in scheduler.timesteps:
        x = scheduler.step(answer, t, x).prev_sample
    return (time.perf_counter() - start) / steps


@torch.no_grad()
def _overhead_table(steps: int = 50) -> None:
    import diffusers  # takes 15 s

    kinds = {
        "ddpm": diffusers.DDPMScheduler(),
        "ddim": diffusers.DDIMScheduler(),
        "dpm_solver": diffusers.DPMSolverMultistepScheduler(),
    }
    rows = []
    for count in (1, AT_ONCE):
        answer = torch.randn(count, *SHAPE)
        for name, scheduler in kinds.items():
            programs: dict[str, Callable[[], float]] = {
                "ours": partial(_ours, name, steps, answer, StreamDraws(count)),
                "own": partial(_ours, name, steps, answer, OwnDraws.of_indices(torch.arange(count))),
                "theirs": partial(_theirs, scheduler, steps, answer),
            }
            for program in programs.values():
                program()
            took = interleaved(programs, rounds=ROUNDS)
            micro = {key: f"{1e6 * statistics.median(values):.0f}" for key, values in took.items()}
            own = micro["own"] if name == "ddpm" else "the same"
            ratio = f"{median_ratio(took['theirs'], took['ours']):.1f}"
            rows.append((name, str(count), micro["ours"], own, micro["theirs"], ratio))
    print_table(
        "What a step costs beside the network",
        ("sampler", "images", "ours, µs", "with draws of each image, µs", "diffusers, µs", "times faster"),
        rows,
        how=f"Images {SHAPE[1]} × {SHAPE[2]}, {steps} steps, medians of {ROUNDS} interleaved rounds, ratios taken "
        "round by round, noise from torch's generator.",
    )


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    _overhead_table()
    if len(sys.argv) > 1:
        _quality_table(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        assert lightning_cv(["fit", "digits_ddpm", "--run-dir", str(run)]) == 0
        _quality_table(run)


if __name__ == "__main__":
    main()
