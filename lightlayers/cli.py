"""The `lightlayers` command: thin, over the modules above."""

import argparse
import importlib.util
import json
import os
import pathlib
import sys
import warnings

from lightlayers import (
    backend,
    datasets,
    display,
    doctor,
    execution,
    headline,
    published,
    ranks,
    recipes,
    replication,
    runs,
)


def _list(text):
    if not (parts := [part for part in text.split(",") if part]):
        raise argparse.ArgumentTypeError(f"expected one or more, with commas. Received: {text!r}")
    return parts


def _integers(text):
    return [int(part) for part in _list(text)]


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer, at least 1. Received: {text}")
    return int(text)


def _parser():
    parser = argparse.ArgumentParser(
        prog="lightlayers", description="Reproduce the LightLayers paper (arXiv 2101.02268)."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, action, help):
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(action=action)
        return added

    where = {"default": str(runs.outputs_folder()), "metavar": "DIR"}
    reproduce = command("reproduce", _reproduce, "Train what is missing, then write the results.")
    add = reproduce.add_argument
    add("names", nargs="+", metavar="NAME", help=f"{', '.join(runs.NAMES)}, all, or FILE.npz")
    add("--rows", type=_list, help="rows of the table, such as conv2d,lightlayers-3")
    add("--seeds", type=_integers, help=f"such as 42,1,2 (default: {runs.SEEDS})")
    add("--epochs", type=int, help="instead of the recipe's")
    add("--limit", type=int, help="at most so many images of each split")
    add(
        "--recipe",
        choices=sorted(recipes.RECIPES),
        help="training protocol (default: paper; of own data: corrected)",
    )
    add("--workers", type=_positive, help="rows at once (default: one a core)")
    add("--scheduler", metavar="ADDRESS", help="of a Dask cluster that trains instead of this one")
    add("--kernel", help="name of a kernelspec, see `lightlayers kernels`")
    add(
        "--timeout",
        type=_positive,
        default=execution.DAY,
        help="seconds for one cell (default: a day)",
    )
    add("--outputs", **where)
    add("--fresh", action="store_true", help="train again what is stored")
    add("--together", action="store_true", help="a row's seeds in one program (KERAS_BACKEND=jax)")
    add("--compare", metavar="DIR", help="print the table of these outputs beside the new one")
    add("--dry-run", action="store_true", help="only say what is missing")
    status = command("status", _status, "Say which runs are stored.")
    status.add_argument("names", nargs="*", metavar="NAME")
    status.add_argument("--recipe", choices=sorted(recipes.RECIPES))
    status.add_argument("--outputs", **where)
    report = command("report", _report, "Write tables, figures and notebooks from stored runs.")
    report.add_argument("--outputs", **where)
    data = command("data", _data, "Check the data sets, or export them as NAME.npz.")
    data.add_argument("what", choices=["check", "export"])
    data.add_argument("folder", nargs="?", metavar="DIR", help="where to export to")
    data.add_argument("--names", type=_list, default=list(datasets.NAMES))
    bench = command("bench", _bench, "Measure training, networks, layers, rules or exported files.")
    bench.add_argument(
        "what", choices=["grid", "networks", "layers", "together", "ranks", "export"]
    )
    bench.add_argument("--names", type=_list, default=list(datasets.NAMES[1:]))
    bench.add_argument("--rows", type=_list, help="such as conv2d,lightlayers-3")
    bench.add_argument("--variants", type=_list, default=["fit", "suite"])
    bench.add_argument("--steps", type=_positive, default=100, help="of one measurement")
    bench.add_argument("--outputs", **where)
    export = command("export", _export, "Write a .keras model as TFLite and ONNX, and compare.")
    export.add_argument("model", metavar="MODEL.keras")
    export.add_argument("--data", required=True, help="data set that calibrates and compares")
    export.add_argument("--formats", type=_list, help="such as float32,dynamic,int8,onnx")
    export.add_argument(
        "--images", type=_positive, default=200, help="for comparison (default: 200)"
    )
    export.add_argument("--to", metavar="DIR", default=".", help="folder of the files")
    plan = command("plan", _plan, "Plan which layers of a .keras model become light, in a budget.")
    plan.add_argument("model", metavar="MODEL.keras")
    plan.add_argument("--parameters", type=int, metavar="N", help="at most, of the whole model")
    plan.add_argument("--macs", type=int, metavar="N", help="multiply-adds at most, for one input")
    plan.add_argument("--like", metavar="K=3", help="parameters of the paper's network at that K")
    plan.add_argument("--data", help="data set of that network")
    plan.add_argument("--rule", default="greedy", help=", ".join(ranks.RULES))
    plan.add_argument("--form", default="spatial", help="of convolutions: spatial or channel")
    plan.add_argument(
        "--exclude", type=_list, default=[], help="layers to leave, such as conv1,a/*"
    )
    plan.add_argument("--to", metavar="PLAN.json", help="write it for `lightlayers convert`")
    convert = command("convert", _convert, "Convert a .keras model to light layers by a plan.")
    convert.add_argument("model", metavar="MODEL.keras")
    convert.add_argument("plan", metavar="PLAN.json")
    convert.add_argument("--to", metavar="LIGHT.keras", required=True)
    merge = command("merge", _merge, "Turn light layers of a .keras model into plain Keras layers.")
    merge.add_argument("model", metavar="LIGHT.keras")
    merge.add_argument("--to", metavar="DENSE.keras", required=True)
    check = command("doctor", _doctor, "Say what this machine lacks, and how to get it.")
    check.add_argument("--outputs", **where)
    command("kernels", _kernels, "Install the kernelspecs lightlayers-cpu and lightlayers-gpu.")
    return parser


