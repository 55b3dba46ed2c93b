"""How does a user draw new images from a run of a generative network, or change images with it?"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path

from lightning_cv.cli.words import read_words
from lightning_cv.errors import DONE, UserError
from lightning_cv.recipe.request import SampleRequest

HELP = """\
usage: lightning-cv sample RUN [--num N] [--class CLASS | --caption TEXT] [--seed N]
                           [--sampler NAME] [--steps N] [--guidance W] [--trajectory]
       lightning-cv sample RUN --walk N | --directions N
       lightning-cv sample RUN --edit IMAGE
       lightning-cv sample RUN --interpolate IMAGE IMAGE

Draw new images from the network of a run (its folder, or a checkpoint in it; of averaged and trained weights those
that its scores are of), or change images by their latent vectors. IMAGE is a picture file, or the number of an image
of the test split.

  --num N             how many images (default: 64)
  --class CLASS       of a conditional network: number or name of the class (default: the classes in turn)
  --caption TEXT      of a network that reads text: what the images should show
  --control IMAGE     of a diffusion with a ControlNet: the image whose edges the new ones follow
  --seed N            other images for another number (default: 0)
  --batch-size N      images drawn at once (default: 64); the images are the same for every one
  --sampler NAME      of a diffusion: ddpm, ddim or dpm_solver; of a flow: euler or heun (default: that of the recipe)
  --steps N           of these: how many steps (default: those of the recipe)
  --guidance W        of these, if told the class: its weight; 1: as trained, 0: no class (default: that of the recipe)
  --trajectory        of these: also trajectory.gif, the images on their way out of noise
  --walk N            a closed path through N latent vectors: walk.gif, and each frame
  --directions N      the N directions in which images change most with the latent vector, a row each
  --edit IMAGE        change one latent number after another by -3 to 3 standard deviations: a row each
  --interpolate A B   go from one image to another in ten steps between their latent vectors
  --out DIR           where to write (default: samples in the folder of the run)
  --allow-code PACKAGE  a package of yours that the recipe may name; repeatable

Written are grid.png and each image in a file of its own; a command that is repeated writes the same bytes.

examples:
  lightning-cv sample runs/digits_pixelcnn/<run id> --num 64 --class 3
  lightning-cv sample runs/digits_ddpm_of_class/<run id> --sampler dpm_solver --steps 20 --guidance 2 --trajectory
  lightning-cv sample runs/digits_dcgan/<run id> --walk 8
  lightning-cv sample runs/shapes_text_to_image/<run id> --caption "red square"
  lightning-cv sample runs/digits_vae/<run id> --interpolate 0 7"""

# Option: how many values follow it.
_OPTIONS = {
    "--num": 1,
    "--class": 1,
    "--caption": 1,
    "--control": 1,
    "--seed": 1,
    "--batch-size": 1,
    "--sampler": 1,
    "--steps": 1,
    "--guidance": 1,
    "--trajectory": 0,
    "--walk": 1,
    "--directions": 1,
    "--edit": 1,
    "--interpolate": 2,
    "--out": 1,
    "--allow-code": 1,
}
# What is drawn instead of new images, and the options that mean nothing to it.
_NEW = ("--num", "--caption", "--control", "--trajectory")
_WAYS = ("--sampler", "--steps", "--guidance")
_MEANINGLESS = {
    "--edit": (*_NEW, *_WAYS, "--class", "--seed"),
    "--interpolate": (*_NEW, *_WAYS, "--class", "--seed"),
    "--walk": _NEW,
    "--directions": _NEW,
}


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if {"-h", "--help"}.intersection(arguments):
        print(HELP)
        return DONE
    request = _request(arguments)
    for line in importlib.import_module("lightning_cv.run.samples.execute").execute(request):  # loads torch
        print(line)
    return DONE


def _request(arguments: Sequence[str]) -> SampleRequest:
    words, values = read_words("sample", arguments, _OPTIONS, repeatable=["--allow-code"])
    if len(words) != 1:
        raise UserError(f"sample needs one RUN: the folder of a run, or a checkpoint in it; {len(words)} given")
    _refuse_contradictions(values)
    first, *second = values.get("--interpolate", [""])
    return SampleRequest(
        run=Path(words[0]),
        num=_number(values, "--num", least=1) or 64,
        label=values.get("--class", [None])[0],
        caption=values.get("--caption", [None])[0],
        control=values.get("--control", [None])[0],
        seed=_number(values, "--seed", least=0) or 0,
        batch_size=_number(values, "--batch-size", least=1) or 64,
        sampler=values.get("--sampler", [None])[0],
        steps=_number(values, "--steps", least=1),
        guidance=_weight(values, "--guidance"),
        trajectory="--trajectory" in values,
        walk=_number(values, "--walk", least=2),
        directions=_number(values, "--directions", least=1),
        edit=values.get("--edit", [None])[0],
        interpolate=(first, second[0]) if second else None,
        out=Path(values["--out"][0]) if "--out" in values else None,
        allow_code=tuple(values.get("--allow-code", [])),
    )


def _refuse_contradictions(values: dict[str, list[str]]) -> None:
    for option, other in (("--class", "--caption"), ("--caption", "--control"), ("--control", "--trajectory")):
        if option in values and other in values:
            raise UserError(f"{option} and {other} exclude each other")
    chosen = [option for option in _MEANINGLESS if option in values]
    if len(chosen) > 1:
        raise UserError(f"{chosen[0]} and {chosen[1]} exclude each other")
    for option in chosen:
        for other in _MEANINGLESS[option]:
            if other in values:
                raise UserError(f"{option} and {other} exclude each other: {other} is for new images")


def _number(values: dict[str, list[str]], option: str, *, least: int) -> int | None:
    if option not in values:
        return None
    text = values[option][0]
    if not (text.isascii() and text.isdecimal() and least <= int(text) < 2**31):
        raise UserError(f"{option} {text:.40}: give a whole number, {least} or more")
    return int(text)


def _weight(values: dict[str, list[str]], option: str) -> float | None:
    if option not in values:
        return None
    text = values[option][0]
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise UserError(f"{option} {text:.40}: give a number, 0 or more")
    return weight
