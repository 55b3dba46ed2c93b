"""What do the families of generative networks draw of the same digits, how well, and at what cost?

`python -m benchmarks.bench_generation --runs DIR` scores the runs of the digits recipes below `DIR`, as
`lightning-cv fit RECIPE --run-dir DIR/RECIPE/ID` leaves them, and trains those that are not there (seed 0, about a
quarter of an hour of one core for all). `--picture FILE` writes the first 20 samples of each, a row a network.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.utils import make_grid

from benchmarks.report import print_table
from lightning_cv.contracts import Density, GenerativeNetwork, Stage
from lightning_cv.data import Digits
from lightning_cv.errors import UserError
from lightning_cv.metrics.sample_quality import frechet_distance, kernel_distance, precision_and_recall
from lightning_cv.networks.features import TrainedFeatures
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.pictures.sheet import enlarged
from lightning_cv.pictures.text import font
from lightning_cv.recipe.shipped import shipped
from lightning_cv.record.progress import read_progress
from lightning_cv.run import load_task
from lightning_cv.run.quiet import quiet_libraries

FAMILIES = {  # recipes in the order of the table; others of digits follow, by their names
    "digits_pixelcnn": "PixelCNN",
    "digits_pixel_transformer": "pixel transformer",
    "digits_pixelrnn": "PixelRNN",
    "digits_nade": "NADE",
    "digits_made": "MADE",
    "digits_conv_vae": "VAE of convolutions",
    "digits_vae": "VAE",
    "digits_vqvae": "VQ-VAE",
    "digits_multiscale_vqvae": "VQ-VAE-2",
    "digits_gsn": "GSN",
    "digits_rbm": "RBM (black and white)",
    "digits_dcgan": "DCGAN",
    "digits_wgan_gp": "WGAN-GP",
    "digits_style": "StyleGAN",
    "digits_ddpm": "DDPM",
    "digits_ddpm_of_class": "DDPM",
    "digits_flow_matching": "flow matching",
    "digits_latent_diffusion": "latent diffusion",
    "digits_dit": "DiT",
    "digits_kl_autoencoder": "KL autoencoder",
}
OTHERS = ("digits_before_control", "digits_control_net")  # which draw to show something else
CPU_FILE = "cpu_s"  # in the folder of a run: seconds that its training took
SHOWN = 20
_TILE_PX, _WORDS_PX = 40, 240


@dataclass(frozen=True)
class Row:
    """What is known of one network, or of a set of images in its place.

    Args:
        name: of the family.
        images: (N, 1, 8, 8) in [0, 1], of the classes in turn where it is told the class.
        is_told: whether it is.
        words: the cells that no image tells: bits/dim, seconds to train, seconds for 64 images.
    """

    name: str
    images: Tensor
    is_told: bool = False
    words: tuple[str, str, str] = ("", "", "")


def digits() -> Digits:
    """The data of every recipe, set up."""
    data = Digits(size_px=8, batch_size=64, normalize=False)
    data.setup("fit")
    data.setup("test")
    return data


def split(data: Digits, stage: Stage) -> Tensor:
    """All images of a split (N, 1, 8, 8) in [0, 1]."""
    images = cast(Tensor, data.split(stage).images)  # type: ignore[attr-defined]
    return images.float() / 255


def find_run(name: str, folders: Sequence[Path]) -> Path | None:
    """The newest run of a recipe that has a best snapshot."""
    runs = {best.parent.parent for folder in folders for best in folder.glob(f"{name}/*/checkpoints/best-*.ckpt")}
    return max(runs, key=lambda run: run.stat().st_mtime, default=None)


def train(recipe: Path, folder: Path) -> Path:
    """Train with the recipe's seed in a process of its own, and note its CPU seconds.

    Raises:
        UserError: it did not end well.
    """
    run = folder / recipe.stem / "benchmark"
    before = os.times()
    command = ["-m", "lightning_cv", "fit", str(recipe), "--test", "--run-dir", str(run)]
    done = subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise UserError(f"{recipe.stem}: training ended with status {done.returncode}")
    after = os.times()
    took = after.children_user + after.children_system - before.children_user - before.children_system
    (run / CPU_FILE).write_text(f"{took:.0f}\n")
    return run


@torch.no_grad()
def draw(network: GenerativeNetwork, count: int) -> Tensor:
    """Samples of the classes in turn, where it is told the class."""
    index = torch.arange(count)
    parts = []
    for part in index.split(250):
        labels = None if network.num_classes is None else part % network.num_classes
        parts.append(network.sample(OwnDraws.of_indices(part), labels).float())
    return torch.cat(parts)


def row_of(name: str, run: Path, count: int) -> Row | None:
    """What a run draws, and what it cost; None: it has no samples of these digits."""
    network: Any = load_task(run).scored_network
    if getattr(network, "density", Density.NONE) == Density.NONE or tuple(network.image) != (1, 8, 8):
        return None
    network = cast(GenerativeNetwork, network.eval())
    draw(network, 64)
    start = time.process_time()
    draw(network, 64)
    took = time.process_time() - start
    tests = [event["metrics"] for event in read_progress(run / "progress.jsonl") if event["event"] == "test"]
    bits = tests[-1].get("test/bits_per_dim") if tests else None
    noted = run / CPU_FILE
    words = (
        "" if bits is None else f"{bits:.3f}",
        f"{noted.read_text().strip()} s" if noted.is_file() else "",
        f"{took:.2f} s" if took >= 0.005 else "below 0.01 s",
    )
    is_told = network.num_classes is not None
    shown = FAMILIES.get(name, name.removeprefix("digits_")) + (", of a class" if is_told else "")
    return Row(shown, draw(network, count), is_told, words)


def scores(row: Row, real: Tensor, features: TrainedFeatures) -> tuple[str, ...]:
    """The cells of a row."""
    with torch.no_grad():
        seen = features(row.images)
        accuracy = ""
        if row.is_told:
            right = features.scores(row.images).argmax(1) == torch.arange(len(row.images)) % 10
            accuracy = f"{right.double().mean():.3f}"
    precision, recall = precision_and_recall(real, seen)
    bits, training, sampling = row.words
    distances = f"{frechet_distance(real, seen):.2f}", f"{kernel_distance(real, seen):.3f}"
    return row.name, *distances, f"{precision:.2f}", f"{recall:.2f}", accuracy, bits, training, sampling


def picture(rows: Sequence[Row]) -> Image.Image:
    """The first samples of each, a row a network, with its name."""
    factor = _TILE_PX // 8
    images = torch.cat([enlarged(row.images[:SHOWN], factor) for row in rows])
    sheet = make_grid(list(images), nrow=SHOWN, padding=2, pad_value=245)
    drawn = Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy())
    whole = Image.new("RGB", (_WORDS_PX + drawn.width, drawn.height), (245, 245, 245))
    whole.paste(drawn, (_WORDS_PX, 0))
    write = ImageDraw.Draw(whole)
    for place, row in enumerate(rows):
        write.text((8, place * (_TILE_PX + 2) + _TILE_PX // 2 - 6), row.name, fill="black", font=font(15))
    return whole


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Every network that has samples; what cannot be trained or read is told and left out."""
    recipes = {recipe.name: recipe.path for recipe in shipped() if recipe.task == "generate"}
    recipes = {name: path for name, path in recipes.items() if name.startswith("digits_")}
    for name in dict.fromkeys([*FAMILIES, *sorted(recipes)]):
        if name not in recipes or name in OTHERS:
            continue
        try:
            run = find_run(name, options.runs)
            if run is None and not options.given:
                run = train(recipes[name], options.runs[0])
            row = row_of(name, run, options.num) if run is not None else None
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if row is not None:
            print(f"drawn: {row.name}, of {run}", file=sys.stderr, flush=True)
            yield row


