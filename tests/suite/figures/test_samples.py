"""The sheets of a data set's images."""

import os
import pathlib

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from lightlayers.suite import datasets
from lightlayers.suite.figures import samples
from lightlayers.suite.store import Store

OUTPUTS = pathlib.Path(__file__).parents[3] / "outputs"


def test_samples_shows_one_image_of_each_class():
    images, labels = np.zeros((4, 2, 2, 1), "uint8"), np.array([0, 1, 1, 0])
    data = datasets.Data(images, labels, images, labels)
    figure = samples.class_samples(data, ["zero", "one"], count=2)
    assert [axis.get_title() for axis in figure.axes] == ["zero", "one"]
    plt.close("all")


def test_a_class_that_few_images_lack_has_an_empty_place():
    data = datasets.load("digits").limited(3, 3)
    figure = samples.class_samples(data, datasets.get("digits").labels)
    shown = [bool(axis.images) for axis in figure.axes]
    assert len(shown) == 10 and sum(shown) == len(set(data.y_train)) <= 3
    plt.close(figure)


def test_contact_sheet_needs_the_data_only_once(tmp_path, monkeypatch):
    file = samples.contact_sheet("digits", Store(tmp_path))
    assert file.read_bytes().startswith(b"\x89PNG") and not plt.get_fignums()
    monkeypatch.setattr(datasets, "load", lambda name: pytest.fail("the data was asked for"))
    assert samples.contact_sheet("digits", Store(tmp_path)) == file


@pytest.mark.parametrize("dataset", datasets.NAMES)
def test_the_sheet_has_the_first_test_images(dataset, tmp_path):
    sheet = OUTPUTS / "figures" / f"{dataset}-shown.png"
    assert sheet.stat().st_size < 50_000
    folder = os.environ.get(datasets.VARIABLE, "nowhere")
    if dataset != "digits" and not pathlib.Path(folder, f"{dataset}.npz").exists():
        pytest.skip(f"{dataset} is not in {datasets.VARIABLE}")
    fresh = samples.shown_sheet(dataset, Store(tmp_path))
    data = datasets.load(dataset)
    for file in (sheet, fresh):
        with Image.open(file) as picture:
            assert picture.text["labels"].split() == [str(label) for label in data.y_test[:16]]
            pixels = np.asarray(picture)
        side = pixels.shape[0]
        for i, image in enumerate(data.x_test[:16]):
            assert (pixels[:, i * side : (i + 1) * side] == image.squeeze()).all()
