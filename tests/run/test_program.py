"""Fit, validate, test and predict from the command line, as a user calls them; in this process."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lightning_cv.cli.main import main
from lightning_cv.errors import UserError
from lightning_cv.run import load_task
from lightning_cv.run.checkpoints import find_checkpoint
from tests.callbacks.tiny import newest
from tests.conftest import keep_parser_settings
from tests.makers import make_class_folders, make_image

SHORT = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=3", "--trainer.accelerator=cpu"]
QUIET = ["--trainer.enable_model_summary=false", "--trainer.num_sanity_val_steps=0"]
FIT = ["fit", "digits_resnet", *SHORT, *QUIET]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of one short run of the shipped recipe, scored on its test split too."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        keep_parser_settings(patch)
        assert main([*FIT, "--test", f"--run-dir={folder}"]) == 0
    return folder


def events(folder):
    """What the run's file says, but for the points of the curves."""
    lines = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    return [event for event in lines if event["event"] != "curve"]


def test_a_run_folder_holds_what_is_needed_to_repeat_and_to_doubt_the_run(run):
    """Recipe, provenance, a line for each validation, snapshots, W&B files, and nothing beside the folder."""
    # Tests that score the run again add to its record.
    assert [event["event"] for event in events(run)][:4] == ["validation", "validation", "end", "test"]
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["seed"] == 0
    assert torch.__version__.startswith(provenance["versions"]["torch"])
    assert set(provenance["machine"]) == {"platform", "cpus", "devices"}
    assert newest(run).is_file()
    assert len(list((run / "checkpoints").glob("best-*.ckpt"))) == 1
    assert len(list(run.glob(f"wandb/offline-run-*-{run.name}/run-{run.name}.wandb"))) == 1
    assert [path.name for path in run.parent.iterdir()] == [run.name]