def _known_kernel(name):
    from jupyter_client.kernelspec import KernelSpecManager

    if name and name not in (known := KernelSpecManager().find_kernel_specs()):
        raise ValueError(
            f"No such kernel. Expected one of {sorted(known)}; `lightlayers kernels` installs "
            f"ours. Received: --kernel {name}"
        )


def _chosen(options, name):
    """The parameters of a notebook that the options set."""
    own = ("rows", "recipe") if name not in runs.EXPERIMENTS else ()
    for option in ("rows", "recipe"):
        if name in runs.EXPERIMENTS and getattr(options, option) is not None:
            raise ValueError(f"{name} has {option} of its own: leave out --{option}.")
    chosen = {option: getattr(options, option) for option in (*own, "seeds", "epochs", "limit")}
    chosen = {option: value for option, value in chosen.items() if value is not None}
    if name in datasets.FILES:
        # Their notebook's own defaults are those of its small example.
        chosen.setdefault("recipe", runs.usual_recipe(name))
        chosen.setdefault("rows", runs.table_rows(name))
        chosen.setdefault("seeds", list(runs.SEEDS))
    return chosen


def _added(names):
    """The names, with those of files for files, which are known from here on, if all are known."""
    names = [runs.add_data(name) if name.endswith(".npz") else name for name in names]
    if unknown := [name for name in names if name not in (*runs.NAMES, *datasets.FILES)]:
        raise ValueError(
            f"Unknown name. Expected some of {list(runs.NAMES)}, or the path of a FILE.npz. "
            f"Received: {', '.join(map(repr, unknown))}"
        )
    return names


def _reproduce(options):
    names = [runs.NAMES if name == "all" else [name] for name in options.names]
    names = _added(dict.fromkeys(sum(map(list, names), [])))
    if options.scheduler is not None and options.workers:
        raise ValueError("A cluster has workers of its own: leave out --workers.")
    if options.scheduler and (own := [name for name in names if name in datasets.FILES]):
        raise ValueError(f"Workers have no such file: leave out --scheduler. Received: {own[0]}")
    if options.scheduler and not importlib.util.find_spec("distributed"):
        raise ValueError("--scheduler needs pip install 'lightlayers[dask]'.")
    choices = {name: _chosen(options, name) for name in names}
    plans = {name: _planned(name, **choice) for name, choice in choices.items()}
    planned = list(dict.fromkeys(run for found in plans.values() for run in found))
    if options.dry_run:
        stored, _ = runs.stored(options.outputs, planned)
        for run in planned:
            if run not in stored or options.fresh:
                recipe = "" if run.recipe == "paper" else f" {run.recipe}"
                print(f"missing: {run.dataset} {run.row}{recipe} seed {run.seed} ({run.id})")
        return 0
    _known_kernel(options.kernel)
    for name, choice in choices.items():
        execution.check_parameters(execution.notebook(name), choice | {"save": True})
    runs.check_writable(options.outputs, planned)
    failed = execution.train(
        planned,
        options.outputs,
        display.Display(),
        workers=options.workers,
        fresh=options.fresh,
        kernel=options.kernel,
        timeout=options.timeout,
        scheduler=options.scheduler,
        together=options.together,
    )
    lost = {run for job in failed for run in job.runs}
    for name, choice in choices.items():
        if lost.intersection(plans[name]):
            continue
        result = runs.result_name(name, choice.get("recipe", "paper"))
        choice = choice | {"train": False}
        executed = execution.render(
            name, options.outputs, choice, result, options.kernel, options.timeout
        )
        if options.compare:
            _compare(plans[name], options.outputs, options.compare)
        print(f"\ntables    {pathlib.Path(options.outputs, 'tables')}")
        print(f"figures   {pathlib.Path(options.outputs, 'figures')}")
        print(f"notebook  {executed}")
        if name in runs.NAMES and result == name:  # which `report` writes too
            every = _planned(name, outputs=options.outputs)
            besides = [run for run in every if run not in plans[name]]
            if more := len(runs.stored(options.outputs, besides)[0]):
                print(f"They lack {more} stored runs: `lightlayers report` gives those of all.")
    for job in failed:
        print(f"failed: {job.name}: {job.error}")
    return 1 if failed else 0


