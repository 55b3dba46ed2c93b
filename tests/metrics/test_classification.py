"""Classification metrics equal scikit-learn and NumPy, exactly, however the data set is cut into batches."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from lightning_cv.errors import UserError
from lightning_cv.metrics import classification_metrics, confusion_matrix
from tests.tolerances import assert_close

GENERATOR = torch.Generator().manual_seed(5)
LABELS = torch.multinomial(torch.tensor([8.0, 4, 2, 1, 1, 1, 1]), 203, replacement=True, generator=GENERATOR)
SCORES = 2 * torch.randn(203, 7, generator=GENERATOR) + 2 * torch.nn.functional.one_hot(LABELS, 7)


def feed(metric, scores=SCORES, labels=LABELS, batch_size=32):
    """Update in ragged batches (203 = 6 * 32 + 11) and compute."""
    for some_scores, some_labels in zip(scores.split(batch_size), labels.split(batch_size), strict=True):
        metric.update(some_scores, some_labels)
    return metric.compute()


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Guo et al. 2017, eq. 3, bin by bin."""
    error = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


def test_accuracy_is_the_share_of_right_samples():
    """rows 8, 200: micro accuracy, mean(predicted == label); not torchmetrics' macro default."""
    accuracy = feed(classification_metrics(7))["accuracy"]
    assert_close(accuracy, (SCORES.argmax(1) == LABELS).float().mean())
    assert abs(accuracy - MulticlassAccuracy(7)(SCORES, LABELS)) > 0.005


def test_top5_equals_scikit_learn():
    """rows 8, 200: the share of samples whose label is among the 5 largest scores."""
    expected = sklearn_metrics.top_k_accuracy_score(LABELS, SCORES, k=5, labels=range(7))
    assert_close(feed(classification_metrics(7))["top5"], torch.tensor(expected).float())


def test_top5_is_left_out_where_it_says_nothing():
    """row 200: with 5 classes every label is among the top 5."""
    assert set(feed(classification_metrics(5), SCORES[:, :5], LABELS.clamp(max=4))) == {
        "accuracy",
        "calibration_error",
    }


def test_calibration_error_equals_its_formula_and_torchmetrics():
    """rows 8, 200: ECE over 15 bins, accumulated batch by batch."""
    confidence, predicted = SCORES.softmax(1).max(1)
    expected = expected_calibration_error(confidence.numpy(), (predicted == LABELS).numpy())
    value = feed(classification_metrics(7))["calibration_error"]
    assert_close(value, torch.tensor(expected).float())
    assert_close(value, MulticlassCalibrationError(7, n_bins=15)(SCORES, LABELS))


@pytest.mark.parametrize(("label", "expected"), [(0, 0.0), (1, 1.0)])
def test_a_certain_answer_is_in_the_last_bin(label, expected):
    """row 200: confidence 1 is calibrated when it is right, and off by 1 when it is wrong."""
    scores = torch.tensor([[100.0, 0.0]]).repeat(4, 1)
    assert feed(classification_metrics(2), scores, torch.full((4,), label))["calibration_error"] == expected


def test_soft_labels_count_as_their_largest():
    """rows 42, 200: labels mixed 0.7 : 0.3 score like the larger part's."""
    soft = 0.7 * torch.nn.functional.one_hot(LABELS, 7) + 0.3 * torch.nn.functional.one_hot(LABELS.flip(0), 7)
    hard = feed(classification_metrics(7))
    mixed = feed(classification_metrics(7), labels=soft)
    assert mixed == hard


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_score_of_two_classes_is_its_sigmoid(shape):
    """rows 5, 200: a single logit predicts class 1 above 0, with confidence sigmoid(|s|)."""
    score, labels = SCORES[:, 0], (LABELS > 0).long()
    values = feed(classification_metrics(2), score.reshape(shape), labels)
    right = (score > 0).long() == labels
    assert_close(values["accuracy"], right.float().mean())
    confidence = score.abs().double().sigmoid()
    expected = expected_calibration_error(confidence.numpy(), right.numpy())
    assert_close(values["calibration_error"], torch.tensor(expected).float())


