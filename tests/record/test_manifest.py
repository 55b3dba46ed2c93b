"""Is every damage to the newest checkpoint found, and the one before it taken?"""

import hashlib
import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from lightning_cv.record.manifest import (
    describe,
    manifest_path,
    newest_valid,
    problem_of,
    read_manifest,
    write_manifest,
)

RECIPE = "a" * 64


def save(folder: Path, step: int, recipe: str | None = RECIPE) -> Path:
    """A checkpoint as training writes it: weights, optimizer, plain values."""
    path = folder / f"last-epoch000-step{step:06d}.ckpt"
    generator = torch.Generator().manual_seed(step)
    weights = {f"layer{i}": torch.randn(16, 16, generator=generator) for i in range(4)}
    torch.save({"state_dict": weights, "global_step": step, "name": "x" * 300}, path)
    write_manifest(path, describe(path, epoch=0, step=step, run_id="abc", recipe_sha256=recipe))
    return path


@pytest.fixture
def files(tmp_path):
    """Two whole checkpoints: (older, newest)."""
    return save(tmp_path, 1), save(tmp_path, 2)


def damages() -> dict[str, object]:
    """Name -> what is done to the newest file (a path)."""
    draw = random.Random(1)  # noqa: S311 - no secret
    found: dict[str, object] = {}

    def change(name, edit):
        found[name] = lambda path: path.write_bytes(edit(path.read_bytes()))

    for share in (0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999):
        change(f"cut to {share}", lambda data, share=share: data[: int(len(data) * share)])
    for number in (1, 2, 22, 64):
        change(f"without the last {number} bytes", lambda data, number=number: data[:-number])
    for trial in range(70):
        place, bit = draw.random(), draw.randrange(8)
        change(f"bit {trial}", lambda data, place=place, bit=bit: _flipped(data, int(place * len(data)), bit))
    for trial in range(12):
        place, size = draw.random(), draw.choice([16, 64, 512])
        change(f"zeros {trial}", lambda data, place=place, size=size: _zeroed(data, int(place * len(data)), size))
    change("all zeros", lambda data: bytes(len(data)))
    change("first byte", lambda data: _flipped(data, 0, 0))
    change("last byte", lambda data: _flipped(data, len(data) - 1, 7))
    change("more behind it", lambda data: data + b"\0")
    change("twice", lambda data: data + data)
    change("other bytes", lambda data: draw.randbytes(len(data)))
    change("two parts exchanged", lambda data: data[len(data) // 2 :] + data[: len(data) // 2])
    for name, text in {
        "empty": "",
        "half": None,
        "no JSON": "{",
        "a list": "[]",
        "null": "null",
        "other fields": '{"a": 1}',
        "no bytes": "bytes",
        "text for a number": "order",
    }.items():
        found[f"manifest: {name}"] = lambda path, text=text: _spoil_manifest(manifest_path(path), text)
    found["manifest of a later step"] = lambda path: _edit_manifest(path, step=3)
    found["manifest of a later time"] = lambda path: _edit_manifest(path, order=1 << 62)
    found["manifest of its damage"] = lambda path: _edit_manifest(path, sha256=hashlib.sha256(b"").hexdigest())
    found["manifest missing"] = lambda path: manifest_path(path).unlink()
    found["manifest of the older file"] = lambda path: shutil.copy(
        manifest_path(path.with_name("last-epoch000-step000001.ckpt")), manifest_path(path)
    )
    found["not text"] = lambda path: manifest_path(path).write_bytes(b"\xff\xfe\x00")
    found["of another recipe"] = lambda path: write_manifest(
        path, describe(path, epoch=0, step=2, run_id="abc", recipe_sha256="b" * 64)
    )
    return found


def _flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def _zeroed(data: bytes, place: int, size: int) -> bytes:
    part = data[place : place + size]
    # Some places are zeros already: there, ones are the damage.
    other = b"\0" if any(part) else b"\1"
    return data[:place] + other * len(part) + data[place + size :]


def _edit_manifest(checkpoint: Path, **changes: object) -> None:
    path = manifest_path(checkpoint)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _spoil_manifest(path: Path, text: str | None) -> None:
    whole = path.read_text()
    if text is None:
        path.write_text(whole[: len(whole) // 2])
    elif text == "bytes":
        path.write_text(json.dumps({k: v for k, v in json.loads(whole).items() if k != "bytes"}))
    elif text == "order":
        path.write_text(json.dumps(json.loads(whole) | {"order": "1"}))
    else:
        path.write_text(text)


DAMAGES = damages()


def test_there_are_more_than_a_hundred_damages():
    assert len(DAMAGES) > 100


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found_and_the_older_file_taken(files, name):
    """One line names the file; the older file is untouched and loads."""
    older, newest = files
    assert newest_valid(newest.parent, recipe_sha256=RECIPE) == (newest, [])
    DAMAGES[name](newest)
    found, skipped = newest_valid(newest.parent, recipe_sha256=RECIPE)
    assert found == older
    assert len(skipped) == 1
    assert skipped[0].startswith(f"{newest}: ")
    assert "\n" not in skipped[0]
    assert torch.load(found, weights_only=True)["global_step"] == 1


def test_a_file_that_is_gone_is_not_taken(files):
    older, newest = files
    newest.unlink()
    assert newest_valid(newest.parent) == (older, [])


def test_without_any_whole_file_there_is_none_and_each_is_named(files):
    for path in files:
        path.write_bytes(b"")
    found, skipped = newest_valid(files[0].parent)
    assert found is None
    assert len(skipped) == 2


def test_a_file_written_later_is_newer_whatever_its_step_and_the_clock(files, monkeypatch):
    """A run that went back to step 1 and trained on: its file is the newest, also if the clock went back too."""
    older, newest = files
    monkeypatch.setattr("time.time_ns", lambda: 5)
    again = save(older.parent, 1)
    assert again == older
    assert newest_valid(older.parent) == (older, [])
    assert read_manifest(older).order > read_manifest(newest).order


def test_a_manifest_says_what_it_was_given(files):
    """Oracle: sizes and hashes by the file system and by hashlib's one-shot call."""
    _, newest = files
    manifest = read_manifest(newest)
    assert manifest.bytes == newest.stat().st_size
    assert manifest.sha256 == hashlib.sha256(newest.read_bytes()).hexdigest()
    assert (manifest.epoch, manifest.step, manifest.run_id, manifest.recipe_sha256) == (0, 2, "abc", RECIPE)


def test_a_file_of_an_unknown_recipe_may_be_used_by_any(tmp_path):
    path = save(tmp_path, 1, recipe=None)
    assert problem_of(path, recipe_sha256=RECIPE) is None
    assert problem_of(path) is None


def test_other_things_in_the_folder_are_left_alone(files):
    """Folders, links to nowhere, temporary and foreign files are no checkpoints."""
    older, newest = files
    (older.parent / "folder.ckpt").mkdir()
    (older.parent / "nowhere.ckpt").symlink_to("missing")
    (older.parent / ".last-epoch000-step000009.ckpt.host~1.tmp").touch()
    (older.parent / "notes.txt").touch()
    assert newest_valid(older.parent) == (newest, [])
    (older.parent / "link.ckpt").symlink_to(newest)
    shutil.copy(manifest_path(newest), manifest_path(older.parent / "link.ckpt"))
    os.mkfifo(older.parent / "pipe.ckpt")
    assert newest_valid(older.parent) == (newest, [])


def test_a_folder_that_is_not_there_has_none(tmp_path):
    assert newest_valid(tmp_path / "missing") == (None, [])


def test_only_names_that_fit_the_pattern_count(files):
    older, newest = files
    best = newest.rename(newest.with_name("best-epoch000-step000002.ckpt"))
    manifest_path(newest).rename(manifest_path(best))
    assert newest_valid(older.parent, "last-*.ckpt") == (older, [])
    assert newest_valid(older.parent, "best-*.ckpt") == (best, [])
    assert newest_valid(older.parent) == (best, [])


def test_exchanged_manifests_are_found_on_both_files(files):
    """Also where the sizes are the same; a third file is taken."""
    older, newest = files
    third = save(older.parent, 3)
    manifests = manifest_path(newest).read_bytes(), manifest_path(third).read_bytes()
    manifest_path(third).write_bytes(manifests[0])
    manifest_path(newest).write_bytes(manifests[1])
    found, skipped = newest_valid(older.parent)
    assert found == older
    assert len(skipped) == 2
    assert all("damaged" in line for line in skipped)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:1234]), "damaged: 1,234 of "),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "damaged: its content is not what was written"),
        (lambda path: manifest_path(path).unlink(), "no manifest: its writing was not finished"),
        (lambda path: manifest_path(path).write_text("{"), "its manifest is damaged"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: (path.unlink(), path.mkdir()), "not a file"),
        (lambda path: (manifest_path(path).unlink(), manifest_path(path).mkdir()), "its manifest cannot be read (Is a"),
    ],
)
def test_the_reason_says_what_is_wrong(files, damage, reason):
    damage(files[1])
    assert problem_of(files[1]).startswith(reason)


