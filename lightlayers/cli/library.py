"""`lightlayers plan`, `convert`, `merge` and `export`: what to do with models of one's own.

They work with .keras files, and but for `export` need nothing of the suite's packages.
"""

import json
import pathlib
import warnings

import click

from lightlayers import ranks
from lightlayers.cli.options import parse_names, parse_positive
from lightlayers.suite import backend, datasets, exporting


def _load_model(file):
    keras = backend.load()
    from lightlayers import layers, normalization  # noqa: F401, their layers are then registered

    try:
        return keras.saving.load_model(file, compile=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{file} can't be loaded as a Keras model: {reason}") from None


def _save_model(model, target):
    model.save(target)
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
        table.to_json(target, orient="records", indent=1)
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
    loaded = _load_model(model)
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
    loaded = _load_model(model)
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
@click.option("--data", required=True, help="Data set that calibrates and compares.")
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
@click.option("--to", metavar="DIR", default=".", help="Folder of the files.")
def export(model, data, formats, images, to):
    """Compares the files with the model on images of the data set."""
    loaded = _load_model(model)
    if not loaded.built:
        raise ValueError(f"Build the model before it is saved. Received: {model}")
    part = datasets.load(data).limited(images, images)
    test, calibration = part.x_test / 255, part.x_train / 255
    sizes = zip(loaded.input_shape, test.shape, strict=False)
    if len(loaded.input_shape) != 4 or any(size not in (None, given) for size, given in sizes):
        raise ValueError(
            f"The model takes images of shape {loaded.input_shape[1:]}. "
            f"Received: --data {data}, whose images are {test.shape[1:]}"
        )
    table = exporting.export(loaded, to, test, formats, calibration)
    print(table.to_string(index=False))
    disagreements = exporting.disagreements(table)
    for disagreement in disagreements:
        print(f"WRONG  {disagreement}")
    return 1 if disagreements else 0
