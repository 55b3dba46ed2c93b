"""What did the user ask for, as plain data that the command line hands to the run?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_cv.recipe.compose import Composed

Verb = Literal["fit", "validate", "test", "predict", "inspect"]


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One run.

    Args:
        verb: what to do.
        composed: the recipe, with overrides applied.
        name: of the run's parent folder and of the run in the tracker; the recipe's file name unless given.
        runs_dir: folder of all runs.
        run_dir: the folder of this run; None: a new one, `<runs_dir>/<name>/<run id>`. One that holds this run
            already lets `fit` go on with it.
        checkpoint: a checkpoint or the folder of a run; for `fit` a new run starts from it.
        test_after_fit: for `fit`: score the best snapshot on the test split afterwards.
        allow_code: packages beyond the usual ones that the recipe may name.
        print_config: print the complete recipe and end.
        images: for `predict`: a picture or a folder of pictures in place of the recipe's data.
        auto_batch: for `fit`: find how many samples fit in memory at once, and keep the recipe's batch.
        batch_memory: for `auto_batch`: bytes to use, of each GPU or of this machine's memory; None: nearly all.
        dataset: for `inspect`: tell of the data instead of the network.
        image: for `inspect`: C, H, W of the network's images; None: those of the data.
    """

    verb: Verb
    composed: Composed
    name: str
    runs_dir: Path = Path("runs")
    run_dir: Path | None = None
    checkpoint: Path | None = None
    test_after_fit: bool = False
    allow_code: tuple[str, ...] = ()
    print_config: bool = False
    images: Path | None = None
    auto_batch: bool = False
    batch_memory: int | None = None
    image: tuple[int, int, int] | None = None
    dataset: bool = False


@dataclass(frozen=True, kw_only=True)
class OptionsRequest:
    """A question about options: of the Trainer, or of a class that a recipe may name.

    Args:
        subject: the key of the recipe that is asked about.
        class_path: the class; None: what can stand there.
        allow_code: packages beyond the usual ones that may be named.
    """

    subject: Literal["trainer", "model", "data"]
    class_path: str | None = None
    allow_code: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """New images from the network of a run, or ones that its latent vectors change.

    Args:
        run: a run folder, or a checkpoint inside one.
        num: how many images, 1 or more.
        label: number or name of the class; None: the classes in turn.
        caption: what the images should show; None: no text.
        control: a picture file, or the number of a test image, whose edges the images follow; None: they are free.
        seed: other images for another one, 0 or more.
        batch_size: images drawn at once, 1 or more.
        edit: a picture file, or the number of a test image, whose latent numbers are changed.
        interpolate: two of these, between which to go.
        sampler: method of a network that draws in steps; None: that of its recipe.
        steps: how many, 1 or more; None: as many as its recipe says.
        guidance: weight of the class, 0 or more; None: that of its recipe.
        trajectory: whether to show the images on their way out of noise too.
        walk: latent vectors through which a closed path leads, 2 or more; None: no path.
        directions: latent directions to show, 1 or more; None: none.
        out: where to write; None: `samples` in the folder of the run.
        allow_code: packages beyond the usual ones that the recipe may name.
    """

    run: Path
    num: int = 64
    label: str | None = None
    caption: str | None = None
    control: str | None = None
    seed: int = 0
    batch_size: int = 64
    edit: str | None = None
    interpolate: tuple[str, str] | None = None
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    trajectory: bool = False
    walk: int | None = None
    directions: int | None = None
    out: Path | None = None
    allow_code: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """The network of a run as a folder of diffusers.

    Args:
        run: a run folder, or a checkpoint inside one.
        out: the folder to write.
        allow_code: packages beyond the usual ones that the recipe may name.
    """

    run: Path
    out: Path
    allow_code: tuple[str, ...] = ()
