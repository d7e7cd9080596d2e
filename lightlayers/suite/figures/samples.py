"""Pictures of a data set's images."""

import numpy as np

from lightlayers.suite import datasets
from lightlayers.suite.figures import style
from lightlayers.suite.files import write_file
from lightlayers.suite.training.record import SHOWN_IMAGES


def class_samples(data, names, count=10):
    """Returns a figure of the first training image of some classes.

    Args:
        data: A `datasets.Data`.
        names: Sequence of strings, the names of all classes.
        count: Integer, how many classes, evenly chosen. Defaults to `10`.
    """
    figure, axes = style.make_axes(count, height=1.4)
    for i, axis in enumerate(axes):
        label = i * len(names) // count
        images = data.x_train[data.y_train == label]
        if len(images):  # a small data set may lack a class
            axis.imshow(images[0].squeeze(), cmap="gray", interpolation="nearest")
        axis.set_title(names[label].replace("_", " "), fontsize=10)
        axis.axis("off")
    return figure


def contact_sheet(dataset, store):
    """Returns the path of a data set's sheet of samples, drawn from the data if it is missing.

    Args:
        dataset: String, one of `datasets.NAMES`.
        store: `Store`.

    Raises:
        datasets.DataError: If the sheet is missing and the data set can't be had.
    """
    target = store.figures / f"{dataset}-samples.png"
    if not target.exists():
        import matplotlib.pyplot as plt

        figure = class_samples(datasets.load(dataset), datasets.get(dataset).labels)
        style.save_figure(figure, store, target.stem)
        plt.close(figure)  # else a notebook shows it too, the first time
    return target


def shown_sheet(dataset, store):
    """Returns the path of the sheet of the test images that records keep probabilities of.

    The first test images stand in one row, pixel by pixel. The file's text `labels` has
    their labels. The sheet is written from the data if it is missing.

    Args:
        dataset: String, one of `datasets.NAMES`.
        store: `Store`.

    Raises:
        datasets.DataError: If the sheet is missing and the data set can't be had.
    """
    target = store.figures / f"{dataset}-shown.png"
    if not target.exists():
        from PIL import Image, PngImagePlugin

        data = datasets.load(dataset).limited(SHOWN_IMAGES, SHOWN_IMAGES)
        text = PngImagePlugin.PngInfo()
        text.add_text("labels", " ".join(map(str, data.y_test)))
        row = Image.fromarray(np.concatenate(list(data.x_test), axis=1).squeeze())
        write_file(target, lambda file: row.save(file, pnginfo=text, optimize=True))
    return target
