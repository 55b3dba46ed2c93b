"""The verb that draws new images from a run: what it writes, whatever the batch, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_cv.cli.main import main
from lightning_cv.contracts import Stage
from lightning_cv.data import Digits
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.run import load_task
from tests.run.trained import trained_runs

RECIPE = """
seed_everything: 0
model:
  class_path: lightning_cv.tasks.Generate
  init_args:
    network:
      {class_path: lightning_cv.networks.generate.NETWORK}
    optimizer:
      class_path: torch.optim.SGD
      init_args: {lr: 0.01}
data:
  class_path: lightning_cv.data.Digits
  init_args: {batch_size: 64}
trainer: {max_steps: 3, logger: false, accelerator: cpu}
"""


CAPTIONS = [f"{size} {number}" for size in ("small", "large") for number in range(5)]
NETWORKS = {
    "made": "Made, init_args: {image: [1, 8, 8], levels: 17, num_classes: 10, widths: [16]}",
    "captions": "VqVae, init_args: {num_classes: 10, num_codes: 8, width: 8, prior: {class_path: "
    "lightning_cv.networks.generate.CaptionedCodes, init_args: {image: [1, 4, 4], levels: 8, num_classes: 10, "
    f"captions: [{', '.join(CAPTIONS)}], width: 8, num_heads: 2}}}}}}",
    "vae": "MlpVae, init_args: {image: [1, 8, 8], num_latents: 3, width: 16}",
    "diffusion": "Diffusion, init_args: {denoiser: {class_path: lightning_cv.networks.generate.UNet, init_args: {"
    "image: [1, 8, 8], num_classes: 10, widths: [8, 8], blocks_per_level: 1}}, "
    "sampling: {sampler: ddpm, steps: 6}}",
    "control": "ControlledDiffusion, init_args: {diffusion: {class_path: lightning_cv.networks.generate.Diffusion, "
    "init_args: {denoiser: {class_path: lightning_cv.networks.generate.ConditionUNet, init_args: {"
    "image: [1, 8, 8], widths: [8, 8], blocks_per_level: 1}}, levels: null, sampling: {sampler: ddim, steps: 3}}}}",
    "conditional_vae": "MlpVae, init_args: {image: [1, 8, 8], num_latents: 3, width: 16, num_classes: 10}",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """The folders of runs that were trained for a few steps."""
    recipes = {name: RECIPE.replace("NETWORK", network) for name, network in NETWORKS.items()}
    recipes["control"] = recipes["control"].replace("lr: 0.01", "lr: 10")  # what follows a control starts at zero
    return trained_runs(tmp_path_factory.mktemp("trained"), recipes)


@pytest.fixture
def run(runs) -> Path:
    """One that has no latent vectors."""
    return runs["made"]


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_samples_are_the_same_whatever_the_batch(run, tmp_path, capsys):
    """row 242: N files and a grid, in any batches the same bytes; another seed draws others."""
    for name, options in {"one": ["--batch-size", "7"], "two": [], "other": ["--seed=1"]}.items():
        assert main(["sample", str(run), "--num", "12", "--out", str(tmp_path / name), *options]) == 0
    one, two = written(tmp_path / "one" / "seed-0"), written(tmp_path / "two" / "seed-0")
    assert one == two
    assert len(one) == 13
    other = written(tmp_path / "other" / "seed-1")
    assert other.keys() == one.keys()
    assert sum(other[name] == one[name] for name in one) == 0
    image = np.asarray(Image.open(tmp_path / "one" / "seed-0" / "0003.png"))
    assert image.shape == (8, 8)
    assert np.abs(image / 255 * 16 - np.round(image / 255 * 16)).max() < 0.04
    out = capsys.readouterr().out
    assert "12 of " in out
    assert "grid.png" in out


def test_a_class_is_asked_for_by_number_or_name(run, tmp_path):
    """row 231: the same images by either; those of another class are others."""
    for name, label in {"number": "3", "name": "3", "other": "4"}.items():
        assert main(["sample", str(run), "--num=4", f"--class={label}", "--out", str(tmp_path / name)]) == 0
    assert written(tmp_path / "number" / "seed-0-class-3") == written(tmp_path / "name" / "seed-0-class-3")
    assert written(tmp_path / "other" / "seed-0-class-4") != written(tmp_path / "number" / "seed-0-class-3")


def test_a_caption_is_drawn(runs, tmp_path):
    """row 246: that of a class gives its images, and new ones may be made of known words."""
    for name, options in {
        "class": ["--class=1"],
        "text": ["--caption", "small 1"],
        "new": ["--caption=1 large"],
    }.items():
        assert main(["sample", str(runs["captions"]), "--num=4", "--out", str(tmp_path / name), *options]) == 0
    of_class, of_text, new = (
        written(tmp_path / folder)
        for folder in ("class/seed-0-class-1", "text/seed-0-caption-small-1", "new/seed-0-caption-1-large")
    )
    assert of_class == of_text
    assert of_class.keys() == new.keys()


def test_samples_lie_in_the_folder_of_the_run(run):
    assert main(["sample", str(run), "--num=2"]) == 0
    assert len(written(run / "samples" / "seed-0")) == 3
    assert load_task(run).network.num_classes == 10


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "sample needs one RUN"),
        (["RUN", "--nmu=4"], "did you mean --num"),
        (["RUN", "--num"], "--num needs a value"),
        (["RUN", "--num=0"], "--num 0: give a whole number, 1 or more"),
        (["RUN", "--seed=x"], "--seed x: give a whole number, 0 or more"),
        (["RUN", "--interpolate", "1"], "--interpolate needs 2 values"),
        (["RUN", "--edit=1", "--interpolate", "1", "2"], "exclude each other"),
        (["RUN", "--edit=1", "--class=2"], "exclude each other"),
        (["RUN", "--class=10"], "allowed are 0 to 9"),
        (["RUN", "--class=cat"], "no class of the data"),
        (["RUN", "--edit=0"], "Made finds no latent vectors of images"),
        (["RUN", "--interpolate", "0", "1"], "Made finds no latent vectors of images"),
        (["RUN", "--walk=3"], "Made has no latent vectors"),
        (["RUN", "--walk=1"], "--walk 1: give a whole number, 2 or more"),
        (["RUN", "--walk=3", "--num=3"], "--num is for new images"),
        (["RUN", "--walk=3", "--directions=3"], "exclude each other"),
        (["RUN", "--directions=3"], "Made has no short latent vectors"),
        (["RUN", "--directions=0"], "--directions 0: give a whole number, 1 or more"),
        (["RUN", "--steps=0"], "--steps 0: give a whole number, 1 or more"),
        (["RUN", "--steps=4"], "--steps: Made does not draw in steps"),
        (["RUN", "--sampler=ddim"], "--sampler: Made does not draw in steps"),
        (["RUN", "--guidance=-1"], "--guidance -1: give a number, 0 or more"),
        (["RUN", "--guidance=x"], "--guidance x: give a number, 0 or more"),
        (["RUN", "--trajectory=yes"], "--trajectory takes no value"),
        (["RUN", "--trajectory", "--num=1"], "--trajectory: Made does not draw in steps"),
        (["RUN", "--caption=a 3"], "Made reads no text"),
        (["RUN", "--caption=a 3", "--class=3"], "exclude each other"),
        (["RUN", "--control=3", "--caption=3"], "exclude each other"),
        (["RUN", "--control=3"], "Made follows no image"),
        (["nowhere"], "no such file or run folder"),
    ],
)
def test_a_mistake_costs_one_line(run, capsys, options, says):
    assert main(["sample", *[str(run) if option == "RUN" else option for option in options]]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].startswith("error: ")
    assert says in error[0]


def test_an_image_is_edited_one_latent_number_a_row(runs, tmp_path, capsys):
    """row 243: seven images a row, the same for a number of the test split and for a file of that image."""
    data = Digits(size_px=8)
    data.setup("test")
    image = data.split(Stage.TEST)[5][0]
    Image.fromarray(image[0].numpy()).save(tmp_path / "five.png")
    for which in ("5", "five.png"):
        assert main(["sample", str(runs["vae"]), "--edit", which, "--out", "out"]) == 0
    number, file = written(tmp_path / "out" / "edit-5"), written(tmp_path / "out" / "edit-five")
    assert len(number) == 1 + 3 * 7
    assert number == file
    assert "3 of 3 latent numbers" in capsys.readouterr().out
    network = load_task(runs["vae"]).network
    with torch.no_grad():
        latents = network.encode(image[None] / 255).mean
        latents[0, network.encode(image[None] / 255).std[0].argmin()] = -3
        expected = network.decode(latents)[0, 0]
    shown = np.asarray(Image.open(tmp_path / "out" / "edit-5" / "0000.png")) / 255
    assert np.abs(shown - expected.numpy()).max() < 1 / 255


def test_the_way_between_two_images_starts_and_ends_with_their_codes(runs, tmp_path):
    """row 243: ten steps; of a conditional network that of the first image's class."""
    for name in ("vae", "conditional_vae"):
        assert main(["sample", str(runs[name]), "--interpolate", "0", "7", "--out", name]) == 0
        files = sorted((tmp_path / name / "interpolate-0-7").glob("0*.png"))
        assert len(files) == 10
        data = Digits(size_px=8)
        data.setup("test")
        items = [data.split(Stage.TEST)[number] for number in (0, 7)]
        network = load_task(runs[name]).network
        labels = items[0][1].expand(2) if network.num_classes else None
        with torch.no_grad():
            expected = network.reconstruct(torch.stack([item[0] for item in items]) / 255, labels)
        for file, image in zip((files[0], files[-1]), expected, strict=True):
            assert np.abs(np.asarray(Image.open(file)) / 255 - image[0].numpy()).max() < 1 / 255


