"""Does a trial say what is live in the objects that train it, and not what its recipe says?"""

import inspect
import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
import wandb
import yaml
from torch import nn

import lightning_cv.callbacks
import lightning_cv.data
import lightning_cv.networks.classify
import lightning_cv.optim
import lightning_cv.run.echo as echo_module
import lightning_cv.run.fit as fit_module
from lightning_cv.cli.main import main
from lightning_cv.data import Digits
from lightning_cv.record.progress import read_progress
from lightning_cv.record.trial import LiveNote, TrialNote, contradictions, read_live_note, write_trial_note
from lightning_cv.record.wandb_file import read_records
from lightning_cv.tasks import Classify
from tests.callbacks.tiny import newest
from tests.processes import fork, fork_ranks, status_of

HERE = "tests.run.test_echo"
SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--trainer.accelerator=cpu"]
QUIET = ["--trainer.enable_model_summary=false", "--trainer.num_sanity_val_steps=0", "--trainer.log_every_n_steps=1"]
OPTIMIZER = "model.init_args.optimizer"
LR = f"{OPTIMIZER}.init_args.lr"
SCHEDULE = "model.init_args.schedule"


class DeafSgd(torch.optim.SGD):
    """Takes a rate and trains with another."""

    def __init__(self, params, lr: float = 0.1, momentum: float = 0.0) -> None:
        super().__init__(params, lr=0.5, momentum=momentum)


class StubbornDigits(Digits):
    """Keeps the batch size that it is given, and loads batches of 32."""

    def train_dataloader(self):
        given, self.batch_size = self.batch_size, 32
        loader = super().train_dataloader()
        self.batch_size = given
        return loader


class DeafTask(Classify):
    """Trains with an optimizer of its own, without a schedule."""

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


class Net(nn.Module):
    """Keeps one option as it is, one in a form of its own, and one not at all."""

    def __init__(self, width: int = 4, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width, bias=bias), nn.Linear(width, 10))

    def forward(self, images):
        return self.dropout(self.layers(images))


def write_note(folder: Path, values: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_trial_note(folder, TrialNote("study", 7, "trial", values))


def command(values: dict, *options: str, recipe: str = "digits_mlp", folder: str = "runs/any/t7") -> list[str]:
    """The command of a trial with these values, given in JSON, which is YAML."""
    sampled = [f"--{path}={json.dumps(value)}" for path, value in values.items()]
    given = [*SHORT, *QUIET, *sampled, "--allow-code=tests", *options]
    return ["fit", recipe, *given, "--name=study", f"--run-dir={folder}"]


def live_of(values: dict, *options: str, **more: str) -> LiveNote:
    """What a trial with these values says is live."""
    folder = Path("runs/any/t7")
    write_note(folder, values)
    assert main(command(values, "--trainer.logger=false", *options, **more)) == 0
    live = read_live_note(folder)
    assert live is not None
    return live


def assert_echoed(values: dict, *options: str, **more: str) -> LiveNote:
    """Every value is found, and as it was sampled."""
    live = live_of(values, *options, **more)
    assert live.unknown == ()
    assert set(live.values) == set(values)
    assert contradictions(values, live) == []
    return live


def first_rate(folder: str = "runs/any/t7") -> float:
    """The rate of the first step, as the callback `LearningRate` recorded it."""
    curves = [event["metrics"] for event in read_progress(Path(folder)) if event["event"] == "curve"]
    return next(value for metrics in curves for name, value in metrics.items() if name.startswith("lr"))


def test_a_constant_rate_and_the_class_of_the_optimizer_are_live():
    """Oracle: the groups of the optimizer in the snapshot."""
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.03, "momentum": 0.8, "nesterov": True}}
    live = assert_echoed({OPTIMIZER: sgd, SCHEDULE: None})
    assert live.values == {OPTIMIZER: sgd, SCHEDULE: None}
    (state,) = torch.load(newest(Path("runs/any/t7")), weights_only=True)["optimizer_states"]
    for group in state["param_groups"]:
        assert (group["lr"], group["momentum"], group["nesterov"]) == (0.03, 0.8, True)


def test_under_a_schedule_with_warmup_the_base_rate_is_the_sampled_one():
    """The first step has a third of it: the ramp of two steps before the full rate (Goyal et al. 2017)."""
    assert_echoed({LR: 0.009, f"{SCHEDULE}.init_args.warmup_steps": 2, f"{OPTIMIZER}.init_args.betas": [0.8, 0.9]})
    assert first_rate() == pytest.approx(0.003)