def test_confusion_matrix_equals_scikit_learn():
    """row 200: rows are labels, columns predictions, over ragged batches."""
    expected = sklearn_metrics.confusion_matrix(LABELS, SCORES.argmax(1), labels=range(7))
    assert torch.equal(feed(confusion_matrix(7)), torch.tensor(expected))


TARGETS = (torch.rand(203, 4, generator=GENERATOR) < torch.tensor([0.5, 0.3, 0.2, 0.1])).long()
MANY = torch.rand(203, 4, generator=GENERATOR) - 0.4 + 0.3 * TARGETS


def test_multilabel_metrics_equal_scikit_learn():
    """rows 5, 8, 200: accuracy, exact match, macro F1 and mAP of independent labels, over ragged batches."""
    values = feed(classification_metrics(4, multilabel=True), MANY, TARGETS)
    predicted = (MANY > 0).long()
    expected = {
        "accuracy": (predicted == TARGETS).float().mean(),
        "exact_match": sklearn_metrics.accuracy_score(TARGETS, predicted),
        "f1": sklearn_metrics.f1_score(TARGETS, predicted, average="macro"),
        "map": sklearn_metrics.average_precision_score(TARGETS, MANY, average="macro"),
    }
    assert set(values) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(values[name], torch.tensor(float(value)), rtol=1e-5, atol=1e-6)


def test_an_absent_label_counts_as_zero_f1():
    """row 200: as in scikit-learn, a label that is never present nor predicted has F1 0, rare ones their own."""
    targets, scores = TARGETS.clone(), MANY.clone()
    targets[:, 0], scores[:, 0] = 0, -1.0
    targets[:, 1] = (torch.arange(203) == 3).long()
    scores[:, 1] = 2.0 * targets[:, 1] - 1.0
    expected = sklearn_metrics.f1_score(targets, (scores > 0).long(), average="macro", zero_division=0)
    metrics = classification_metrics(4, multilabel=True)["scores"]
    assert_close(feed(metrics, scores, targets)["f1"], torch.tensor(expected).float())


def test_scores_within_0_and_1_are_scores_too():
    """rows 5, 200: a batch of logits within [0, 1] is not taken for probabilities, as torchmetrics would."""
    scores = torch.tensor([[0.1], [0.3], [-0.5], [3.0]])
    targets = torch.tensor([[0], [1], [0], [1]])
    values = feed(classification_metrics(1, multilabel=True), scores, targets, batch_size=2)
    assert values["map"] == 1  # 0.3 as a probability would rank below sigmoid(-0.5)
    assert values["accuracy"] == 0.75


def make_all(multilabel: bool):
    scalars = classification_metrics(4, multilabel=multilabel)
    return [scalars] if multilabel else [scalars, confusion_matrix(4)]


@pytest.mark.parametrize("multilabel", [False, True])
def test_two_devices_make_one_data_set(multilabel):
    """rows 8, 200: states merged from two unequal parts give the value of the whole, to the last digit."""
    labels = TARGETS if multilabel else LABELS.clamp(max=3)
    for whole, first, second in zip(*(make_all(multilabel) for _ in range(3)), strict=True):
        expected = feed(whole, MANY, labels)
        first.update(MANY[:70], labels[:70])
        second.update(MANY[70:], labels[70:])
        if isinstance(first, MetricCollection):
            for name, metric in first.items():
                metric.merge_state(second[name])
        else:
            first.merge_state(second)
        torch.testing.assert_close(first.compute(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("multilabel", [False, True])
def test_reset_forgets(multilabel):
    """row 200: after a reset, an epoch starts from nothing."""
    labels = TARGETS if multilabel else LABELS.clamp(max=3)
    for used, fresh in zip(make_all(multilabel), make_all(multilabel), strict=True):
        feed(used, MANY.flip(0), labels)
        used.reset()
        torch.testing.assert_close(feed(used, MANY, labels), feed(fresh, MANY, labels), rtol=0, atol=0)


@pytest.mark.parametrize(("num_classes", "multilabel"), [(1, False), (0, True)])
def test_too_few_classes_are_refused(num_classes, multilabel):
    """row 200: one class cannot be wrong."""
    with pytest.raises(UserError, match=f"num_classes is {num_classes}; allowed: 2 or more"):
        classification_metrics(num_classes, multilabel=multilabel)
