"""Which image does a user mean who names a file, or a number?"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lightning_cv.contracts import IMAGE, INDEX, LABEL, Stage
from lightning_cv.errors import UserError
from lightning_cv.run.samples.loaded import Loaded


def given_image(loaded: Loaded, which: str) -> tuple[Tensor, Tensor | None]:
    """(1, C, H, W) in [0, 1] of a picture file or of the test image with this number, and its class (1,).

    As the data of the run give it to the network; a file has no class.

    Raises:
        UserError: there is no such image.
    """
    data = loaded.data
    data.prepare_data()
    is_number = which.isascii() and which.isdecimal()
    if is_number:
        data.setup("test")
        number = len(data.split(Stage.TEST))
        if int(which) >= number:
            raise UserError(f"image {which}: the test split has images 0 to {number - 1}")
        loader, wanted = data.test_dataloader(), int(which)
    else:
        if not Path(which).is_file():
            raise UserError(f"image {which}: no such file, nor the number of a test image")
        data.predict_from(Path(which))
        data.setup("predict")
        loader, wanted = data.predict_dataloader(), 0
    for batch in loader:
        if wanted in batch[INDEX].tolist():
            place = batch[INDEX].tolist().index(wanted)
            break
    info, values = data.info, data.on_after_batch_transfer(batch, 0)[IMAGE][place].float()
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (info.mean, info.std))
    image = (values * std + mean).clamp(0, 1)[None].to(loaded.device)
    label = batch[LABEL][place : place + 1].to(loaded.device) if is_number and LABEL in batch else None
    return image, label


def name_of(which: str) -> str:
    """The same in the name of a folder."""
    return which if which.isdecimal() else Path(which).stem