def main() -> None:
    """Print the table, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path("runs")], help="folders with runs, by recipe")
    parser.add_argument("--given", action="store_true", help="train nothing: only runs that are there")
    parser.add_argument("--num", type=int, default=1000, help="samples that are scored")
    parser.add_argument("--picture", type=Path, help="where to write the samples")
    options = parser.parse_args()
    torch.set_num_threads(1)
    quiet_libraries()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    data = digits()
    features = TrainedFeatures()
    features.fit_images(data.training_images)
    with torch.no_grad():
        real = features(split(data, Stage.TEST))
    noise = torch.rand(options.num, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    drawn = list(rows(options))
    table = [Row("training digits: the floor", split(data, Stage.TRAIN)), *drawn, Row("noise: the ceiling", noise)]
    header = ("network", "FID", "KID", "precision", "recall", "class accuracy", "bits/dim", "training", "64 images")
    print_table(
        "Families of generative networks on digits",
        header,
        [scores(row, real, features) for row in table],
        how=f"{options.num} samples of seed 0 against the {len(real)} test digits, by {features.name}; one run each;"
        " CPU seconds of one core, training with start and test.",
    )
    if options.picture is not None:
        picture([Row("digits of the test split", split(data, Stage.TEST)), *drawn]).save(options.picture)


if __name__ == "__main__":
    main()
