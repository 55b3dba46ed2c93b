"""Samples that follow a control: what is kept of a set, what is drawn, and the means of a test."""

import pytest
import torch
from torch import Tensor

from lightning_cv.contracts import INDEX, LABEL, DataInfo, GeneratedOutput, Showing
from lightning_cv.metrics.generation import GenerationScores
from lightning_cv.tasks.control import Controlled, control_galleries


class Copycat:
    """A sample is the control, in the half of its label."""

    num_classes = 2

    def control_of(self, images: Tensor) -> Tensor:
        return 1 - images

    def sample_controlled(self, draws: object, control: Tensor, labels: Tensor | None = None) -> Tensor:
        return control * labels[:, None, None, None] / 2


def showing(num_images: int) -> Showing:
    return Showing(DataInfo(("a", "b"), 1, (4, 4), (0.5,), (0.5,)), "val", str, num_images)


def test_the_gallery_shows_control_sample_and_image_of_the_first_images():
    """row 265: by index, whatever the batches; each with its own label."""
    images, labels = torch.rand(5, 1, 4, 4), torch.tensor([0, 1, 1, 0, 1])
    gallery = Controlled(Copycat(), showing(3))
    for index in ([4, 1], [0, 3, 2]):
        batch = {INDEX: torch.tensor(index), LABEL: labels[index]}
        gallery.add(batch, {"targets": images[index]})
    taken = gallery.take()
    assert sorted(taken) == [0, 1, 2]
    for index, (control, sample, image) in taken.items():
        assert torch.equal(image, images[index])
        assert torch.equal(control, 1 - images[index])
        assert torch.equal(sample, control * labels[index] / 2)
    assert set(gallery.draw([taken])) == {"controlled"}
    assert Controlled(Copycat(), showing(3)).draw([{}]) == {}


def test_only_a_network_that_follows_has_the_gallery():
    assert len(control_galleries(Copycat(), showing(3))) == 1
    assert control_galleries(torch.nn.Linear(1, 1), showing(3)) == []


def test_the_test_scores_are_means_over_the_set():
    """row 265: of both correlations, over ragged batches; without them there is no such score."""
    scores = GenerationScores(16, None)
    scores.update(GeneratedOutput(controlled=torch.tensor([[0.9, 0.1], [0.7, -0.1]])))
    scores.update(GeneratedOutput(controlled=torch.tensor([[0.2, 0.3]])))
    found = scores.compute()
    assert found["control_correlation"].item() == pytest.approx(0.6)
    assert found["base_correlation"].item() == pytest.approx(0.1)
    other = GenerationScores(16, None)
    other.update(GeneratedOutput(nll=torch.ones(2)))
    assert set(other.compute()) == {"nats"}
