"""Panoptic quality, against torchmetrics, brute force and planted cases."""

import pytest
import torch
from torchmetrics.detection import PanopticQuality

from lightning_cv.contracts import CROWD_SEGMENT, IGNORED, VOID, Panoptic, Pixels
from lightning_cv.metrics.panoptic import PanopticScores
from lightning_cv.ops.panoptic import panoptic_of
from tests.tolerances import assert_close

NAMES, THINGS = ("sky", "grass", "cat", "dog"), (False, False, True, True)


def drawing(seed: int, *, unknown: bool = True) -> Pixels:
    """Sky above grass, and four rectangles of cats and dogs, each a segment."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.zeros(24, 30, dtype=torch.int16)
    classes[12:] = 1
    segments = classes.int()
    for number in range(4):
        top, left = torch.randint(18, (2,), generator=generator).tolist()
        place = slice(top, top + 6), slice(left, left + 9)
        classes[place], segments[place] = 2 + number % 2, 2 + number
    if unknown:
        classes[:10, :14], segments[:10, :14] = IGNORED, VOID
    return Pixels(classes, segments)


def disturbed(truth: Pixels, seed: int) -> Panoptic:
    """What is there, with some segments gone, split in two, or of another class."""
    generator = torch.Generator().manual_seed(seed)
    whole = panoptic_of(truth, THINGS)
    segments, labels = whole.segments.clone(), whole.labels.tolist()
    segments[truth.classes == IGNORED] = 0  # something is found there too
    for number in range(len(labels)):
        choice = int(torch.randint(4, (), generator=generator))
        here = segments == number
        if choice == 0:
            segments[here] = VOID
        elif choice == 1:
            labels[number] = (
                2 + int(torch.randint(2, (), generator=generator)) if THINGS[labels[number]] else labels[number]
            )
        elif choice == 2 and THINGS[labels[number]]:
            here[:, ::3] = False
            segments[here] = len(labels)
            labels.append(labels[number])
    segments[:6, 20:] = len(labels)
    labels.append(3)
    return tidy(segments, labels)


def tidy(segments: torch.Tensor, labels: list[int]) -> Panoptic:
    chosen = torch.tensor(labels)
    return Panoptic(segments, chosen, torch.tensor(THINGS)[chosen])


def scores(found, there):
    metric = PanopticScores(NAMES, THINGS)
    metric.update(found, there)
    return metric.compute()


def by_hand(found: list[Panoptic], there: list[Pixels]) -> dict[str, float]:
    """Kirillov et al. 2019, equation 1, with sets of pixels."""
    table = {label: [0, 0, 0, 0.0] for label in range(4)}
    for said, truth in zip(found, there, strict=True):
        unknown = truth.classes == IGNORED
        ours = [((said.segments == n), int(label)) for n, label in enumerate(said.labels)]
        ours = [(mask, label) for mask, label in ours if mask.any()]
        theirs = [(truth.segments == n) for n in truth.segments.unique().tolist() if n >= 0]
        theirs = [(mask, int(truth.classes[mask][0])) for mask in theirs]
        left = list(range(len(theirs)))
        for mask, label in ours:
            best = None
            for n in left:
                other, name = theirs[n]
                union = (mask & ~unknown) | other
                overlap = (mask & other).sum().item() / union.sum().item()
                if name == label and overlap > 0.5:
                    best = n, overlap
            if best is not None:
                left.remove(best[0])
                table[label][0] += 1
                table[label][3] += best[1]
            else:
                crowd = (truth.segments == CROWD_SEGMENT) & (truth.classes == label)
                if (mask & (unknown | crowd)).sum() <= 0.5 * mask.sum():
                    table[label][1] += 1
        for n in left:
            table[theirs[n][1]][2] += 1
    told = {}
    for label, (tp, fp, fn, total) in table.items():
        if tp + fp + fn:
            told[f"pq/{NAMES[label]}"] = total / (tp + fp / 2 + fn / 2)
    return told


@pytest.mark.parametrize("seed", range(8))
def test_it_is_what_sets_of_pixels_give(seed):
    """row 223: brute force over pairs of segments, with pixels that nobody knows and a crowd."""
    there = [drawing(10 * seed + n) for n in range(3)]
    there[0].segments[there[0].segments == 3] = CROWD_SEGMENT
    found = [disturbed(each, 10 * seed + n) for n, each in enumerate(there)]
    ours, expected = scores(found, there), by_hand(found, there)
    assert {name for name in ours if "/" in name} == expected.keys()
    for name, value in expected.items():
        assert ours[name].item() == pytest.approx(value, abs=1e-6), name
    assert ours["pq"].item() == pytest.approx(sum(expected.values()) / len(expected), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_torchmetrics_where_all_is_known(seed):
    """row 223: its panoptic quality of pairs (class, instance)."""
    there = [drawing(seed, unknown=False)]
    found = [disturbed(each, seed) for each in there]
    covered = found[0].segments != VOID
    found[0].segments[~covered] = len(found[0].labels)  # torchmetrics wants a class everywhere
    found[0] = tidy(found[0].segments, [*found[0].labels.tolist(), 0])
    theirs = PanopticQuality(things={2, 3}, stuffs={0, 1}, return_per_class=True, return_sq_and_rq=True)
    classes = found[0].classes
    numbers = torch.where(torch.tensor(THINGS)[classes], found[0].segments, 0)
    truth = there[0].classes.long(), torch.where(torch.tensor(THINGS)[there[0].classes.long()], there[0].segments, 0)
    each = theirs(torch.stack([classes, numbers], -1)[None], torch.stack(truth, -1)[None])
    # A class of stuff is one segment there: ours may have two, so only where each is one do they compare.
    merged = scores([merged_stuff(found[0])], there)
    for label, name in enumerate(NAMES):
        if f"pq/{name}" in merged:
            assert_close(merged[f"pq/{name}"], each[(2, 3, 0, 1).index(label), 0].float())  # things first


def merged_stuff(found: Panoptic) -> Panoptic:
    """All pixels of a class of stuff as one segment."""
    segments, first = found.segments.clone(), {}
    for number, label in enumerate(found.labels.tolist()):
        if not THINGS[label]:
            segments[found.segments == number] = first.setdefault(label, number)
    return tidy(segments, found.labels.tolist())


def test_the_truth_has_quality_one_and_pq_is_sq_times_rq():
    """row 223: PQ of the truth with itself is 1; of one class PQ = SQ x RQ."""
    there = [drawing(seed) for seed in range(4)]
    own = [panoptic_of(each, THINGS) for each in there]
    assert all(value == 1 for value in scores(own, there).values())
    one = PanopticScores(("all",), (False,))
    single = Pixels(torch.zeros(8, 8, dtype=torch.int16), torch.zeros(8, 8, dtype=torch.int32))
    segments = torch.zeros(8, 8, dtype=torch.int64)
    segments[:2] = 1
    one.update([Panoptic(segments, torch.tensor([0, 0]), torch.tensor([False, False]))], [single])
    told = one.compute()
    assert_close(told["pq"], told["sq"] * told["rq"])
    assert told["sq"].item() == pytest.approx(0.75)
    assert told["rq"].item() == pytest.approx(1 / 1.5)


def test_nobody_has_to_find_a_crowd_and_finding_it_is_no_mistake():
    truth = drawing(1)
    truth.segments[truth.segments == 2] = CROWD_SEGMENT
    own = panoptic_of(truth, THINGS)
    assert scores([own], [truth])["pq"] == 1
    crowd = truth.segments == CROWD_SEGMENT
    segments = own.segments.clone()
    segments[crowd] = len(own.labels)
    of_class = tidy(segments, [*own.labels.tolist(), 2])
    assert scores([of_class], [truth])["pq"] == 1
    other = tidy(segments, [*own.labels.tolist(), 3])
    assert scores([other], [truth])["pq/dog"] < 1


def test_batches_in_any_order_give_the_same_bits():
    there = [drawing(seed) for seed in range(9)]
    found = [disturbed(each, n) for n, each in enumerate(there)]
    one = scores(found, there)
    other = PanopticScores(NAMES, THINGS)
    for n in (8, 0, 4, 2, 1, 7, 3, 6, 5):
        other.update(found[n : n + 1], there[n : n + 1])
    assert other.compute() == one