@pytest.mark.parametrize("schedule", [{}, {SCHEDULE: None}], ids=["schedule", "constant"])
def test_a_rate_that_follows_from_the_batch_is_echoed_as_the_recipe_states_it(schedule):
    """64 samples a step are twice 32: the optimizer trains with root 2 times the sampled rate, the recipe has it."""
    scaling = {"batch": 32, "rule": "sqrt"}
    batch = {"data.init_args.batch_size": 64}
    assert_echoed({LR: 0.009, "model.init_args.lr_scaling": scaling, **batch, **schedule})
    (state,) = torch.load(newest(Path("runs/any/t7")), weights_only=True)["optimizer_states"]
    for group in state["param_groups"]:
        assert group["lr" if schedule else "initial_lr"] == pytest.approx(0.009 * math.sqrt(2), rel=1e-12)


def test_the_decay_is_that_of_the_groups_that_decay_and_the_rate_that_of_the_head():
    """Four groups: backbone and head, each with and without decay; the factor is the ratio of their rates."""
    values = {LR: 0.02, f"{OPTIMIZER}.init_args.weight_decay": 0.03, "model.init_args.backbone_lr_factor": 0.1}
    assert_echoed(values, recipe="digits_resnet")
    (state,) = torch.load(newest(Path("runs/any/t7")), weights_only=True)["optimizer_states"]
    rates = {(group["name"], group["initial_lr"], group["weight_decay"]) for group in state["param_groups"]}
    assert rates == {
        ("backbone", 0.002, 0.03),
        ("backbone_no_decay", 0.002, 0.0),
        ("head", 0.02, 0.03),
        ("head_no_decay", 0.02, 0.0),
    }


def test_options_of_the_data_its_transforms_the_loss_callbacks_trainer_and_the_seed_are_live():
    """Items of lists by their number; a precision in either of its spellings; and the numbers of steps."""
    values = {
        "seed_everything": 12,
        "data.init_args.batch_size": 48,
        "data.init_args.val_fraction": 0.2,
        "data.init_args.batch_transforms.0.init_args.alpha": 0.7,
        "model.init_args.loss.init_args.label_smoothing": 0.15,
        "callbacks.early_stopping.init_args.patience": 4,
        "callbacks.early_stopping.init_args.min_delta": 0.01,
        "callbacks.throughput": None,
        "trainer.max_epochs": 2,
        "trainer.precision": "bf16",
        "trainer.accumulate_grad_batches": 2,
        "trainer.gradient_clip_val": 0.5,
    }
    live = assert_echoed(values)
    assert (live.steps_per_epoch, live.total_steps) == (2, 4)  # 3 batches, two of them a step
    assert live.pid == os.getpid()


def test_null_is_live_where_nothing_is_clipped_and_no_callback_is_there():
    assert_echoed({"trainer.gradient_clip_val": None, "callbacks.early_stopping": None, SCHEDULE: None})


def test_a_training_without_end_has_no_total():
    options = ["--trainer.max_epochs=-1", f"--{SCHEDULE}=null"]
    stop = "--callbacks.early_stopping.init_args.stopping_threshold=0.0"
    live = live_of({"seed_everything": 1}, *options, stop)
    assert (live.total_steps, live.steps_per_epoch) == (None, 3)


def test_classes_of_parts_are_live_with_those_of_their_arguments_that_the_parts_keep():
    """A module for a number, and what is not kept at all, is unknown; it contradicts nothing."""
    network = {"class_path": f"{HERE}.Net", "init_args": {"width": 6, "dropout": 0.2, "bias": False}}
    schedule = {"class_path": "lightning_cv.optim.Step", "init_args": {"milestones": [0.5], "gamma": 0.3}}
    mixing = [{"class_path": "torchvision.transforms.v2.CutMix", "init_args": {"alpha": 0.4}}]
    values = {
        "model.init_args.network": network,
        "model.init_args.schedule": schedule,
        "data.init_args.batch_transforms": mixing,
        "callbacks.ema": {"class_path": "lightning_cv.callbacks.Ema", "init_args": {"decay": 0.95}},
        f"{OPTIMIZER}.class_path": "torch.optim.NAdam",
    }
    live = live_of(values)
    assert live.unknown == tuple(f"model.init_args.network.init_args.{name}" for name in ("dropout", "bias"))
    assert live.values == values | {"model.init_args.network": {**network, "init_args": {"width": 6}}}
    assert contradictions(values, live) == []


def test_a_scheduler_of_torch_is_found_behind_its_schedule():
    step = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 2, "gamma": 0.5}}
    schedule = {"class_path": "lightning_cv.optim.TorchSchedule", "init_args": {"scheduler": step}}
    assert_echoed({LR: 0.01, SCHEDULE: schedule})


