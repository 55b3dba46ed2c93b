"""The history of pictures in a run's folder."""

import pytest

from lightning_cv.record.pictures import PictureFolder


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_pictures_stand_by_name_in_the_order_of_steps(tmp_path):
    folder = PictureFolder(tmp_path / "media", 100)
    paths = [folder.write("val/mistakes", b"png", step=step) for step in (20, 3, 100_000_000)]
    assert paths[0].read_bytes() == b"png"
    assert sorted(paths) == [paths[1], paths[0], paths[2]]
    assert names(tmp_path)[0] == "media/val/mistakes/step-00000003.png"


def test_beyond_the_bytes_the_oldest_go_first_whatever_their_name(tmp_path):
    """40 bytes hold four pictures of 10; the fifth and sixth push out the first two."""
    folder = PictureFolder(tmp_path, 40)
    for step, name in enumerate(["val/a", "val/b", "val/a", "val/b", "val/a", "val/b"]):
        folder.write(name, b"0123456789", step=step)
    assert names(tmp_path) == [f"val/{'ab'[step % 2]}/step-0000000{step}.png" for step in (2, 4, 3, 5)]


def test_the_newest_of_each_name_stays_however_large(tmp_path):
    """A test's only picture outlives any number of validations."""
    folder = PictureFolder(tmp_path, 5)
    folder.write("test/a", b"0123456789", step=1)
    for step in (2, 3, 4):
        folder.write("val/a", b"0123456789", step=step)
    assert names(tmp_path) == ["test/a/step-00000001.png", "val/a/step-00000004.png"]


def test_no_more_than_necessary_is_removed(tmp_path):
    folder = PictureFolder(tmp_path, 20)
    for step, size in enumerate([2, 9, 9, 2]):
        folder.write("val/a", b"x" * size, step=step)
    assert names(tmp_path) == [f"val/a/step-0000000{step}.png" for step in (1, 2, 3)]


def test_a_picture_of_the_same_step_takes_the_place_of_the_last_one(tmp_path):
    folder = PictureFolder(tmp_path, 100)
    folder.write("val/a", b"old", step=4)
    assert folder.write("val/a", b"new", step=4).read_bytes() == b"new"
    assert len(names(tmp_path)) == 1


def test_a_future_that_is_no_more_is_forgotten_and_nothing_else(tmp_path):
    """Pictures beyond the step go, and halves that a killed process left; a file of the user's stays."""
    folder = PictureFolder(tmp_path, 100)
    for step in (10, 20, 30):
        folder.write("val/a", b"x", step=step)
    for name in ("mine.png", "step-99.png", ".step-00000030.png.123-0a1b2c3d.tmp"):
        (tmp_path / "val/a" / name).write_bytes(b"x")
    folder.forget_after(20)
    kept = ["mine.png", "step-00000010.png", "step-00000020.png", "step-99.png"]
    assert names(tmp_path) == [f"val/a/{name}" for name in kept]


def test_a_folder_that_is_not_there_is_nothing_to_forget(tmp_path):
    PictureFolder(tmp_path / "media", 100).forget_after(0)
    assert not (tmp_path / "media").exists()


def test_what_cannot_be_written_raises_and_leaves_what_was_there(tmp_path):
    (tmp_path / "val").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="val"):
        PictureFolder(tmp_path, 100).write("val/a", b"x", step=1)
    assert names(tmp_path) == ["val"]
