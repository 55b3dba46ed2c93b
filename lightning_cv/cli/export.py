"""How does a user hand a trained diffusion to diffusers?"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from lightning_cv.cli.words import read_words
from lightning_cv.errors import DONE, UserError
from lightning_cv.recipe.request import ExportRequest

HELP = """\
usage: lightning-cv export RUN --out DIR [--allow-code PACKAGE]

Write the network of a run (its folder, or a checkpoint in it; of averaged and trained weights those that its scores
are of) as a folder that diffusers.DiffusionPipeline.from_pretrained loads: configuration as JSON, weights as
safetensors. From the same noise it draws the same images. What can be exported: Diffusion, FlowMatching and
LatentDiffusion with a UNet.

A diffusion without classes is diffusers' own DDIMPipeline. Of the others the folder holds a short pipeline.py, which
diffusers runs where it is given trust_remote_code=True; their unet and scheduler load without it too.

  --out DIR             where to write: a new folder, an empty one, or one of an earlier export
  --allow-code PACKAGE  a package of yours that the recipe may name; repeatable

examples:
  lightning-cv export runs/digits_ddpm/<run id> --out digits_ddpm"""

_OPTIONS = {"--out": 1, "--allow-code": 1}  # how many values follow each


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if {"-h", "--help"}.intersection(arguments):
        print(HELP)
        return DONE
    request = _request(arguments)
    for line in importlib.import_module("lightning_cv.run.exported.execute").execute(request):  # loads torch
        print(line)
    return DONE


def _request(arguments: Sequence[str]) -> ExportRequest:
    words, values = read_words("export", arguments, _OPTIONS, repeatable=list(_OPTIONS))
    folders = values.get("--out", [])
    if len(words) != 1:
        raise UserError(f"export needs one RUN: the folder of a run, or a checkpoint in it; {len(words)} given")
    if len(folders) != 1:
        raise UserError(f"export needs one --out DIR: the folder to write; {len(folders)} given")
    return ExportRequest(run=Path(words[0]), out=Path(folders[0]), allow_code=tuple(values.get("--allow-code", [])))
