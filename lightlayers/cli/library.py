"""`lightlayers plan`, `convert`, `merge` and `export`: what to do with models of one's own.

They work with .keras files, and but for `export` need nothing of the suite's packages.
"""

import json
import pathlib
import re
import warnings

import click
import numpy as np

from lightlayers import ranks
from lightlayers.cli.options import parse_factor, parse_names, parse_positive
from lightlayers.suite import backend, datasets, exporting
from lightlayers.suite.files import write_file, write_text


def _load_model(file, compiled=False):
    keras = backend.load()
    from lightlayers import layers, normalization  # noqa: F401, their layers are then registered

    try:
        with warnings.catch_warnings():  # of an optimiser's state: the new model's is fresh
            warnings.filterwarnings("ignore", "Skipping variable loading")
            return keras.saving.load_model(file, compile=compiled)
    except Exception as error:
        raise ValueError(
            f"{file} can't be loaded as a Keras model: {_find_reason(error)}"
        ) from None


def _load_compiled_model(file):
    """Returns a model as it was compiled, or not compiled if that can't be loaded, and says so."""
    try:
        return _load_model(file, compiled=True)
    except ValueError as error:
        model = _load_model(file)
        print(f"{error}\nWithout what it was compiled with it can. The new model is not compiled.")
        return model


def _find_reason(error):
    """Returns the line of Keras' message that names what is wrong: the error in the others."""
    inner = re.split(r"Exception encountered: |Example error message.*:\n", str(error).strip())[-1]
    return inner.strip().partition("\n")[0].partition(" Full object config:")[0]


def _save_model(model, target):
    write_file(target, model.save)
    print(f"{target}: {model.count_params():,} parameters")


def _check_target(name, suffix, source):
    """Returns the path to write to. A wrong one is refused before the work, not after."""
    path = pathlib.Path(name)
    if path.suffix != suffix or not path.parent.is_dir():
        raise ValueError(f"--to must be a file {suffix} in an existing folder. Received: {name}")
    if path.resolve() == pathlib.Path(source).resolve():
        raise ValueError(f"--to must be another file than the model. Received: {name}")
    return path


@click.command()
@click.argument("model", metavar="MODEL.keras")
@click.option("--parameters", type=int, metavar="N", help="At most, of the whole model.")
@click.option("--macs", type=int, metavar="N", help="Multiply-adds at most, for one input.")
@click.option("--like", metavar="K=3", help="Parameters of the paper's network at that K.")
@click.option("--data", help="Data set of that network.")
@click.option("--rule", default="greedy", help=f"{', '.join(ranks.RULES)}.")
@click.option("--form", default="spatial", help="Of convolutions: spatial or channel.")
@click.option(
    "--exclude", type=parse_names, metavar="LAYERS", help="Layers to leave, such as conv1,a/*."
)
@click.option("--to", metavar="PLAN.json", help="Write it for `lightlayers convert`.")
def plan(model, parameters, macs, like, data, rule, form, exclude, to):
    """Prints the plan, a line for each layer with a kernel."""
    if (like is None) != (data is None):
        raise ValueError(
            "--like and --data belong together: the parameters that the paper's network for "
            f"that data set has. Received: --like {like} --data {data}"
        )
    budget = ranks.Budget(parameters=parameters, macs=macs, like=like).resolve(data)
    target = _check_target(to, ".json", model) if to else None
    loaded = _load_model(model)
    from lightlayers import conversion

    table = conversion.plan(loaded, budget, rule, form, exclude or [])
    if table.empty:
        raise ValueError(f"The model has no layer with a kernel. Received: {model}")
    _print_plan(table, loaded.count_params())
    if target:
        write_text(target, table.to_json(orient="records", indent=1))
        print(f"plan          {target}")
    return 0


def _print_plan(table, model_parameters):
    """Prints the layers of a plan, then the totals with and without it.

    Args:
        table: A `DataFrame`, see `conversion.plan`.
        model_parameters: Integer, those of the whole model as it is.
    """
    shown = table.drop(columns=["parameters before", "multiply-adds before"])
    print(shown.to_string(index=False, na_rep="-"))
    print()
    before = int(table["parameters before"].sum())
    others = model_parameters - before  # of layers without a kernel
    _print_total("parameters", int(table["parameters"].sum()) + others, model_parameters)
    if not table["multiply-adds before"].isna().any():
        before = int(table["multiply-adds before"].sum())
        _print_total("multiply-adds", int(table["multiply-adds"].sum()), before)