def test_the_reason_of_another_recipe_is_that(files):
    assert problem_of(files[1], recipe_sha256="c" * 64) == "belongs to another recipe"


def test_every_flipped_bit_of_a_manifest_is_found(tmp_path):
    """All of them, one after the other: none is read as another manifest, nor as the same."""
    path = save(tmp_path, 1)
    whole = manifest_path(path).read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            manifest_path(path).write_bytes(_flipped(whole, place, bit))
            with pytest.raises(ValueError, match="its manifest is damaged"):
                read_manifest(path)


def test_a_file_that_was_not_finished_long_ago_is_not_told_of(files):
    """A line is for what is newer than the file that is taken."""
    unfinished = files[0].parent / "last-epoch000-step000000.ckpt"
    unfinished.write_bytes(b"half")
    os.utime(unfinished, ns=(0, 0))
    assert newest_valid(files[0].parent) == (files[1], [])


def test_a_manifest_of_two_contents_is_right_for_either_and_for_no_third(files):
    """While a file takes the name of another, its manifest knows both; so a crash in between costs neither."""
    older, newest = files
    contents = newest.read_bytes(), older.read_bytes()
    before, after = read_manifest(newest), read_manifest(older)
    write_manifest(newest, after, replaces=before)
    assert problem_of(newest) is None
    assert read_manifest(newest) == before
    newest.write_bytes(contents[1])
    assert problem_of(newest) is None
    assert read_manifest(newest) == after
    newest.write_bytes(contents[0][:-1] + b"?")
    assert problem_of(newest) is not None


def test_the_time_in_a_manifest_is_iso_8601_in_utc(files):
    from datetime import UTC, datetime

    written = datetime.fromisoformat(read_manifest(files[1]).written)
    assert written.utcoffset() == datetime.now(UTC).utcoffset()
