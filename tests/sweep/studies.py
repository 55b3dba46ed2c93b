"""Studies made up for the tests: plain data, as if trials had run."""

import math
from pathlib import Path

import numpy as np

from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.space import Choice, Condition, Range, Space
from lightning_cv.sweep.definition.spec import Named, Objective, Sweep
from lightning_cv.sweep.engine.results import StudyResults, TrialResult

OPTIMIZER = "model.init_args.optimizer.init_args"
LR = f"{OPTIMIZER}.lr"
DECAY = f"{OPTIMIZER}.weight_decay"
WARMUP = "model.init_args.schedule.init_args.warmup_steps"
NETWORK = "model.init_args.network"
WIDTH = f"{NETWORK}.init_args.width"
BATCH = "data.init_args.batch_size"

ACCURACY = Objective("val/accuracy", "max")
LOSS = Objective("val/loss", "min")
SIZE = Objective("run/parameters", "min")

RECIPE = """\
# A recipe for tests.
trainer: {max_epochs: 3}
seed_everything: 0
data: {class_path: lightning_cv.data.Digits, init_args: {batch_size: 64}}
model:
  class_path: lightning_cv.tasks.Classify
  init_args:
    network: {class_path: lightning_cv.networks.classify.Mlp, init_args: {hidden: [32]}}
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 3.0e-3, weight_decay: 5.0e-2}}
    schedule: {class_path: lightning_cv.optim.Cosine, init_args: {warmup_steps: 20}}
"""

LR_RANGE = Range(path=LR, low=1e-4, high=1e-1, log=True)
DECAY_RANGE = Range(path=DECAY, low=1e-5, high=1.0, log=True)
NETWORKS = Choice(
    path=NETWORK,
    options=(
        ("small", {"class_path": "lightning_cv.networks.classify.Mlp", "init_args": {"hidden": [16]}}),
        ("resnet", {"class_path": "lightning_cv.networks.classify.SmallResNet", "init_args": {"width": 8}}),
    ),
)
WIDTH_RANGE = Range(
    path=WIDTH, low=4, high=64, log=True, integer=True, when=(Condition(path=NETWORK, keys=("resnet",)),)
)
BATCHES = Choice(path=BATCH, options=tuple((size, size) for size in (16, 32, 64, 128)))


def make_sweep(*parameters, objectives=(ACCURACY,), recipe=RECIPE, fixed=None, **options):
    path = Path("recipe.yaml")
    path.write_text(recipe)
    composed = compose([read_recipe(path)])
    for dotted, value in (fixed or {}).items():
        composed = composed.set(dotted, value)
    return Sweep(
        name="digits_lr",
        recipe="digits_mlp",
        composed=composed,
        fixed=fixed or {},
        space=Space(parameters),
        objectives=objectives,
        path=Path("sweeps/digits_lr.yaml"),
        **options,
    )


def draws(space, number, seed=0):
    """Random values for `number` trials."""
    units = np.random.default_rng(seed).random((number, len(space.paths)))
    return [space.draw(dict(zip(space.paths, row, strict=True))) for row in units.tolist()]


def curve(score, length=5):
    """A curve that rises to `score`."""
    return {step: score * (1 - 0.6 * math.exp(-step)) for step in range(1, length)} | {length: score}


def finished(number, values, *scores, **options):
    """A complete trial."""
    given = {"reported": curve(scores[0]), "time_s": 12.0 + number, "folder": Path(f"runs/digits_lr/{number}")}
    return TrialResult(number=number, state="complete", values=values, scores=tuple(scores), **(given | options))


def good_lr(values, spread=1.0):
    """A score in (0, 1) that is best at a learning rate of 0.01 and at no weight decay in particular."""
    return math.exp(-((math.log10(values[LR]) + 2) ** 2) / spread)


def random_study(number=16, *parameters, score=good_lr, seed=0, **options):
    """`number` complete trials, drawn at random."""
    sweep = make_sweep(*(parameters or (LR_RANGE, DECAY_RANGE)), trials=number, **options)
    trials = [finished(n, values, score(values)) for n, values in enumerate(draws(sweep.space, number, seed))]
    return StudyResults(sweep, tuple(trials))


def grid_study(points=3, **options):
    """All pairs of `points` learning rates and weight decays."""
    sweep = make_sweep(LR_RANGE, DECAY_RANGE, sampler=Named("grid"), **options)
    pairs = [(lr, decay) for lr in LR_RANGE.spaced(points) for decay in DECAY_RANGE.spaced(points)]
    values = [{LR: lr, DECAY: decay} for lr, decay in pairs]
    scores = [good_lr(chosen) - 0.02 * math.log10(chosen[DECAY]) ** 2 for chosen in values]
    return StudyResults(sweep, tuple(finished(n, *pair) for n, pair in enumerate(zip(values, scores, strict=True))))


def mixed_study():
    """Sixteen trials: 0 failed, 1 and 2 pruned, 3 running, 4 waiting, the others complete."""
    study = random_study(16)
    trials = list(study.trials)
    values = [trial.values for trial in trials]
    reason = "out of memory: tried to allocate 2.00 GiB; make data.init_args.batch_size smaller"
    trials[0] = TrialResult(number=0, state="failed", values=values[0], reason=reason, time_s=3.0)
    for number in (1, 2):
        reported = {1: 0.1 * number, 2: 0.15 * number}
        trials[number] = TrialResult(
            number=number, state="pruned", values=values[number], scores=(reported[2],), reported=reported, time_s=4.0
        )
    trials[3] = TrialResult(number=3, state="running", values=values[3], reported={1: 0.3})
    trials[4] = TrialResult(number=4, state="waiting")
    return StudyResults(study.sweep, tuple(trials))