def _print_total(name, planned, before):
    print(f"{name:13} {planned:,} of {before:,} ({planned / before:.0%})")


@click.command()
@click.argument("model", metavar="MODEL.keras")
@click.argument("plan", metavar="PLAN.json")
@click.option("--to", metavar="LIGHT.keras", required=True)
def convert(model, plan, to):
    """PLAN.json is what `lightlayers plan` wrote."""
    target = _check_target(to, ".keras", model)
    rows = _read_plan(plan)
    loaded = _load_compiled_model(model)
    from lightlayers import conversion

    _save_model(conversion.convert(loaded, rows), target)
    return 0


def _read_plan(file):
    try:
        rows = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise ValueError("it is not a list of layers")
    except ValueError as error:
        raise ValueError(f"{file} is no plan that `lightlayers plan` wrote: {error}") from None
    return rows


@click.command()
@click.argument("model", metavar="LIGHT.keras")
@click.option("--to", metavar="DENSE.keras", required=True)
def merge(model, to):
    """Says which layers have no plain form."""
    target = _check_target(to, ".keras", model)
    loaded = _load_compiled_model(model)
    from lightlayers import conversion

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        merged = conversion.merge(loaded)
    for warning in caught:
        print(warning.message)
    _save_model(merged, target)
    return 0


@click.command()
@click.argument("model", metavar="MODEL.keras")
@click.option("--data", required=True, help="Data set or FILE.npz that calibrates and compares.")
@click.option(
    "--formats", type=parse_names, metavar="FORMATS", help="Such as float32,dynamic,int8,onnx."
)
@click.option(
    "--images",
    type=parse_positive,
    metavar="N",
    default=200,
    help="For comparison (default: 200).",
)
@click.option(
    "--scale",
    type=parse_factor,
    metavar="FACTOR",
    help="Of the stored pixels, as Keras' Rescaling has it: 1/255, say; 1 for pixels as they are.",
)
@click.option("--offset", type=parse_factor, metavar="NUMBER", help="Added after --scale.")
@click.option("--to", metavar="DIR", default=".", help="Folder of the files.")
def export(model, data, formats, images, scale, offset, to):
    """Compares the files with the model on images of the data set.

    The model takes one image and gives class probabilities. How its pixels are scaled is found
    out by its accuracy and cross-entropy, and said.
    """
    if offset is not None and scale is None:
        raise ValueError(f"--offset needs --scale. Received: --offset {offset:g}")
    formats = formats or exporting.available()
    loaded = _load_model(model)
    exporting.check(loaded, formats)
    known = datasets.read_labelled(data) if data.endswith(".npz") else datasets.load(data)
    calibration, calibration_labels = _sample(loaded, known.x_train, known.y_train, images)
    test, labels = _sample(loaded, known.x_test, known.y_test, images)
    classes = loaded.output_shape[1]
    if (largest := max(labels.max(), calibration_labels.max())) >= classes:
        raise ValueError(f"The model has {classes} classes. Received: label {largest} in {data}")
    if scale is None:
        scale, offset = _find_scale(loaded, calibration, calibration_labels)
    test, calibration = (part * scale + (offset or 0) for part in (test, calibration))
    table = exporting.export(loaded, to, test, formats, calibration, labels)
    print(table.drop(columns="at chance").to_string(index=False))
    disagreements = exporting.disagreements(table)
    for disagreement in disagreements:
        print(f"WRONG  {disagreement}")
    return 1 if disagreements else 0


def _sample(model, images, labels, count):
    """Returns some images, in the shape that a model takes, and their labels."""
    # Drawn: a file may be sorted by class. Always the same, so that results can be compared.
    chosen = np.random.default_rng(0).permutation(len(images))[:count]
    return exporting.shape_images(model, images[chosen]), labels[chosen]


def _find_scale(model, images, labels):
    """Returns the scale and offset of pixels with which a model is best, and says so."""
    accuracies = exporting.measure_scales(model, images, labels)
    best, *others = accuracies
    print(f"Assumed scale of the pixels: {best} (accuracy {accuracies[best]:.3f} in training).")
    tried = ", ".join(f"{name} ({accuracies[name]:.3f})" for name in others)
    print(f"Others that are usual: {tried}. Say --scale if it is another.")
    return exporting.SCALES[best]
