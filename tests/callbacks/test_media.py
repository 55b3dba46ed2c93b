"""When are pictures drawn, where do they go, and what can go wrong without an end to training?"""

from __future__ import annotations

import io
import random
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from torch import nn

from lightning_cv.callbacks import Media, Snapshot
from lightning_cv.contracts import Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.errors import UserError
from lightning_cv.tasks import Classify
from tests.callbacks.tiny import TinyModule, TinyTask, loader, trainer
from tests.processes import fork_ranks, status_of


class Dots(VisionData):
    """24 training and 20 validation images of 8 x 8 random pixels in 3 classes."""

    def load(self, stage: Stage) -> ResidentSplit:
        generator = torch.Generator().manual_seed(int(stage is Stage.TRAIN))
        number = 24 if stage is Stage.TRAIN else 20
        images = torch.randint(256, (number, 1, 8, 8), generator=generator, dtype=torch.uint8)
        return ResidentSplit(images, images[:, 0, 0, 0].long() % 3, ("a", "b", "c"), "Dots")


def data() -> Dots:
    return Dots(batch_size=8)  # three steps an epoch


class Shows(Classify):
    """A classifier that shows what its test gives it."""

    make_galleries = Classify.galleries

    def galleries(self, showing):
        return type(self).make_galleries(self, showing)


def classifier(make_galleries=Classify.galleries) -> Classify:
    torch.manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Dropout(0.3), nn.Linear(6, 3))
    cls = type("Shows", (Shows,), {"make_galleries": make_galleries})
    return cls(network, lambda groups: torch.optim.SGD(groups, lr=0.05))


