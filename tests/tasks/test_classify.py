"""The classify task on the shared base."""

import copy
import math

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from lightning_cv.contracts import IMAGE, INDEX, LABEL
from lightning_cv.errors import NonFiniteLossError, UserError
from lightning_cv.tasks import Classify
from tests.tasks.small import Batches, TinyData, TinyNet, sgd, trainer


class Recorder:
    """A logger that keeps every row."""

    def __new__(cls):
        from lightning.pytorch.loggers.logger import DummyLogger

        class _Recorder(DummyLogger):
            rows: list = []

            def log_metrics(self, metrics, step=None):
                self.rows.append((step, dict(metrics)))

        recorder = _Recorder()
        recorder.rows = []
        return recorder


def whole_set_loss(network, data):
    with torch.no_grad():
        return F.cross_entropy(network(data.images), data.labels).item()


def test_scores_are_those_of_the_whole_set(tmp_path):
    """Rows 8, 200: validation loss and accuracy over ragged batches equal one pass over the whole set."""
    data, network = TinyData(size=21, batch_size=8), TinyNet()
    task = Classify(network, sgd)
    results = trainer(tmp_path).validate(task, datamodule=data, verbose=False)[0]
    assert math.isclose(results["val/loss"], whole_set_loss(network, data), rel_tol=1e-6)
    expected = (network(data.images).argmax(1) == data.labels).float().mean().item()
    assert math.isclose(results["val/accuracy"], expected, rel_tol=1e-6)


def test_each_scoring_starts_anew(tmp_path):
    """Row 200: after one set, the scores of another are those of the other alone."""
    first, second, network = TinyData(size=16), TinyData(size=24), TinyNet()
    second.labels = network(second.images).argmax(1)
    first.labels = (network(first.images).argmax(1) + 1) % 3
    task = Classify(network, sgd)
    run = trainer(tmp_path)
    assert run.validate(task, datamodule=first, verbose=False)[0]["val/accuracy"] == 0.0
    assert run.validate(task, datamodule=second, verbose=False)[0]["val/accuracy"] == 1.0


def test_epoch_loss_is_the_mean_over_samples_and_windows_lose_no_step(tmp_path):
    """Row 8: with a rate of 0 the epoch's training loss is the whole-set loss; each window's mean is exact."""
    data, network, recorder = TinyData(size=21, batch_size=4), TinyNet(), Recorder()
    task = Classify(network, lambda params: torch.optim.SGD(params, lr=0.0))
    run = trainer(tmp_path, logger=recorder, log_every_n_steps=2)
    run.fit(task, datamodule=data)
    expected = whole_set_loss(network, data)
    assert math.isclose(run.callback_metrics["train/loss_epoch"].item(), expected, rel_tol=1e-6)
    windows = [(step, row["train/loss"]) for step, row in recorder.rows if "train/loss" in row]
    assert [step for step, _ in windows] == [2, 4, 6]
    with torch.no_grad():
        losses = F.cross_entropy(network(data.images), data.labels, reduction="none")
    for (_, value), part in zip(windows, (slice(0, 8), slice(8, 16), slice(16, 21)), strict=True):
        assert math.isclose(value, losses[part].mean().item(), rel_tol=1e-6)


def test_accumulation_flushes_once_per_window(tmp_path):
    """With 2 micro-batches a step, a window of 2 steps is one row of 4 batches."""
    recorder = Recorder()
    run = trainer(tmp_path, logger=recorder, log_every_n_steps=2, accumulate_grad_batches=2)
    run.fit(Classify(TinyNet(), sgd), datamodule=TinyData(size=32, batch_size=4))
    assert [step for step, row in recorder.rows if "train/loss" in row] == [2, 4]