@pytest.mark.parametrize("name", ["vae", "conditional_vae"])
def test_a_walk_leads_through_the_images_of_its_points(runs, tmp_path, name):
    """row 251: a moving picture and a file a frame, of which the first is what the first point is decoded to."""
    command = ["sample", str(runs[name]), "--walk", "3", "--out", name, "--batch-size"]
    assert main([*command, "64"]) == 0
    folder = next((tmp_path / name).iterdir())
    with Image.open(folder / "walk.gif") as moving:
        assert moving.n_frames == 3 * 16
    shown = written(folder)
    network = load_task(runs[name]).network.eval()
    latents = OwnDraws.of_indices(torch.arange(3)).normal(3)[:1]
    with torch.no_grad():
        expected = network.decode(latents, None if name == "vae" else torch.zeros(1, dtype=torch.int64))[0, 0]
    assert np.abs(np.asarray(Image.open(folder / "0000.png")) / 255 - expected.numpy()).max() < 1 / 255
    assert main([*command, "7"]) == 0
    assert written(folder).keys() == shown.keys()


def test_directions_are_shown_a_row_each(runs, tmp_path, capsys):
    """row 252: seven images a direction, of which the one in the middle is the same in all; as many as there are."""
    assert main(["sample", str(runs["vae"]), "--directions", "5", "--out", "out"]) == 0
    assert "along 3 directions, found by weights of the first layers" in capsys.readouterr().out
    files = written(tmp_path / "out" / "seed-0-directions-5")
    assert len(files) == 1 + 3 * 7
    assert files["0003.png"] == files["0010.png"] == files["0017.png"] != files["0000.png"]