class Recorder(CSVLogger):
    """A tracker that takes pictures; keeps their names, steps and content."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pictures: list[tuple[int, dict[str, bytes]]] = []

    def log_pictures(self, pictures, *, step: int) -> None:
        self.pictures.append((step, {name: path.read_bytes() for name, path in pictures.items()}))


def fit(folder: Path, media: Callback | None, *others: Callback, checkpoint=None, task=None, **options):
    task = classifier() if task is None else task
    torch.manual_seed(7)
    callbacks = [*others] if media is None else [*others, media]
    fitter = trainer(folder, callbacks, **options)
    fitter.fit(task, datamodule=data(), ckpt_path=checkpoint, weights_only=True)
    return SimpleNamespace(trainer=fitter, task=task)


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder / "media").as_posix(): path.read_bytes() for path in folder.rglob("media/**/*.png")}


def steps(folder: Path, name: str = "val/mistakes") -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in (folder / "media" / name).glob("*"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_epochs": 7}, [9, 18, 21]),
        ({"max_epochs": 6}, [9, 18]),
        ({"max_epochs": 2}, [6]),
        ({"max_epochs": 4, "val_check_interval": 1}, [9, 12]),
        ({"max_epochs": 8, "check_val_every_n_epoch": 2}, [12, 18, 24]),
        ({"max_epochs": -1, "max_steps": 14}, [9, 12]),
        ({"max_epochs": 4, "num_sanity_val_steps": 2}, [9, 12]),
        ({"max_epochs": 4, "check_val_every_n_epoch": None, "val_check_interval": 5}, [10]),
        ({"max_epochs": -1, "max_steps": 2, "num_sanity_val_steps": 2}, []),
        ({"max_epochs": 4, "fast_dev_run": True}, []),
    ],
    ids=str,
)
def test_every_third_epoch_and_the_last_validation_are_drawn(tmp_path, options, expected):
    """Three steps an epoch. Rarer validations are drawn when another three epochs are complete, more frequent ones
    at the end of the epoch; the sanity check and `fast_dev_run` leave nothing."""
    fit(tmp_path, Media(every_n_epochs=3), **options)
    assert steps(tmp_path) == steps(tmp_path, "val/confusion_matrix") == expected
    assert all(Image.open(io.BytesIO(png)).format == "PNG" for png in pictures(tmp_path).values())


def test_the_last_validation_of_a_training_that_stops_early_is_drawn(tmp_path):
    class Stop(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.should_stop = trainer.current_epoch == 3

    tracker = Recorder(tmp_path)
    fit(tmp_path, Media(every_n_epochs=3), Stop(), max_epochs=20, logger=tracker)
    assert steps(tmp_path) == [9, 12]
    assert [step for step, _ in tracker.pictures] == [9, 12]


def test_trackers_get_the_files_under_their_names_and_the_others_nothing(tmp_path):
    tracker = Recorder(tmp_path)
    fit(tmp_path, Media(every_n_epochs=1), max_epochs=2, logger=[CSVLogger(tmp_path), tracker])
    assert [(step, [*seen]) for step, seen in tracker.pictures] == [
        (3, ["val/mistakes", "val/confusion_matrix"]),
        (6, ["val/mistakes", "val/confusion_matrix"]),
    ]
    files = pictures(tmp_path)
    for step, seen in tracker.pictures:
        assert all(png == files[f"{name}/step-{step:08d}.png"] for name, png in seen.items())


def test_a_validation_and_a_test_are_drawn_with_the_step_of_their_weights(tmp_path):
    """Of the checkpoint where there is one, though a tracker gets the test behind the whole training."""
    tracker = Recorder(tmp_path)
    done = fit(tmp_path, Media(every_n_epochs=9), Snapshot(keep_last=3), max_epochs=3, logger=tracker)
    first = min((tmp_path / "checkpoints").glob("last-*.ckpt"))
    done.trainer.test(done.task, datamodule=data(), ckpt_path=first, weights_only=True, verbose=False)
    assert steps(tmp_path, "test/mistakes") == steps(tmp_path, "test/confusion_matrix") == [3]
    assert tracker.pictures[-1][0] == 9
    trainer(tmp_path / "new", [Media()]).validate(
        done.task, datamodule=data(), ckpt_path=first, weights_only=True, verbose=False
    )
    assert steps(tmp_path / "new") == [3]
    trainer(tmp_path / "bare", [Media()]).test(done.task, datamodule=data(), verbose=False)
    assert steps(tmp_path / "bare", "test/mistakes") == [0]


def test_weights_and_all_random_generators_are_the_same_with_and_without_pictures(tmp_path):
    """Dropout draws at every step; oracle: the same training without the callback."""

    def state():
        return torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()

    bare = fit(tmp_path / "bare", None, max_epochs=3)
    without = state()
    shown = fit(tmp_path / "shown", Media(every_n_epochs=1), max_epochs=3)
    with_pictures = state()
    for name, value in bare.task.state_dict().items():
        assert torch.equal(shown.task.state_dict()[name], value), name
    assert torch.equal(without[0], with_pictures[0])
    assert without[1:] == with_pictures[1:]


def test_a_resumed_training_makes_the_pictures_of_a_straight_one(tmp_path):
    """To the byte, at the same steps; pictures of a future that a crash cut off are gone from the start."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(whole, Media(every_n_epochs=3), Snapshot(), max_epochs=7)
    fit(cut, Media(every_n_epochs=3), Snapshot(keep_last=9), max_epochs=7)
    fourth = next((cut / "checkpoints").glob("last-*12.ckpt"))
    (cut / "media/val/mistakes/step-00000099.png").write_bytes(b"of a longer training")
    seen = []

    class Look(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            seen.append(steps(cut))

    fit(cut, Media(every_n_epochs=3), Snapshot(), Look(), max_epochs=7, checkpoint=fourth)
    assert seen[0] == [9]
    assert pictures(cut) == pictures(whole)
    assert steps(whole) == [9, 18, 21]


def test_what_was_shown_and_sent_goes_through_a_checkpoint(tmp_path):
    """A resumed training counts on; one that begins anew with the same callback counts from nothing."""
    media = Media(every_n_epochs=3)
    fit(tmp_path, media, Snapshot(), max_epochs=4, logger=Recorder(tmp_path))
    fourth = max((tmp_path / "checkpoints").glob("last-*.ckpt"))
    again = Media(every_n_epochs=3)
    fit(tmp_path, again, Snapshot(), max_epochs=8, checkpoint=fourth, logger=Recorder(tmp_path))
    assert steps(tmp_path) == [9, 12, 18, 24]
    assert again.state_dict() == {"shown_epochs": 8, "logged_bytes": sum(map(len, pictures(tmp_path).values()))}
    fit(tmp_path / "anew", again, max_epochs=4)
    assert steps(tmp_path / "anew") == [9, 12]
    assert again.state_dict() == {"shown_epochs": 4, "logged_bytes": 0}


def test_the_folder_keeps_its_bytes_and_trackers_get_no_more_of_them(tmp_path):
    """Of 8 drawn validations the folder keeps the newest that fit; the tracker the first that fit, and the last."""
    size = sum(map(len, pictures(_drawn_once(tmp_path / "one")).values()))
    tracker = Recorder(tmp_path)
    with pytest.warns(UserWarning, match="trackers have got max_bytes"):
        fit(tmp_path / "run", Media(every_n_epochs=1, max_bytes=int(size * 3.5)), max_epochs=8, logger=tracker)
    assert sum(map(len, pictures(tmp_path / "run").values())) <= size * 3.5
    assert steps(tmp_path / "run")[-2:] == [21, 24]
    assert 3 not in steps(tmp_path / "run")
    assert [step for step, _ in tracker.pictures] in ([3, 6, 24], [3, 6, 9, 24])


def _drawn_once(folder: Path) -> Path:
    fit(folder, Media(), max_epochs=1)
    return folder


def test_few_images_are_few(tmp_path):
    """One image makes a picture that is smaller than that of nine."""
    fit(tmp_path / "one", Media(num_images=1), max_epochs=1)
    fit(tmp_path / "nine", Media(num_images=9), max_epochs=1)
    areas = [
        np.prod(Image.open(tmp_path / name / "media/val/mistakes/step-00000003.png").size) for name in ("one", "nine")
    ]
    assert areas[0] < areas[1] / 3


class Broken:
    """A gallery that raises in one of its methods."""

    calls: int = 0

    def __init__(self, method: str) -> None:
        setattr(self, method, self.fail)

    def fail(self, *args):
        type(self).calls += 1
        raise RuntimeError("out of paint\nand more")

    def add(self, batch, outputs): ...

    def take(self):
        return 1

    def draw(self, taken):
        return {"broken": Image.new("RGB", (2, 2))}


@pytest.mark.parametrize("method", ["add", "take", "draw"])
def test_a_gallery_that_fails_costs_its_picture_and_one_warning(tmp_path, method):
    """Training goes on to its end, and the task's other pictures are drawn; it is asked once a validation."""
    Broken.calls = 0
    task = classifier(lambda task, showing: [Broken(method), *Classify.galleries(task, showing)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = fit(tmp_path, Media(every_n_epochs=1), max_epochs=3, task=task)
    said = [str(warning.message) for warning in caught if "Media" in str(warning.message)]
    assert said == ["Media: a picture of val is left out (RuntimeError: out of paint)."]
    assert done.trainer.global_step == 9
    assert {name.rsplit("/", 1)[0] for name in pictures(tmp_path)} == {"val/mistakes", "val/confusion_matrix"}
    assert steps(tmp_path) == [3, 6, 9]
    assert Broken.calls == 3


def test_a_task_that_cannot_begin_its_pictures_is_one_warning(tmp_path):
    def fail(task, showing):
        raise LookupError("no colours")

    with pytest.warns(UserWarning, match=r"Media: Shows cannot begin its pictures \(LookupError: no colours\)"):
        done = fit(tmp_path, Media(every_n_epochs=1), max_epochs=2, task=classifier(fail))
    assert done.trainer.global_step == 6
    assert not (tmp_path / "media").exists()


def test_a_full_disk_costs_the_pictures_and_one_warning(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lightning_cv.record.pictures.write_atomically", full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = fit(tmp_path, Media(every_n_epochs=1), max_epochs=3, logger=(tracker := Recorder(tmp_path)))
    said = [str(warning.message) for warning in caught if "Media" in str(warning.message)]
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert done.trainer.global_step == 9
    assert tracker.pictures == []


def test_a_tracker_that_fails_costs_no_training(tmp_path):
    tracker = Recorder(tmp_path)
    tracker.log_pictures = lambda pictures, *, step: 1 / 0
    with pytest.warns(UserWarning, match="Media: pictures of val cannot be written or logged"):
        assert fit(tmp_path, Media(), max_epochs=2, logger=tracker).trainer.global_step == 6
    assert steps(tmp_path) == [6]


def test_only_the_first_of_several_loaders_is_shown(tmp_path):
    """The others' samples have the same indices and would take each other's names."""
    counts = []

    class Counts(Broken):
        def add(self, batch, outputs):
            counts.append(len(batch["image"]))

    class Two(Dots):
        def val_dataloader(self):
            return [super().val_dataloader()] * 2

    class Several(Shows):
        def make_galleries(self, showing):
            return [Counts("other")]

        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            return super().validation_step(batch, batch_idx)

    task = Several(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), lambda groups: torch.optim.SGD(groups, lr=0.1))
    trainer(tmp_path, [Media()], max_epochs=1).fit(task, datamodule=Two(batch_size=8))
    assert counts == [8, 8, 4]


@pytest.mark.parametrize(
    ("task", "given", "line"),
    [
        (TinyTask, {"datamodule": TinyModule()}, "Media: TinyTask has no pictures to show."),
        (lambda: classifier(lambda task, showing: []), {"datamodule": data()}, "Media: Shows has no pictures to show."),
        (TinyTask, {"train_dataloaders": loader(), "val_dataloaders": loader()}, "Media: the data publish no class"),
    ],
    ids=["foreign task", "task that shows nothing", "foreign data"],
)
def test_where_there_is_nothing_to_show_one_line_says_why(tmp_path, task, given, line):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(tmp_path, [Media(every_n_epochs=1)], max_epochs=2).fit(task(), **given)
    said = [str(warning.message) for warning in caught if str(warning.message).startswith("Media")]
    assert len(said) == 1
    assert said[0].startswith(line)
    assert not (tmp_path / "media").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"every_n_epochs": 0}, "Media: every_n_epochs is 0; allowed is 1 or more"),
        ({"num_images": 0}, "Media: num_images is 0; allowed are 1 to 100"),
        ({"num_images": 101}, "Media: num_images is 101; allowed are 1 to 100"),
        ({"max_bytes": 0}, "Media: max_bytes is 0; allowed is 1 or more"),
    ],
    ids=str,
)
def test_numbers_that_are_not_allowed_are_refused_in_one_line(options, line):
    with pytest.raises(UserError, match=line):
        Media(**options)


