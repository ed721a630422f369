"""What the small copies of CIFAR-10 and MNIST in ``conftest.py`` are made of."""

import numpy as np
from PIL import Image

TRAIN, TEST = 100, 10  # how many images they hold: ten and one a class


def save_image(file, array, **options):
    """Write an array [H, W] or [H, W, C] as an image file, with the folders it needs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file, **options)
    return file


def plain(red, green, blue, size=(32, 32)):
    """A picture of one colour, uint8 [H, W, 3]."""
    return np.full((*size, 3), (red, green, blue), dtype=np.uint8)
