"""What a person looks at to judge a classifier: the most confident mistakes, and the confusion matrix."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp
from sklearn.metrics import confusion_matrix

from lightning_cv.contracts import IMAGE, INDEX, LABEL, DataInfo, Showing
from lightning_cv.tasks import Classify, gallery
from lightning_cv.tasks.gallery import ClassTemplates, Confusions, Mistakes, MultilabelMistakes, percent
from tests.tasks.small import TinyNet, sgd

NUM_IMAGES, NUM_CLASSES = 120, 5
GENERATOR = torch.Generator().manual_seed(0)
# Many of these confidences are 1 in float32; some images are scored exactly alike.
SCORES = torch.randn(NUM_IMAGES, NUM_CLASSES, generator=GENERATOR) * 20
SCORES[60:100] = SCORES[:40].flip(0)
LABELS = torch.randint(NUM_CLASSES, (NUM_IMAGES,), generator=GENERATOR)
HAS = (torch.rand(NUM_IMAGES, NUM_CLASSES, generator=GENERATOR) < 0.4).float()
PIXELS = torch.randint(256, (NUM_IMAGES, 1, 4, 4), generator=GENERATOR, dtype=torch.uint8)
IMAGES = (PIXELS / 255 - 0.4) / 0.2


def showing(num_images: int = 9) -> Showing:
    info = DataInfo(tuple("abcde"), 1, (4, 4), (0.4,), (0.2,))
    return Showing(info, "val, epoch 2, step 7", lambda index: f"image {index}", num_images)


def batches(rows, size, targets=LABELS):
    """The rows in ragged batches, as a loader gives them, with the outputs of the task's step."""
    for part in torch.tensor([*rows], dtype=torch.int64).split(size):
        batch = {IMAGE: IMAGES[part], LABEL: targets[part], INDEX: part}
        yield batch, {"predictions": SCORES[part], "targets": targets[part]}


def taken(make, rows, size=16, targets=LABELS):
    collector = make(showing())
    for batch, outputs in batches(rows, size, targets):
        collector.add(batch, outputs)
    return collector.take()


@pytest.fixture
def drawn(monkeypatch):
    """Draws, and tells what was drawn: (title, [(image, label, predicted, sample)])."""

    def draw(collector, parts):
        seen = {}
        real = gallery.grid_picture
        monkeypatch.setattr(gallery, "grid_picture", lambda tiles, title: seen.update(t=(title, tiles)) or real([], ""))
        assert list(collector.draw(parts)) == ["mistakes"]
        title, tiles = seen["t"]
        assert [caption.key for tile in tiles for caption in tile.captions] == ["label", "predicted"] * len(tiles)
        texts = [[f"{caption.text} {caption.end}".strip() for caption in tile.captions] for tile in tiles]
        return title, [(tile.image, *text, tile.name) for tile, text in zip(tiles, texts, strict=True)]

    return draw


def most_confident_mistakes():
    """By float64 and brute force: (log odds, index) of every mistake, the most confident first."""
    scores = SCORES.double().numpy()
    answers = scores.argmax(1)
    others = np.where(np.arange(NUM_CLASSES) == answers[:, None], -np.inf, scores)
    log_odds = scores.max(1) - logsumexp(others, axis=1)
    wrong = np.flatnonzero(answers != LABELS.numpy())
    return sorted(((log_odds[n], n) for n in wrong), key=lambda row: (-row[0], row[1]))


def test_the_most_confident_mistakes_are_found_in_order(drawn):
    """Oracle: brute force in float64, where confidences that float32 rounds to 1 still have an order."""
    expected = most_confident_mistakes()[:9]
    title, tiles = drawn(Mistakes(showing()), [taken(Mistakes, range(NUM_IMAGES))])
    assert [name for *_, name in tiles] == [f"image {index}" for _, index in expected]
    for (log_odds, index), (image, label, predicted, _) in zip(expected, tiles, strict=True):
        assert torch.equal(image, PIXELS[index])
        assert label == "abcde"[LABELS[index]]
        assert predicted == f"{'abcde'[SCORES[index].argmax()]} ({percent(expit(log_odds))})"
    wrong = len(most_confident_mistakes())
    assert title == f"val, epoch 2, step 7: {wrong} of {NUM_IMAGES} images wrong, the 9 most confident"


@pytest.mark.parametrize("split", [[range(0, 120, 2), range(1, 120, 2)], [range(120), []], [range(70), range(70, 120)]])
@pytest.mark.parametrize("size", [7, 120])
def test_any_number_of_devices_and_any_batches_find_the_same(drawn, split, size):
    """Also where a device had no batch at all, and where one batch holds fewer images than are shown."""
    expected_title, expected = drawn(Mistakes(showing()), [taken(Mistakes, range(NUM_IMAGES))])
    title, tiles = drawn(Mistakes(showing()), [taken(Mistakes, rows, size) for rows in split])
    assert title == expected_title
    assert [tile[1:] for tile in tiles] == [tile[1:] for tile in expected]
    assert all(torch.equal(tile[0], other[0]) for tile, other in zip(tiles, expected, strict=True))


def test_a_sample_that_two_devices_got_is_shown_once(drawn):
    """Samplers of other libraries repeat samples where the devices' shares would be uneven."""
    _, tiles = drawn(Mistakes(showing()), [taken(Mistakes, range(120)), taken(Mistakes, range(100))])
    assert [name for *_, name in tiles] == [f"image {index}" for _, index in most_confident_mistakes()[:9]]


