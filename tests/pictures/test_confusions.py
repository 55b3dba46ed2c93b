"""The picture of a confusion matrix."""

import matplotlib.axes
import numpy as np
import pytest
import torch

from lightning_cv.pictures import confusions_picture
from lightning_cv.pictures.confusions import NUM_LISTED


@pytest.fixture
def written(monkeypatch):
    """What is written into the picture, and the cells of the matrix."""
    seen = {"text": [], "ticks": {}}

    def spy(name, keep):
        real = getattr(matplotlib.axes.Axes, name)

        def call(self, *args, **kwargs):
            keep(*args)
            return real(self, *args, **kwargs)

        monkeypatch.setattr(matplotlib.axes.Axes, name, call)

    spy("text", lambda x, y, text: seen["text"].append((y, x, text)))
    spy("set_yticks", lambda places, names: seen["ticks"].update(zip(places, names, strict=True)))
    spy("imshow", lambda cells: seen.update(cells=cells))
    return seen


def test_few_classes_have_their_counts_in_the_cells_and_their_names_beside(written):
    """Oracle: the counts themselves; an empty cell stays empty; dollar signs are no formula."""
    counts = torch.tensor([[5, 0, 1], [2, 8, 0], [0, 0, 0]])
    picture = confusions_picture(counts, ["$x^$", "猫", "$\\frac$"], "val, step $3^$")
    assert sorted(written["text"]) == [(0, 0, "5"), (0, 2, "1"), (1, 0, "2"), (1, 1, "8")]
    assert written["ticks"] == {0: "$x^$", 1: "class 1", 2: "$\\frac$"}
    np.testing.assert_allclose(written["cells"], [[5 / 6, 0, 1 / 6], [0.2, 0.8, 0], [0, 0, 0]])
    assert picture.mode == "RGB"
    assert len(picture.convert("L").getcolors(maxcolors=256)) > 10


@pytest.mark.parametrize("number", [31, 1000])
def test_of_many_classes_the_most_frequent_confusions_are_listed(written, number):
    """Oracle: the confusions that were put in, most frequent first, equal ones in the order of their labels."""
    counts = torch.diag(torch.full((number,), 50))
    for row in range(30):
        counts[row, (row + 1) % number] = 40 - row // 2
    confusions_picture(counts, [f"a class whose name is long, {n}" for n in range(number)])
    assert list(written["ticks"]) == list(range(NUM_LISTED))
    ends = [[part.split(", ")[1] for part in line.split(" → ")] for line in written["ticks"].values()]
    assert ends == [[str(row), str(row + 1)] for row in range(NUM_LISTED)]
    assert written["text"][0][2] == f" 40 ({40 / 90:.0%} of the label)"
    assert written["cells"].shape == ((31, 31) if number == 31 else (200, 200))


def test_of_very_many_classes_a_block_shows_its_largest_share(written):
    """1003 classes in blocks of 6: a single confusion of the last class is still seen, at its place."""
    counts = torch.zeros(1003, 1003, dtype=torch.int64)
    counts[1002, 7] = 3
    confusions_picture(counts, [str(n) for n in range(1003)])
    assert written["cells"].shape == (168, 168)
    assert np.argwhere(written["cells"]).tolist() == [[167, 1]]
    assert written["cells"].max() == 1


def test_a_perfect_classifier_has_no_list(written):
    picture = confusions_picture(torch.eye(40, dtype=torch.int64), [str(n) for n in range(40)])
    assert written["ticks"] == {}
    assert picture.width > 1000