@pytest.mark.parametrize(
    ("override", "sampled", "line"),
    [
        ({f"{OPTIMIZER}.class_path": f"{HERE}.DeafSgd", SCHEDULE: None}, {LR: 0.01}, f"{LR}: sampled 0.01, live 0.5"),
        ({f"{OPTIMIZER}.class_path": f"{HERE}.DeafSgd"}, {LR: 0.01}, f"{LR}: sampled 0.01, live 0.5"),
        (
            {"data.class_path": f"{HERE}.StubbornDigits"},
            {"data.init_args.batch_size": 16},
            "data.init_args.batch_size: sampled 16, live 32",
        ),
        (
            {SCHEDULE: None},
            {"seed_everything": 5, f"{SCHEDULE}.init_args.warmup_steps": 2},
            f"{SCHEDULE}.init_args.warmup_steps: sampled 2, live null",
        ),
    ],
    ids=["rate", "rate_under_a_schedule", "batch_size", "schedule"],
)
def test_a_part_that_ignores_what_it_is_given_contradicts(override, sampled, line):
    """The recipe states the sampled value, and only the objects tell the truth."""
    folder = Path("runs/any/t7")
    write_note(folder, sampled)
    stated = {path: value for path, value in sampled.items() if not path.startswith(SCHEDULE)}
    assert main(command(override | stated, "--trainer.logger=false")) == 0
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    for path, value in stated.items():
        found = recipe
        for part in path.split("."):
            found = found[part]
        assert found == value
    assert contradictions(sampled, read_live_note(folder)) == [line]


def test_a_task_that_ignores_optimizer_and_schedule_contradicts(repository):
    """AdamW is an Adam in torch's eyes; it is none in ours."""
    recipe = yaml.safe_load((Path(repository) / "recipes/classify/digits_mlp.yaml").read_text())
    recipe["model"]["class_path"] = f"{HERE}.DeafTask"
    Path("deaf.yaml").write_text(yaml.safe_dump(recipe))
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}}
    cosine = {"class_path": "lightning_cv.optim.Cosine", "init_args": {"warmup_steps": 2}}
    values = {OPTIMIZER: adam, SCHEDULE: cosine}
    assert contradictions(values, live_of(values, recipe="deaf.yaml")) == [
        f"{OPTIMIZER}.class_path: sampled torch.optim.Adam, live torch.optim.adamw.AdamW",
        f"{SCHEDULE}: sampled lightning_cv.optim.Cosine, live null",
    ]


def test_the_state_of_another_run_that_wins_over_the_recipe_contradicts():
    """`--ckpt` of a run with another rate brings its optimizer along."""
    assert main(["fit", "digits_mlp", *SHORT, *QUIET, "--trainer.logger=false", "--run-dir=other"]) == 0
    options = [f"--ckpt={newest(Path('other'))}", "--trainer.max_epochs=2"]
    assert contradictions({LR: 0.5}, live_of({LR: 0.5}, *options)) == [f"{LR}: sampled 0.5, live 0.003"]


def test_two_processes_echo_once_and_name_the_batch_of_both():
    """A batch of 32 over two devices: 16 each; two names for one folder, as the launcher gives them."""
    folder = Path("runs/any/t7").absolute()
    values = {"data.init_args.batch_size": 32, LR: 0.004, "seed_everything": 9}
    write_note(folder, values)

    def program(rank: int) -> int:
        if rank:
            os.environ["LIGHTNING_CV_RUN_FOLDER"] = str(folder)
            echo_module.write_live_note = lambda folder, live: (folder / "second").touch()
        return main([*command(values, folder=str(folder)), "--trainer.devices=2", "--trainer.strategy=ddp"])

    ranks = fork_ranks(2, program)
    assert [status_of(child) for child in ranks] == [0, 0]
    live = read_live_note(folder)
    assert live.values == values
    assert live.pid == ranks[0]
    assert not (folder / "second").exists()
    assert live.steps_per_epoch == 3


def wandb_run(folder: Path) -> dict:
    """Who each segment of the run says that it is, and the settings that it holds; oracle: W&B's own reader."""
    wandb.teardown()  # what this process wrote is on disk then
    found = {}
    for segment in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        records = read_records(segment)
        who = next(record["run"] for record in records if record.get("type") == "run")
        config = next(record["config"]["update"] for record in records if record.get("type") == "config")
        names = ("run_id", "display_name", "run_group", "job_type")
        found[segment.parent.name] = ([who.get(name) for name in names], config)
    return found