def test_without_indices_samples_have_no_name_and_none_is_taken_for_another(drawn):
    collector = Mistakes(showing())
    for batch, outputs in batches(range(NUM_IMAGES), 16):
        collector.add({IMAGE: batch[IMAGE], LABEL: batch[LABEL]}, outputs)
    _, tiles = drawn(collector, [collector.take()])
    assert len(tiles) == 9
    assert {name for *_, name in tiles} == {""}


def test_where_there_is_no_mistake_the_picture_says_so(drawn):
    right = SCORES.argmax(1)
    title, tiles = drawn(Mistakes(showing()), [taken(Mistakes, range(20), targets=right)])
    assert title == "val, epoch 2, step 7: no mistakes in 20 images"
    assert tiles == []


def test_a_few_mistakes_are_all_shown_and_no_right_answer_among_them(drawn):
    targets = SCORES.argmax(1)
    targets[[3, 50]] = (targets[[3, 50]] + 1) % NUM_CLASSES
    title, tiles = drawn(Mistakes(showing()), [taken(Mistakes, range(60), targets=targets), taken(Mistakes, [])])
    assert title == "val, epoch 2, step 7: 2 of 60 images wrong"
    assert {name for *_, name in tiles} == {"image 3", "image 50"}


def test_of_soft_labels_the_heavier_one_counts(drawn):
    """Soft labels (B, C) whose largest entry is the label give the tiles of the labels."""
    soft = torch.nn.functional.one_hot(LABELS, NUM_CLASSES) * 0.6 + 0.08
    _, tiles = drawn(Mistakes(showing()), [taken(Mistakes, range(NUM_IMAGES), targets=soft)])
    assert [name for *_, name in tiles] == [f"image {index}" for _, index in most_confident_mistakes()[:9]]


def test_scores_that_are_no_numbers_come_first(drawn):
    """They are what a person must see."""
    collector = Mistakes(showing())
    scores = SCORES[:8].clone()
    scores[5] = torch.nan
    outputs = {"predictions": scores, "targets": torch.full((8,), 4)}
    collector.add({IMAGE: IMAGES[:8], INDEX: torch.arange(8)}, outputs)
    _, tiles = drawn(collector, [collector.take()])
    assert tiles[0][-1] == "image 5"


def test_of_several_labels_an_image_is_judged_by_its_most_confident_wrong_one(drawn):
    """Oracle: brute force over all (image, class) pairs that are wrong at 0.5."""
    scores, has = SCORES.double().numpy(), HAS.numpy() > 0.5
    odds = np.where((scores > 0) != has, np.abs(scores), -np.inf)
    order = sorted(np.flatnonzero(odds.max(1) > -np.inf), key=lambda n: (-odds[n].max(), n))[:9]
    title, tiles = drawn(MultilabelMistakes(showing()), [taken(MultilabelMistakes, range(NUM_IMAGES), targets=HAS)])
    wrong = int((odds.max(1) > -np.inf).sum())
    assert title.startswith(f"val, epoch 2, step 7: {wrong} of {NUM_IMAGES} images wrong on some class, the 9")
    assert [name for *_, name in tiles] == [f"image {index}" for index in order]
    for index, (_, label, predicted, _) in zip(order, tiles, strict=True):
        name = "abcde"[odds[index].argmax()]
        there = has[index, odds[index].argmax()]
        assert label == (name if there else f"not {name}")
        assert predicted == f"{f'not {name}' if there else name} ({percent(expit(odds[index].max()))})"


@pytest.mark.parametrize("make", [Mistakes, MultilabelMistakes, Confusions])
def test_collecting_reads_nothing_from_the_device(make):
    """Tensors without content raise where something would be read: only at the end may a device be waited for."""
    collector = make(showing())
    targets = HAS if make is MultilabelMistakes else LABELS
    for batch, outputs in batches(range(NUM_IMAGES), 16, targets):
        collector.add(
            {key: value.to("meta") for key, value in batch.items()},
            {key: value.to("meta") for key, value in outputs.items()},
        )
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        collector.take()


def test_confusions_of_all_devices_are_those_of_scikit_learn(monkeypatch):
    seen = []
    real = gallery.confusions_picture
    monkeypatch.setattr(gallery, "confusions_picture", lambda *args: seen.append(args) or real(*args))
    parts = [taken(Confusions, range(50)), taken(Confusions, []), taken(Confusions, range(50, 120), size=9)]
    assert list(Confusions(showing()).draw(parts)) == ["confusion_matrix"]
    ((counts, names, title),) = seen
    expected = confusion_matrix(LABELS, SCORES.argmax(1))
    assert counts.tolist() == expected.tolist()
    assert names == tuple("abcde")
    assert title == f"val, epoch 2, step 7: {np.trace(expected)} of 120 images right"
    assert Confusions(showing()).draw([None]) == {}


def test_classify_shows_both_and_with_several_labels_the_mistakes():
    """Of a network that is linear in the pixels, as this one, the templates too."""
    one = Classify(TinyNet(), sgd).galleries(showing())
    several = Classify(TinyNet(), sgd, multilabel=True).galleries(showing())
    assert [type(part) for part in one] == [Mistakes, Confusions, ClassTemplates]
    assert [type(part) for part in several] == [MultilabelMistakes, ClassTemplates]


@pytest.mark.parametrize(
    ("confidence", "text"),
    [(0, "0%"), (0.4251, "43%"), (0.994, "99%"), (0.9951, "99.5%"), (0.9999999, "99.9%"), (1.0, "100%")],
)
def test_a_confidence_that_is_not_quite_sure_does_not_read_as_sure(confidence, text):
    assert percent(confidence) == text