def _planned(name, **choice):
    """The runs of a data set, or those that a notebook of `runs.EXPERIMENTS` compares."""
    planner = runs.plan_experiment if name in runs.EXPERIMENTS else runs.plan
    return planner(name, **choice)


def _compare(planned, outputs, stored):
    """Prints the tables of freshly trained runs beside those of stored ones."""
    for dataset, recipe in dict.fromkeys((run.dataset, run.recipe) for run in planned):
        alike = [run for run in planned if (run.dataset, run.recipe) == (dataset, recipe)]
        tables = []
        for folder in (outputs, stored):
            records, _ = runs.stored(folder, alike)
            if not records:
                print(f"\nNo stored runs to compare with in {folder}: {dataset}, recipe {recipe}.")
                break
            tables.append(replication.summary(replication.frame(records.values())))
        else:
            here, there = tables
            table = here[["method", "parameters", "n", "accuracy", "sd"]].merge(
                there[["method", "n", "accuracy", "sd"]], on="method", suffixes=("", " stored")
            )
            print(f"\nTest accuracy on {dataset}, recipe {recipe}, here and stored in {stored}:\n")
            print(table.to_string(index=False))


def _status(options):
    def group(run):
        return run.dataset, run.row, run.recipe

    everything = set()
    for name in _added(options.names) or runs.NAMES:
        own = name not in runs.EXPERIMENTS
        if options.names and options.recipe and not own:
            raise ValueError(f"{name} has recipes of its own: leave out --recipe.")
        recipe = options.recipe or runs.usual_recipe(name)
        planned = runs.plan(name, recipe=recipe) if own else runs.plan_experiment(name)
        expected = set(map(group, planned))
        stored, damaged = [], []
        for dataset in dict.fromkeys(run.dataset for run in planned):
            found, wrong = runs.every(options.outputs, dataset)
            others = own and recipe
            stored += [run for run in found if group(run) in expected or run.recipe == others]
            damaged += wrong
        print(f"{name}: {len(stored)} runs stored")
        for key in dict.fromkeys(map(group, [*planned, *stored])):
            here = [run for run in stored if group(run) == key]
            seeds = {run.seed for run in here if run.whole}
            missing = [str(r.seed) for r in planned if group(r) == key and r.seed not in seeds]
            text = f"  {key[1] if own else ' '.join(key):16} {len(seeds):2} seeds"
            text += f", missing {', '.join(missing)}" if missing else ""
            short = sum(not run.whole for run in here)
            print(text + (f" ({short} shortened runs besides)" if short else ""))
        for message in damaged:
            print(f"  damaged: {message}")
        everything.update(stored)
    print(f"{len(everything)} runs in {options.outputs}")
    return 0


def _lacks(outputs, name):
    """Returns the command without whose results a notebook has nothing to show, or `None`."""
    if name == "layers":
        return None
    if name == "speed":
        where = pathlib.Path(outputs)
        files = {f"bench/{what}.json": what for what in ("layers", "networks", "export")}
        files |= {"bench/together.json": "together", "tables/bench-grid.csv": "grid"}
        absent = [what for file, what in files.items() if not (where / file).exists()]
        return f"bench {absent[0]}" if absent else None
    if name in runs.EXPERIMENTS:
        found = runs.stored(outputs, runs.plan_experiment(name))[0]
    else:
        names = published.DATASETS if name == "report" else [name]
        found = any(run.whole for each in names for run in runs.every(outputs, each)[0])
    return None if found else f"reproduce {'all' if name == 'report' else name}"


