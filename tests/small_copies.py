"""What the small copies of CIFAR-10 and MNIST in ``conftest.py`` are made of."""

from PIL import Image

TRAIN, TEST = 100, 10  # how many images they hold: ten and one a class


def save_image(file, array, **options):
    """Write an array [H, W] or [H, W, C] as an image file, with the folders it needs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file, **options)
    return file
