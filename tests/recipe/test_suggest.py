"""A wrong name gets the right one as a suggestion, or the list of what is allowed."""

from lightning_cv.recipe.suggest import did_you_mean, hint, nearest


def test_near_names_are_suggested_and_far_ones_listed():
    known = ["num_classes", "dropout", "width"]
    assert did_you_mean("num_clases", known) == "; did you mean num_classes?"
    assert did_you_mean("zzz", known) == ""
    assert nearest("DropOut", known) == "dropout"
    assert hint("zzz", known) == "; allowed: dropout, num_classes, width"
    assert hint("zzz", []) == ""
    assert hint("q", [f"n{i:02}" for i in range(40)]).endswith("n29, ...")