@pytest.mark.parametrize("bad_batch", [0, 3])
def test_non_finite_loss_stops_and_names_the_samples(tmp_path, bad_batch):
    """A NaN image stops training at the window's end and names the samples of its batch, not of another."""
    data = TinyData(size=40, batch_size=8)
    data.images[bad_batch * 8 + 2] = math.nan
    task = Classify(TinyNet(), sgd)
    with pytest.raises(NonFiniteLossError) as caught:
        trainer(tmp_path, log_every_n_steps=50, limit_val_batches=0).fit(task, datamodule=data)
    message = str(caught.value)
    assert "\n" not in message
    assert f"tiny train #{bad_batch * 8}" in message
    assert f"epoch 0, batch {bad_batch}:" in message
    assert f"tiny train #{bad_batch * 8 + 8}," not in message


def test_class_count_that_does_not_match_the_data_is_refused_before_training(tmp_path):
    """The line names the key and the value to set."""
    with pytest.raises(UserError, match=r"model\.init_args\.network: TinyNet has 5 classes.*set its num_classes to 3"):
        trainer(tmp_path).fit(Classify(TinyNet(5), sgd), datamodule=TinyData())


def test_channel_count_that_does_not_match_the_data_is_refused_before_training(tmp_path):
    """A three-channel network on gray images is one line, not a traceback from a convolution."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(UserError, match="takes 3 channels, but the images have 1"):
        trainer(tmp_path).fit(Classify(network, sgd), datamodule=TinyData())


def test_averaged_weights_are_scored_and_raw_ones_apart(tmp_path):
    """`scored` chooses: averaged alone, raw alone, or both under val/ and val_raw/."""
    data, network = TinyData(), TinyNet()
    task = Classify(network, sgd)
    task.averaged = copy.deepcopy(network)
    nn.init.zeros_(task.averaged.fc.weight)
    nn.init.zeros_(task.averaged.fc.bias)
    raw = pytest.approx(whole_set_loss(network, data), rel=1e-6)
    averaged = pytest.approx(math.log(3), rel=1e-6)
    for scored, expected in {
        "averaged": {"val/loss": averaged},
        "raw": {"val/loss": raw},
        "both": {"val/loss": averaged, "val_raw/loss": raw},
    }.items():
        task.scored = scored
        results = trainer(tmp_path).validate(task, datamodule=data, verbose=False)[0]
        assert {name: value for name, value in results.items() if name.endswith("loss")} == expected


def test_averaged_weights_travel_with_the_checkpoint(tmp_path):
    """The averaged network is in the file, apart from the trained one, and the file holds data only."""
    data = TinyData()
    task = Classify(TinyNet(), sgd)
    run = trainer(tmp_path)
    run.fit(task, datamodule=data)
    task.averaged = copy.deepcopy(task.network)
    nn.init.ones_(task.averaged.fc.weight)
    run.save_checkpoint(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert not any("averaged" in name for name in state["state_dict"])
    restored = Classify(TinyNet(), sgd)
    trainer(tmp_path).test(restored, datamodule=data, ckpt_path=tmp_path / "a.ckpt", verbose=False)
    assert torch.equal(restored.averaged.fc.weight, torch.ones(3, 16))
    assert torch.equal(restored.network.fc.weight, task.network.fc.weight)


def test_auxiliary_heads_change_the_training_loss_only():
    """Row 81: GoogLeNet's training loss is main + 0.3 (aux1 + aux2); its scoring loss has no such term."""
    network = torchvision.models.googlenet(num_classes=3, aux_logits=True, init_weights=False)
    batch = {IMAGE: torch.randn(2, 3, 96, 96), LABEL: torch.tensor([0, 2])}
    task = Classify(network, sgd)
    output = task.step(network.train(), batch)
    main, auxiliary = output.terms["main_loss"], output.terms["auxiliary_loss"]
    assert torch.equal(output.loss, main + 0.3 * auxiliary)
    assert auxiliary > 1.0
    with torch.no_grad():
        scored = task.step(network.eval(), batch)
        assert torch.equal(scored.loss, F.cross_entropy(network(batch[IMAGE]), batch[LABEL]))
    assert not scored.terms