def _report(options):
    execution.notebook("report")  # where there is none, no folder of outputs is made
    runs.check_writable(options.outputs)
    for name in ("layers", *runs.NAMES, "speed", "report"):
        if lacks := _lacks(options.outputs, name):
            print(f"no runs   {name}: lightlayers {lacks}")
            continue
        choice = {"train": False} if name in runs.NAMES else {}
        print(f"notebook  {execution.render(name, options.outputs, choice)}")
    outputs = pathlib.Path(options.outputs).resolve()
    readme = outputs.parent / "README.md"  # which says what the repository's own runs say
    own = outputs == runs.outputs_folder().resolve()
    if own and readme.exists() and headline.BEGIN in (text := readme.read_text()):
        runs.replace_text(readme, headline.written(text, options.outputs))
        print(f"headline  {readme}")
    return 0


def _data(options):
    for name in options.names:
        if name not in datasets.NAMES:
            raise ValueError(f"Unknown data set. Expected {datasets.NAMES}. Received: {name!r}")
    if options.what == "export" and not options.folder:
        raise ValueError("Say where to: lightlayers data export DIR")
    if options.what == "check" and options.folder:
        raise ValueError(
            "`data check` looks at what trainings take: set LIGHTLAYERS_DATA to that folder. "
            f"Received: {options.folder}"
        )
    wrong = 0
    for name in options.names:
        try:
            if options.what == "export":
                print(f"wrote  {datasets.export(name, options.folder)}")
            else:
                datasets.load(name)
                print(f"OK     {name} ({datasets.FINGERPRINTS[name]})")
        except datasets.DataError as error:
            print(f"WRONG  {error}")
            wrong += 1
    return 1 if wrong else 0


def _bench(options):
    from lightlayers import bench

    if unknown := set(options.variants) - set(bench.GRID):
        raise ValueError(f"Unknown variants. Expected {list(bench.GRID)}. Received: {unknown}")
    planned = [run for name in options.names for run in runs.plan(name, options.rows, [42])]
    runs.check_writable(options.outputs)
    if options.what != "grid":
        target = pathlib.Path(options.outputs, "bench", f"{options.what}.json")
        target.parent.mkdir(exist_ok=True)
        if options.what != "layers":
            _keep_measured(target, planned, lambda: json.loads(target.read_text())["rows"])
        if options.what == "layers":
            found = bench.measure_layers()
        else:
            found = getattr(bench, f"measure_{options.what}")(planned)
        runs.replace_text(target, json.dumps(found, indent=1) + "\n")
        print(target)
        return 0
    import pandas as pd

    name = "bench-grid" if options.variants == ["fit", "suite"] else "bench-grid-parts"
    target = pathlib.Path(options.outputs, "tables", f"{name}.csv")
    # The last row is the mean of the others.
    stored = _keep_measured(target, planned, lambda: pd.read_csv(target).to_dict("records")[:-1])
    columns = {column.partition(" ")[0] for column in (stored or [{}])[0]}
    _refuse_loss(target, [each for each in bench.GRID if each in columns - set(options.variants)])
    for variant in options.variants:
        print(f"{variant:10} {bench.GRID[variant]}")
    table = bench.grid(planned, options.variants, options.steps)
    print(table.to_string(index=False))
    replication.save(table, options.outputs, name)
    return 0


def _keep_measured(file, planned, stored):
    """Refuses to replace stored measurements by fewer, and returns them."""
    if not file.exists():
        return []
    try:
        found = stored()
        names = {f"{each['dataset']} {each.get('row', '')}".strip() for each in found}
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{file} is no measurement that can be read ({type(error).__name__}): move it away, or "
            "choose other --outputs."
        ) from None
    planned = {key for run in planned for key in (run.dataset, f"{run.dataset} {run.row}")}
    _refuse_loss(file, sorted(names - planned))
    return found


def _refuse_loss(file, lost):
    if lost:
        raise ValueError(
            f"{file} also has {', '.join(lost)}: measure these as well, or choose other --outputs."
        )