def test_a_diffusion_draws_as_it_is_told(runs, tmp_path, capsys):
    """rows 257, 259: method, steps and guidance are those of the command line, else those of the recipe."""
    seen = {}
    for name, options in {
        "recipe": [],
        "same": ["--sampler=ddpm", "--steps=6", "--guidance=1"],
        "ddim": ["--sampler", "ddim"],
        "fewer": ["--steps=3"],
        "guided": ["--guidance=4"],
    }.items():
        assert main(["sample", str(runs["diffusion"]), "--num=4", "--out", name, *options]) == 0
        seen[name] = written(next((tmp_path / name).iterdir()))
        manner = {"ddim": "(ddim, 6 steps", "fewer": "(ddpm, 3 steps", "guided": "guidance 4)"}.get(name, "(ddpm, 6")
        assert manner in capsys.readouterr().out
    assert seen.pop("same") == seen["recipe"]
    assert len({file["grid.png"] for file in seen.values()}) == 4


def test_edges_of_a_given_image_are_followed(runs, tmp_path):
    """row 265: by its number or a file of it the same images; without it, or by another's, others."""
    data = Digits(size_px=8)
    data.setup("test")
    Image.fromarray(data.split(Stage.TEST)[5][0][0].numpy()).save(tmp_path / "five.png")
    controls = {"number": ["--control=5"], "file": ["--control=five.png"], "other": ["--control=6"], "none": []}
    for name, options in controls.items():
        assert main(["sample", str(runs["control"]), "--num=4", "--out", name, *options]) == 0
    grids = {name: written(next((tmp_path / name).iterdir()))["grid.png"] for name in controls}
    assert grids.pop("number") == grids["file"]
    assert len(set(grids.values())) == 3


def test_the_way_out_of_noise_is_a_moving_picture(runs, tmp_path):
    """row 256: the noise, and what comes of it after each of six steps; the files of the images are the same."""
    for name, options in {"plain": [], "moving": ["--trajectory"]}.items():
        assert main(["sample", str(runs["diffusion"]), "--num=4", "--out", name, *options]) == 0
    plain, moving = (written(tmp_path / name / "seed-0") for name in ("plain", "moving"))
    with Image.open(tmp_path / "moving" / "seed-0" / "trajectory.gif") as trajectory:
        assert trajectory.n_frames == 7
        trajectory.seek(6)
        last = np.asarray(trajectory.convert("L")).astype(int)
    grid = np.asarray(Image.open(tmp_path / "plain" / "seed-0" / "grid.png").convert("L")).astype(int)
    assert np.array_equal(last, grid)
    assert moving.pop("trajectory.gif")
    assert plain == moving


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("diffusion", ["--sampler=euler"], "sampler is euler; allowed of Diffusion: ddpm, ddim, dpm_solver"),
        ("diffusion", ["--steps=1001"], "allowed of this Diffusion: 1 to 1000"),
        ("diffusion", ["--directions=2"], "Diffusion has no short latent vectors"),
        ("vae", ["--edit", "9999"], "the test split has images 0 to"),
        ("vae", ["--edit", "nothing.png"], "no such file, nor the number of a test image"),
        ("captions", ["--caption", "small 7"], "'7' is unknown; allowed: 0, 1, 2, 3, 4, large, small"),
        ("vae", ["--class", "1"], "the network of this run is not conditional"),
        ("conditional_vae", ["--edit", "five.png"], "give the number of a test image"),
    ],
)
def test_a_wrong_image_costs_one_line(runs, tmp_path, capsys, name, options, says):
    Image.new("L", (8, 8)).save(tmp_path / "five.png")
    assert main(["sample", str(runs[name]), *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert says in error[0]