def test_a_trial_is_a_run_of_its_study_in_wandb_before_and_after_it_is_resumed():
    """Stopped in its second epoch, then started again by the same command: one id, name, group, job type and number.

    What the recipe says of these is dropped: all trials would be one run. Its secrets stay hidden.
    """
    folder = Path("runs/any/t7")
    write_note(folder, {LR: 0.004})
    logger = {"id": "mine", "name": "mine", "group": "mine", "job_type": "mine", "project": "digits"}
    arguments = command(
        {LR: 0.004},
        f"--trainer.logger={json.dumps({'class_path': 'lightning_cv.tracking.WandbTracker', 'init_args': logger})}",
        "--callbacks.snapshot.init_args.every_n_steps=1",
        "--trainer.max_epochs=2",
    )

    def stopped() -> int:
        start = fit_module._Start

        class Stopping(start):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                if trainer.global_step == 4:
                    os.kill(os.getpid(), signal.SIGTERM)

        fit_module._Start = Stopping
        return main(arguments)

    assert status_of(fork(stopped)) == 75
    before = read_live_note(folder)
    assert status_of(fork(lambda: main(arguments))) == 0
    after = read_live_note(folder)
    assert (before.values, after.values) == ({LR: 0.004}, {LR: 0.004})
    assert (before.total_steps, after.total_steps, after.pid == before.pid) == (6, 6, False)
    segments = wandb_run(folder)
    assert len(segments) == 2
    for who, config in segments.values():
        assert who == ["t7", "study-t7", "study", "trial"]
        assert config["trial"] == {"study": "study", "number": 7}
        assert config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.004


def test_an_ordinary_run_knows_nothing_of_trials():
    assert main(["fit", "digits_mlp", *SHORT, *QUIET, "--run-dir=runs/digits/r1"]) == 0
    folder = Path("runs/digits/r1")
    assert not (folder / "live.json").exists()
    ((who, config),) = wandb_run(folder).values()
    assert who == ["r1", "digits_mlp-r1", "digits_mlp", "fit"]
    assert "trial" not in config


def test_a_damaged_note_leaves_an_ordinary_run():
    folder = Path("runs/any/t7")
    write_note(folder, {LR: 0.004})
    (folder / "trial.json").write_text("{")
    assert main(command({LR: 0.004}, "--trainer.logger=false")) == 0
    assert read_live_note(folder) is None


def test_the_folder_of_a_refused_trial_stays(capsys):
    """With its recipe and note, so that the sweep finds why; an ordinary run's goes."""
    folder = Path("runs/any/t7")
    ema = {"callbacks.ema": {"class_path": "lightning_cv.callbacks.Ema", "init_args": {"decay": 2}}}
    write_note(folder, ema)
    for path in (folder, Path("runs/any/r1")):
        assert main(command(ema, folder=str(path))) == 2
        assert "decay is 2.0; allowed is 0 <= decay < 1" in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == {"trial.json", "recipe.yaml", "provenance.json", ".lock"}
    assert not Path("runs/any/r1").exists()


def test_a_rate_that_a_plateau_may_have_lowered_is_unknown_after_a_resume():
    """ReduceLROnPlateau keeps no base rate; at the start the rate is the sampled one."""
    plateau = {"class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau", "init_args": {"patience": 0}}
    init_args = {"scheduler": plateau, "monitor": "val/loss"}
    options = [f"--{SCHEDULE}={json.dumps({'class_path': 'lightning_cv.optim.TorchSchedule', 'init_args': init_args})}"]
    assert_echoed({LR: 0.01}, *options)
    assert live_of({LR: 0.01}, *options, "--trainer.max_epochs=2").unknown == (LR,)


def test_training_goes_on_where_the_echo_cannot_be_written(monkeypatch):
    def full(folder, live):
        raise OSError("disk full")

    monkeypatch.setattr(echo_module, "write_live_note", full)
    write_note(Path("runs/any/t7"), {LR: 0.004})
    with pytest.warns(UserWarning, match=r"live.json cannot be written \(OSError: disk full\)"):
        assert main(command({LR: 0.004}, "--trainer.logger=false")) == 0


