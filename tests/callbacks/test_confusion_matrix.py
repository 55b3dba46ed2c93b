"""The confusion matrix of a test set, as a table and as a picture."""

import csv

import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix

from lightning_cv.callbacks import ConfusionMatrix
from lightning_cv.errors import UserError
from lightning_cv.tasks import Classify
from tests.tasks.small import TinyData, TinyNet, sgd, trainer


def test_counts_are_those_of_scikit_learn(tmp_path):
    """The table of a set in ragged batches is scikit-learn's, rows are labels; the picture opens."""
    data, network = TinyData(size=50, batch_size=8), TinyNet()
    trainer(tmp_path, callbacks=[ConfusionMatrix()]).test(Classify(network, sgd), datamodule=data, verbose=False)
    header, *rows = csv.reader((tmp_path / "confusion_matrix_test.csv").open())
    assert header == ["label", "a", "b", "c"]
    assert [row[0] for row in rows] == ["a", "b", "c"]
    expected = confusion_matrix(data.labels, network(data.images).argmax(1), labels=[0, 1, 2])
    assert [[int(cell) for cell in row[1:]] for row in rows] == expected.tolist()
    with Image.open(tmp_path / "confusion_matrix_test.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("L").getcolors(maxcolors=256)) > 3


def test_validation_sets_are_counted_on_request_and_anew_each_time(tmp_path):
    """Two validations count the set once each, not twice together."""
    callback = ConfusionMatrix(on_validation=True)
    run = trainer(tmp_path, callbacks=[callback], max_epochs=2)
    run.fit(Classify(TinyNet(), sgd), datamodule=TinyData(size=20))
    rows = list(csv.reader((tmp_path / "confusion_matrix_val.csv").open()))[1:]
    assert sum(int(cell) for row in rows for cell in row[1:]) == 20


def test_data_without_names_are_refused(tmp_path):
    """One line says what is missing."""
    data = TinyData()
    task = Classify(TinyNet(), sgd)
    with pytest.raises(UserError, match="publish no class names"):
        trainer(tmp_path, callbacks=[ConfusionMatrix()]).test(task, dataloaders=data.test_dataloader())
    assert torch.is_grad_enabled()