def test_one_logit_means_two_classes(tmp_path):
    """Row 5: binary classification with one logit; probabilities are (1 - sigmoid, sigmoid)."""
    data = TinyData(num_classes=2)
    data.labels = (data.images[:, 0, 0, 0] > 0).long()

    class Loss(nn.Module):
        def forward(self, scores, labels):
            return F.binary_cross_entropy_with_logits(scores.squeeze(1), labels.float())

    network = TinyNet(1)
    task = Classify(network, sgd, loss=Loss())
    results = trainer(tmp_path).validate(task, datamodule=data, verbose=False)[0]
    logits = network(data.images).squeeze(1)
    assert results["val/accuracy"] == pytest.approx(((logits > 0).long() == data.labels).float().mean().item())
    probabilities = task.predict(network, data.images)
    torch.testing.assert_close(probabilities[:, 1], logits.sigmoid())
    torch.testing.assert_close(probabilities.sum(1), torch.ones(20))


def test_multilabel_learns_each_class_by_itself(tmp_path):
    """Rows 5, 8: labels (B, C) with BCE; the loss of the set is the formula's, predictions lie in [0, 1]."""
    data = TinyData(size=24, batch_size=24)
    data.labels = (data.images[:, 0, :3, 0] > 0).float()
    network = TinyNet(3)
    task = Classify(network, lambda p: torch.optim.Adam(p, lr=0.1), loss=nn.BCEWithLogitsLoss(), multilabel=True)
    z = network(data.images).detach()
    expected = (z.clamp(min=0) - z * data.labels + torch.log1p(torch.exp(-z.abs()))).mean().item()
    before = trainer(tmp_path).validate(task, datamodule=data, verbose=False)[0]
    assert before["val/loss"] == pytest.approx(expected, rel=1e-5)
    run = trainer(tmp_path, max_epochs=60)
    run.fit(task, datamodule=data)
    assert run.callback_metrics["val/loss"] < 0.1 * expected
    assert run.callback_metrics["train/accuracy"] == 1.0
    torch.testing.assert_close(task.predict(network, data.images), network(data.images).sigmoid())


def test_head_start_makes_the_first_loss_ln_c():
    """Row 124: with head_std the first loss of a network that starts at 2 ln C is ln C within 5%."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    nn.init.normal_(network[1].weight, std=3.0)
    batch = {IMAGE: torch.randn(64, 1, 4, 4), LABEL: torch.arange(64) % 10}
    loss = Classify(network, sgd).step(network, batch).loss
    assert loss > 2 * math.log(10)
    loss = Classify(network, sgd, head_std=1e-3).step(network, batch).loss
    assert abs(loss.item() / math.log(10) - 1) < 0.05


def test_training_terms_count_mixed_labels_by_the_heavier_class():
    """Row 42: with soft labels, training accuracy compares with the class of the largest share."""
    task = Classify(TinyNet(), sgd)
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    soft = torch.tensor([[0.7, 0.3, 0.0], [0.6, 0.0, 0.4]])
    from lightning_cv.contracts import StepOutput

    terms = task.train_terms(StepOutput(scores.sum(), predictions=scores, targets=soft))
    assert terms["accuracy"].item() == 0.5


def test_predictions_become_rows_in_the_classes_names(tmp_path):
    """A row names the best class and gives every probability."""
    data, network = TinyData(), TinyNet()
    task = Classify(network, sgd)
    batches = trainer(tmp_path).predict(task, dataloaders=Batches(data.images, data.labels, 8))
    probabilities = torch.cat([batch["prediction"] for batch in batches])
    torch.testing.assert_close(probabilities, network(data.images).softmax(1).detach())
    assert torch.equal(torch.cat([batch[INDEX] for batch in batches]), torch.arange(20))
    row = task.prediction_rows(torch.tensor([[0.25, 0.5, 0.25]]), ("a", "b", "c"))[0]
    assert row == {"class": "b", "probability": 0.5, "p(a)": 0.25, "p(b)": 0.5, "p(c)": 0.25}