def test_what_nobody_keeps_under_its_name_is_unknown_and_no_path_fails():
    unknown = {
        "model.init_args.head_std": 0.1,
        "model.init_args.network.init_args.hidden": [32],
        "model.init_args.no_such_option": 1,
        "model.init_args": {"a": 1},
        "data.init_args.batch_transforms.9.init_args.alpha": 1,
        "callbacks.no_such.init_args.x": 1,
        "trainer.devices": 1,
        "trainer.callbacks.0.init_args.x": 1,
        "trainer.strategy": "auto",
        "nonsense": 1,
        "": 1,
    }
    folder = Path("runs/any/t7")
    write_note(folder, unknown)
    stated = {path: unknown[path] for path in list(unknown)[:2]}
    assert main(command(stated, "--trainer.logger=false")) == 0
    live = read_live_note(folder)
    assert live.values == {}
    assert live.unknown == tuple(unknown)


class _Standing:
    """A trainer at rest in which any part can stand as a callback."""

    def __init__(self, part) -> None:
        self.callbacks = [part]
        self.lightning_module = self.datamodule = None
        self.optimizers = self.lr_scheduler_configs = ()
        self.global_step = 0
        self.num_training_batches = self.accumulate_grad_batches = self.estimated_stepping_batches = 1


def echo_of(part, options: dict) -> tuple[dict, LiveNote]:
    sampled = {f"callbacks.part.init_args.{name}": value for name, value in options.items()}
    return sampled, echo_module.find_live(sampled, _Standing(part), callbacks={"part": part})


def shipped_parts() -> list[type]:
    """Every class of the packages that recipes name, if it can be made without arguments."""
    packages = (lightning_cv.callbacks, lightning_cv.networks.classify, lightning_cv.optim, lightning_cv.data)
    classes = [getattr(package, name) for package in packages for name in package.__all__]
    return [
        part
        for part in classes
        if inspect.isclass(part)
        and not inspect.isabstract(part)
        and all(
            parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
            for parameter in inspect.signature(part).parameters.values()
        )
    ]


@pytest.mark.parametrize("make", shipped_parts(), ids=lambda part: part.__name__)
def test_no_shipped_part_contradicts_the_defaults_it_was_made_with(make):
    """Oracle: the signature. A part that changes an option under its own name would fail every trial."""
    defaults = {
        name: list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        for name, parameter in inspect.signature(make).parameters.items()
        if parameter.default is not parameter.empty
    }
    assert contradictions(*echo_of(make(), defaults)) == []


def test_there_are_shipped_parts():
    assert len(shipped_parts()) > 15


@pytest.mark.parametrize(
    ("make", "options"),
    [
        ("ColorJitter", {"brightness": 0.4, "hue": 0.1}),
        ("RandomRotation", {"degrees": 15}),
        ("RandomAffine", {"degrees": 10, "translate": [0.1, 0.1]}),
        ("RandomResizedCrop", {"size": 8, "scale": [0.3, 1.0]}),
        ("RandomCrop", {"size": [8], "padding": 1}),
        ("RandomErasing", {"p": 0.4, "value": 0}),
        ("GaussianBlur", {"kernel_size": 3, "sigma": 0.5}),
        ("RandomHorizontalFlip", {"p": 0.3}),
        ("RandAugment", {"num_ops": 3, "magnitude": 5}),
        ("TrivialAugmentWide", {"num_magnitude_bins": 21}),
    ],
)
def test_no_transform_of_torchvision_contradicts_what_it_was_given(make, options):
    """Many keep a range for a number or a pair for a size: unknown. A probability, a magnitude is found."""
    from torchvision.transforms import v2

    sampled, live = echo_of(getattr(v2, make)(**options), options)
    assert contradictions(sampled, live) == []
    for name in ("p", "magnitude", "num_ops", "num_magnitude_bins"):
        assert live.values.get(f"callbacks.part.init_args.{name}") == options.get(name)


class Averages:
    """Makes a number of epochs of a share."""

    def __init__(self, start: float) -> None:
        self.start = int(10 * start)


def test_a_share_that_became_a_number_of_epochs_is_unknown():
    assert echo_of(Averages(0.85), {"start": 0.85})[1].unknown == ("callbacks.part.init_args.start",)


def test_the_seed_is_the_one_that_was_set_and_a_callback_out_of_use_is_none(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "6")
    trainer = _Standing(Averages(0.1))
    sampled = {"seed_everything": 5, "callbacks.part.init_args.start": 1}
    live = echo_module.find_live(sampled, trainer, callbacks={"part": Averages(0.1)})
    assert live.values == {"seed_everything": 6, "callbacks.part.init_args.start": None}


@pytest.mark.parametrize("value", [math.inf, 10**18, "text", True])
def test_plain_values_of_each_kind_are_found(value):
    class Part:
        def __init__(self) -> None:
            self._x = value

    assert echo_of(Part(), {"x": value})[1].values == {"callbacks.part.init_args.x": value}