def test_the_written_recipe_is_complete(run):
    """It names every class and every default: the optimizer's betas and the Trainer's options are there."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    assert recipe["model"]["init_args"]["optimizer"]["init_args"]["betas"] == [0.9, 0.999]
    assert recipe["trainer"]["max_epochs"] == 2
    assert "gradient_clip_val" in recipe["trainer"]
    assert recipe["seed_everything"] == 0


def test_the_result_ends_with_accuracy_place_and_how_to_sync(capsys, tmp_path):
    """The closing lines give test accuracy first, then run, look and sync, each once."""
    assert main([*FIT, "--test", "--run-dir=r"]) == 0
    lines = capsys.readouterr().out.splitlines()
    labels = [line.split()[0] for line in lines[-6:]]
    assert labels == ["val", "test", "snapshot", "run", "look", "sync"]
    accuracy = float(re.match(r"test\s+accuracy (\d\.\d{4})  ", lines[-5])[1])
    recorded = events(tmp_path / "r")[-1]["metrics"]["test/accuracy"]
    assert accuracy == pytest.approx(recorded, abs=5e-5)
    assert lines[-1] == "sync      lightning-cv sync r"


def test_scoring_a_run_again_gives_the_same_numbers(run, capsys):
    """`test --ckpt RUN` finds recipe, best snapshot and averaged weights, and repeats the test's scores."""
    before = next(event for event in events(run) if event["event"] == "test")["metrics"]
    assert main(["test", "--ckpt", str(run), "--trainer.accelerator=cpu"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("test "))
    for name in ("accuracy", "loss", "calibration_error"):
        assert f"{name} {before[f'test/{name}']:.4f}" in line
    assert main(["validate", "--ckpt", str(run), "--trainer.accelerator=cpu"]) == 0
    assert re.search(r"^val\s+accuracy \d\.\d{4}", capsys.readouterr().out, flags=re.MULTILINE)


def test_predictions_agree_with_the_score(run, capsys):
    """The table of predictions names each test sample; its hit rate is the test accuracy, its rows sum to 1."""
    assert main(["predict", "--ckpt", str(run), "--trainer.accelerator=cpu"]) == 0
    said = capsys.readouterr().out
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    from lightning_cv.contracts import Stage
    from lightning_cv.data import Digits

    split = Digits().load(Stage.TEST)
    assert len(rows) == len(split)
    assert f"{len(split)} predictions" in said
    assert [row["sample"] for row in rows] == [f"Digits predict #{index}" for index in range(len(split))]
    hits = np.mean([int(row["class"]) == int(label) for row, label in zip(rows, split.labels, strict=True)])
    accuracy = next(event for event in events(run) if event["event"] == "test")["metrics"]["test/accuracy"]
    assert hits == pytest.approx(accuracy, abs=1e-6)
    total = sum(float(value) for name, value in rows[0].items() if name.startswith("p("))
    assert total == pytest.approx(1.0, abs=1e-4)


def test_own_pictures_are_predicted(run, capsys, tmp_path):
    """`--images FOLDER` predicts any pictures; the table names the files."""
    Image.fromarray(np.zeros((20, 20), dtype=np.uint8)).save(tmp_path / "dark.png")
    make_image(tmp_path / "deep" / "colour.jpg")
    assert main(["predict", "--ckpt", str(run), "--images", str(tmp_path), "--trainer.accelerator=cpu"]) == 0
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    assert {row["sample"] for row in rows} == {str(tmp_path / "dark.png"), str(tmp_path / "deep" / "colour.jpg")}


def test_a_run_means_its_best_snapshot_and_a_file_means_itself(run, tmp_path):
    """A run folder stands for its best snapshot, without one for its last; anything else is refused."""
    best = next((run / "checkpoints").glob("best-*.ckpt"))
    assert find_checkpoint(run) == best
    assert find_checkpoint(newest(run)) == newest(run)
    (tmp_path / "young" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no valid snapshot"):
        find_checkpoint(tmp_path / "young")
    for path in (newest(run), newest(run).with_name(f"{newest(run).name}.json")):
        shutil.copy(path, tmp_path / "young" / "checkpoints")
    assert find_checkpoint(tmp_path / "young").name == newest(run).name


def test_a_run_is_loaded_back_with_its_averaged_weights(run):
    """`load_task` gives a task in eval mode whose weights are those of the best snapshot, averaged ones too."""
    task = load_task(run)
    state = torch.load(next((run / "checkpoints").glob("best-*.ckpt")), weights_only=True)
    for name, value in task.network.state_dict().items():
        assert torch.equal(value, state["state_dict"][f"network.{name}"])
    for name, value in task.averaged.state_dict().items():
        assert torch.equal(value, state["averaged_network"][name])
    assert not task.training
    assert task.predict(task.network, torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_going_on_from_a_run_trains_further(run, tmp_path):
    """`fit --ckpt FILE` starts a new run at its step and goes on counting."""
    last = str(newest(run))
    assert main(["fit", "--ckpt", last, "--trainer.max_epochs=3", *QUIET, "--run-dir=further"]) == 0
    recorded = events(tmp_path / "further")
    assert [(event["event"], event["step"]) for event in recorded] == [("validation", 9), ("end", 9)]


def test_print_config_builds_nothing_and_reads_back(capsys, tmp_path):
    """The printed recipe is complete YAML; no folder is made."""
    assert main([*FIT, "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["max_epochs"] == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_works_with_every_callback(precision, tmp_path):
    """All callbacks of the recipe run under mixed precision; scores are finite and the weights stay float32."""
    assert main([*FIT, f"--trainer.precision={precision}", "--run-dir=r"]) == 0
    metrics = events(tmp_path / "r")[-1]["metrics"]
    assert all(np.isfinite(value) for value in metrics.values())
    state = torch.load(newest(tmp_path / "r"), weights_only=True)
    assert state["state_dict"]["network.head.weight"].dtype == torch.float32


def test_accumulation_counts_optimizer_steps(tmp_path):
    """With 3 batches and 2 of them a step, two epochs are 4 optimizer steps, for schedule, curves and snapshots."""
    assert main([*FIT, "--trainer.accumulate_grad_batches=2", "--run-dir=r"]) == 0
    assert events(tmp_path / "r")[-1]["step"] == 4
    state = torch.load(newest(tmp_path / "r"), weights_only=True)
    assert state["lr_schedulers"][0]["last_epoch"] == 4


def refused(arguments, capsys, status=2):
    """The line that a refused command writes; its status, one line, no run folder."""
    assert main(arguments) == status
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    return error[0]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("--model.init_args.network.init_args.num_classes=5", "has 5 classes, but the data have 10"),
        ("--model.init_args.network.init_args.in_channels=3", "takes 3 channels, but the images have 1"),
        ("--model.init_args.network.init_args.num_clases=10", "did you mean num_classes?"),
        ("--trainer.devices=4096", "trainer.devices is 4096, but this machine has"),
        ("--trainer.max_epochs=many", "trainer.max_epochs is 'many'; expected int or null"),
        ("--callbacks.ema.init_args.decay=2", "decay is 2.0; allowed is 0 <= decay < 1"),
        ("--callbacks.snapshot.init_args.monitor=val/acuracy", "val/acuracy"),
        ("--model.init_args.optimizer.init_args.lr=-1", "model.init_args.optimizer: Invalid learning rate: -1"),
        ("--data.init_args.batch_size=0", "data.init_args.batch_size: 0 given, allowed: 1 or more"),
        ("--model.init_args.network.class_path=my_code.Net", "--allow-code my_code permits it"),
    ],
)
def test_a_users_mistake_is_one_line(override, expected, capsys):
    """Each mistake names the key and what is allowed, with exit status 2."""
    assert expected in refused([*FIT, override], capsys)


def test_a_refused_recipe_leaves_no_folder(capsys, tmp_path):
    """What is refused before the first step leaves nothing behind."""
    refused([*FIT, "--callbacks.ema.init_args.decay=2"], capsys)
    assert not list(tmp_path.iterdir())


def test_a_diverging_run_stops_with_its_samples_and_keeps_the_last_finite_snapshot(capsys, tmp_path):
    """A rate of 1e30 makes the loss non-finite in the second epoch at the latest: one line, snapshot finite."""
    options = ["--model.init_args.network.class_path=lightning_cv.networks.classify.Mlp", "--trainer.max_epochs=4"]
    options += ["--model.init_args.optimizer.class_path=torch.optim.SGD", "--model.init_args.head_std=null"]
    options += ["--model.init_args.schedule=null", "--model.init_args.optimizer.init_args.lr=1e-3"]
    options += ["--trainer.limit_train_batches=3", "--run-dir=good"]
    assert main(["fit", "digits_resnet", *QUIET, *options]) == 0
    more = [option for option in options if "max_epochs" not in option and "run-dir" not in option]
    diverging = [*more, "--model.init_args.optimizer.init_args.lr=1e30", "--trainer.max_epochs=9"]
    line = refused(["fit", "digits_resnet", *QUIET, *diverging, "--run-dir=bad"], capsys, status=4)
    assert "the training loss became" in line
    assert "Digits" in line
    assert "epoch " in line
    for folder in ("good", "bad"):
        for path in (tmp_path / folder).glob("checkpoints/*.ckpt"):
            state = torch.load(path, weights_only=True)["state_dict"]
            assert all(value.isfinite().all() for value in state.values()), path
    assert events(tmp_path / "bad")[-1]["status"] == "failed"


class Evil:
    """What unpickling would run."""

    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_a_checkpoint_that_would_run_code_or_is_damaged_is_refused(run, capsys, tmp_path):
    """A hostile, truncated, or another network's checkpoint is one line, and nothing in it runs."""
    best = next((run / "checkpoints").glob("best-*.ckpt"))
    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "evil.ckpt")
    (tmp_path / "cut.ckpt").write_bytes(best.read_bytes()[:5000])
    scoring = ["digits_resnet", "--trainer.accelerator=cpu"]
    assert "holds more than tensors" in refused(["test", *scoring, "--ckpt=evil.ckpt"], capsys)
    assert "holds more than tensors" in refused([*FIT, "--ckpt=evil.ckpt", "--run-dir=r"], capsys)
    assert not Path("executed").exists()
    assert "cut.ckpt: damaged" in refused(["predict", *scoring, "--ckpt=cut.ckpt"], capsys)
    wider = "--model.init_args.network.init_args.widths=[16, 64]"
    line = refused(["validate", *scoring, f"--ckpt={best}", wider], capsys)
    assert "belongs to another network than the recipe's (size mismatch" in line


def test_corrupt_images_are_named_or_skipped_as_the_recipe_says(capsys, tmp_path):
    """A truncated image stops the run with its path; `on_corrupt: skip` leaves it out."""
    make_class_folders(tmp_path / "images", num_images=8)
    broken = sorted((tmp_path / "images").rglob("*.png"))[0]
    broken.write_bytes(broken.read_bytes()[:40])
    folder = ["fit", "folder_resnet18", *QUIET, f"--data.init_args.root={tmp_path / 'images'}"]
    folder += ["--model.init_args.network.class_path=torchvision.models.resnet18"]
    folder += ["--model.init_args.network.init_args.num_classes=3", "--data.init_args.num_workers=0"]
    folder += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--data.init_args.val_fraction=0.2"]
    assert str(broken) in refused([*folder, "--run-dir=a"], capsys, status=3)
    assert main([*folder, "--data.init_args.on_corrupt=skip", "--run-dir=b"]) == 0