def _loaded(file):
    keras = backend.load()
    from lightlayers import layers, normalization  # noqa: F401, for loading

    try:
        return keras.saving.load_model(file, compile=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{file} can't be loaded as a Keras model: {reason}") from None


def _export(options):
    from lightlayers import exporting

    model = _loaded(options.model)
    if not model.built:
        raise ValueError(f"Build the model before it is saved. Received: {options.model}")
    data = datasets.load(options.data).limited(options.images, options.images)
    images = data.x_test / 255
    sizes = zip(model.input_shape, images.shape, strict=False)
    if len(model.input_shape) != 4 or any(size not in (None, own) for size, own in sizes):
        raise ValueError(
            f"The model takes images of shape {model.input_shape[1:]}. "
            f"Received: --data {options.data}, whose images are {images.shape[1:]}"
        )
    table = exporting.export(model, options.to, images, options.formats, data.x_train / 255)
    print(table.to_string(index=False))
    wrong = exporting.disagreements(table)
    for found in wrong:
        print(f"WRONG  {found}")
    return 1 if wrong else 0


def _target(name, suffix, source):
    """Returns the path to write to, and finds out before the work that it can be."""
    path = pathlib.Path(name)
    if path.suffix != suffix or not path.parent.is_dir():
        raise ValueError(f"--to must be a file {suffix} in an existing folder. Received: {name}")
    if path.resolve() == pathlib.Path(source).resolve():
        raise ValueError(f"--to must be another file than the model. Received: {name}")
    return path


def _plan(options):
    limits = {name: getattr(options, name) for name in ("parameters", "macs", "like")}
    if (options.like is None) != (options.data is None):
        raise ValueError(
            "--like and --data belong together: the parameters that the paper's network for "
            f"that data set has. Received: --like {options.like} --data {options.data}"
        )
    budget = ranks.Budget(**limits).resolve(options.data)
    target = _target(options.to, ".json", options.model) if options.to else None
    model = _loaded(options.model)
    from lightlayers import conversion

    table = conversion.plan(model, budget, options.rule, options.form, options.exclude)
    if table.empty:
        raise ValueError(f"The model has no layer with a kernel. Received: {options.model}")
    shown = table.drop(columns=["parameters before", "multiply-adds before"])
    print(shown.to_string(index=False, na_rep="-"))
    names = ["parameters"]
    if not table["multiply-adds before"].isna().any():
        names.append("multiply-adds")
    print()
    for name in names:
        now, before = int(table[name].sum()), int(table[f"{name} before"].sum())
        if name == "parameters":
            rest = model.count_params() - before  # of layers without a kernel
            now, before = now + rest, before + rest
        print(f"{name:13} {now:,} of {before:,} ({now / before:.0%})")
    if target:
        table.to_json(target, orient="records", indent=1)
        print(f"plan          {target}")
    return 0


def _saved(model, target):
    model.save(target)
    print(f"{target}: {model.count_params():,} parameters")
    return 0


def _convert(options):
    target = _target(options.to, ".keras", options.model)
    try:
        rows = json.loads(pathlib.Path(options.plan).read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise ValueError("it is not a list of layers")
    except ValueError as error:
        raise ValueError(
            f"{options.plan} is no plan that `lightlayers plan` wrote: {error}"
        ) from None
    model = _loaded(options.model)
    from lightlayers import conversion

    return _saved(conversion.convert(model, rows), target)


def _merge(options):
    target = _target(options.to, ".keras", options.model)
    model = _loaded(options.model)
    from lightlayers import conversion

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        merged = conversion.merge(model)
    for warning in said:
        print(warning.message)
    return _saved(merged, target)


def _doctor(options):
    wrong = 0
    for finding in doctor.diagnose(options.outputs):
        print(finding, flush=True)
        wrong += finding.state == "WRONG"
    return 1 if wrong else 0


def _kernels(options):
    from ipykernel.kernelspec import install

    common = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    for device, environment in {
        "cpu": {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"},
        "gpu": {
            "LIGHTLAYERS_DEVICE": "gpu",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        },
    }.items():
        name = f"lightlayers-{device}"
        title = f"LightLayers ({device.upper()})"
        env = common | environment
        print(install(prefix=sys.prefix, kernel_name=name, display_name=title, env=env))
    return 0


def main(arguments=None):
    """Runs the command line and returns its exit status: 0, 1 (some failed) or 2 (wrong use)."""
    try:
        options = _parser().parse_args(arguments)
        return options.action(options)
    except RuntimeError as error:
        status, message = 1, error
    except BrokenPipeError:  # who reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, datasets.DataError, backend.DeviceError) as error:
        status, message = 2, error
    except ImportError as error:
        status, message = 2, f"{error}. What is missing, and how to get it: lightlayers doctor"
    except KeyboardInterrupt:
        status, message = 130, "interrupted."
        if options.action == _reproduce:
            message += " What is finished is kept; "
            again = "leave out --fresh to train only what is not stored."
            message += again if options.fresh else "the same command goes on."
    sys.stdout.flush()  # a pipe holds back what was said before
    print(f"lightlayers: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