@pytest.mark.slow
def test_two_processes_draw_what_one_does(tmp_path):
    """The same pictures to the byte, written and logged once; a gallery that fails in the other process is told."""

    def run(folder: Path, **options) -> int:
        def galleries(task, showing):
            broken = Broken("add" if task.trainer.global_rank == 1 else "other")
            return [*Classify.galleries(task, showing), *([broken] if options else [])]

        tracker = Recorder(folder)
        task = classifier(galleries)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer(folder, [Media()], logger=tracker, **options).validate(task, datamodule=data(), verbose=False)
        said = [str(warning.message) for warning in caught if str(warning.message).startswith("Media")]
        rank = task.trainer.global_rank
        (folder / f"said-{rank}").write_text("\n".join(said))
        return len(tracker.pictures)

    assert run_alone(lambda: run(tmp_path / "one")) == 1
    ranks = fork_ranks(2, lambda rank: run(tmp_path / "two", devices=2, strategy="ddp"))
    assert [status_of(rank) for rank in ranks] == [1, 0]
    assert pictures(tmp_path / "two") == pictures(tmp_path / "one")
    assert len(pictures(tmp_path / "one")) == 2
    assert (tmp_path / "two/said-0").read_text() == "Media: a picture of val is left out (RuntimeError: out of paint)."
    assert (tmp_path / "two/said-1").read_text() == ""


def run_alone(program) -> int:
    (rank,) = fork_ranks(1, lambda rank: program())
    return status_of(rank)
