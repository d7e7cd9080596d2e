"""Dense and Conv2D to light layers and back: single layers, and whole models by a plan."""

import contextlib
import fnmatch
import json
import math
import numbers
import tempfile
import warnings

import keras
import numpy as np
from keras.src.models import Functional

from lightlayers import factorization, families, ranks
from lightlayers.layers import LightConv2D, LightDense

FORMS = ("channel", "spatial")
_GRAPHS = (keras.Sequential, Functional)
_CALLS = [graph.call for graph in _GRAPHS]  # a class of one's own may train otherwise
_BOTH = (
    "name trainable activation use_bias kernel_initializer bias_initializer bias_regularizer "
    "activity_regularizer bias_constraint"
).split()
_CONV = "filters kernel_size strides padding data_format dilation_rate groups".split()


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def build_like(new, layer):
    """Builds a layer for what another takes, and returns it."""
    shape = [None] * (4 if isinstance(layer, keras.layers.Conv2D) else 2)
    for axis, size in layer.input_spec.axes.items():
        shape[axis] = size
    with contextlib.ExitStack() as scopes:  # optimisers may be chosen by a weight's path
        for part in (layer.path or "").split("/")[:-1]:
            scopes.enter_context(keras.name_scope(part))
        new.build(tuple(shape))
    return new


def _kernel_shape(layer):
    shapes = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
    kernel = max(shapes, key=math.prod, default=())
    return " × ".join(map(str, kernel))


def _own(activation):
    """Returns an activation that is a layer, as PReLU is, anew and with its weights."""
    if not isinstance(activation, keras.layers.Layer):
        return activation
    own = copied(activation)
    if activation.built:
        own.build_from_config(activation.get_build_config())
        for source, target in zip(activation.variables, own.variables, strict=True):
            target.assign(keras.ops.convert_to_numpy(source))
    return own


def _twin(kind, layer, **kwargs):
    """Returns a built layer of another kind with a layer's arguments and bias."""
    conv = isinstance(layer, keras.layers.Conv2D)
    kwargs |= {name: getattr(layer, name) for name in (*_BOTH, *(_CONV if conv else ["units"]))}
    kwargs["activation"] = _own(layer.activation)
    twin = build_like(kind(**kwargs, dtype=layer.dtype_policy), layer)
    if layer.use_bias:
        twin.bias.assign(keras.ops.convert_to_numpy(layer.bias))
    return twin


def _why_not(layer):
    """Returns why a layer can't be converted, or nothing."""
    kind = type(layer)
    if isinstance(layer, LightDense | LightConv2D):
        return "light already"
    if kind not in (keras.layers.Dense, keras.layers.Conv2D):
        own = kind.__module__.split(".")[0] != "keras"
        return f"custom layer {kind.__name__}" if own else f"kernel of a {kind.__name__}"
    if not layer.built:
        return "not built"
    if mode := getattr(layer, "quantization_mode", None):
        return f"quantised to {mode}"
    if layer.lora_enabled:
        return "has a LoRA adapter"
    if layer.kernel_constraint is not None:
        return "its constraint is for one kernel"
    if not np.isfinite(_numpy(layer.kernel)).all():
        return "its kernel is not finite"
    return ""


def _matrices(layer, form):
    groups = getattr(layer, "groups", 1)
    form = form if isinstance(layer, keras.layers.Conv2D) else "dense"
    return factorization.flatten(_numpy(layer.kernel), form, groups)


def _draws(initializer, dimensions):
    """Returns whether an initialiser draws any shape: a constant array has one of its own."""
    shape = (1,) * dimensions
    try:
        return tuple(initializer(shape, dtype="float32").shape) == shape
    except Exception:  # of any kind: it may be code of the user's
        return False


def _light(layer, rank, form):
    """Returns the light layer of a convertible one, its factors not yet set."""
    # The factors stand for the kernel, so what was asked of the kernel is asked of them together.
    kwargs = {"rank": rank, "product_regularizer": layer.kernel_regularizer}
    if not _draws(layer.kernel_initializer, len(layer.kernel.shape)):
        kwargs["factor_initializer"] = "spectral"  # asks for the shape of the dense kernel
    if isinstance(layer, keras.layers.Conv2D):
        return _twin(LightConv2D, layer, form=form, **kwargs)
    return _twin(LightDense, layer, **kwargs)


def _factorized(layer, kind, rank, form):
    if type(layer) is not kind or (reason := _why_not(layer)):
        raise ValueError(
            f"Expected a built {kind.__name__} that can be converted. Received: {layer!r}"
            + (f" ({reason})" if type(layer) is kind else "")
        )
    if form not in (*FORMS, "dense"):
        raise ValueError(f"A Conv2D converts to form {FORMS}. Received: form={form!r}")
    full = min(_matrices(layer, form).shape[1:])
    whole = isinstance(rank, numbers.Integral) and not isinstance(rank, bool)
    if not whole or not 1 <= rank <= full:
        raise ValueError(
            f"The rank of layer {layer.name!r} must be an integer from 1 to {full}, the most "
            f"that its kernel can have. Received: rank={rank!r}"
        )
    light = _light(layer, int(rank), form)
    groups = getattr(layer, "groups", 1)
    factors = factorization.split(_numpy(layer.kernel), int(rank), form, groups)
    light.factor_1.assign(factors[0])
    light.factor_2.assign(factors[1])
    return light


def from_dense(layer, rank):
    """Returns the `LightDense` nearest to a trained `keras.layers.Dense`.

    It is exact at the full rank, and below it the factors are those of the truncated SVD:
    no kernel of that rank is nearer. Name, bias, activation, dtype policy and the trainable
    flag are kept, and what acts on the bias or the output. The kernel's regulariser
    becomes the `product_regularizer`, so the penalty is the same. A kernel with a constraint
    isn't converted: no constraint on the factors means the same.

    Args:
        layer: Built `keras.layers.Dense`, which stays as it is.
        rank: Positive integer.

    Raises:
        ValueError: If the layer can't be converted, or has no such rank.

    Example:

    >>> layer = keras.layers.Dense(10)
    >>> layer.build((None, 64))
    >>> from_dense(layer, rank=4).count_params()
    306

    Source: Eckart and Young.
    """
    return _factorized(layer, keras.layers.Dense, rank, "dense")


def from_conv2d(layer, rank, form="spatial"):
    """Returns the `LightConv2D` nearest to a trained `keras.layers.Conv2D`.

    As `from_dense`; strides, padding, dilation, groups and data format are kept too. Each
    group gets factors of that rank.

    Args:
        layer: Built `keras.layers.Conv2D`, which stays as it is.
        rank: Positive integer.
        form: `"spatial"` or `"channel"`, see `LightConv2D`. Form `"paper"` stands for no
            single kernel. Defaults to `"spatial"`.

    Raises:
        ValueError: If the layer can't be converted, or has no such rank.

    Example:

    >>> layer = keras.layers.Conv2D(16, 3)
    >>> layer.build((None, 32, 32, 3))
    >>> from_conv2d(layer, rank=2).count_params()  # 3 · 3 · 2 + 3 · 2 · 16 + 16
    130

    Source: Eckart and Young; Tai et al., arXiv 1511.06067 (spatial form).
    """
    return _factorized(layer, keras.layers.Conv2D, rank, form)


def _merged(layer, light, kind):
    if type(layer) is not light or not layer.built:
        raise ValueError(
            f"Expected a built {light.__name__}, of no class of its own. Received: {layer!r}"
        )
    if getattr(layer, "form", None) == "paper":
        raise ValueError(
            "Form 'paper' stands for no single kernel: two convolutions with an activation "
            f"between them. Received: {layer!r}"
        )
    dense = _twin(kind, layer, kernel_regularizer=layer.product_regularizer)
    dense.kernel.assign(layer.kernel)
    return dense


def to_dense(layer):
    """Returns the plain `keras.layers.Dense` that a built `LightDense` stands for.

    It computes the same with one kernel. The `product_regularizer` becomes that of the
    kernel; what acts on each factor has no counterpart and is left out.
    """
    return _merged(layer, LightDense, keras.layers.Dense)


def to_conv2d(layer):
    """Returns the plain `keras.layers.Conv2D` that a linear `LightConv2D` stands for.

    As `to_dense`.

    Raises:
        ValueError: If the form is `"paper"`: that is two convolutions and no single kernel.
    """
    return _merged(layer, LightConv2D, keras.layers.Conv2D)


def _inputs(model, path="", own=False):
    """Returns the inputs of a model whose graph is known.

    A functional model of a class of its own, which may train otherwise, has one too, but can't be
    rebuilt without that class.
    """
    known = isinstance(model, _GRAPHS) and type(model).call in _CALLS
    if not (known if own else type(model) in _GRAPHS):
        where = f" (layer {path!r})" if path else ""
        raise ValueError(
            "Only Sequential and functional models can be rebuilt; convert the layers of a "
            "subclassed one with from_dense and from_conv2d. "
            f"Received: {type(model).__name__}{where}"
        )
    if not hasattr(model, "inputs"):
        raise ValueError(f"Build the model first. Received: {model!r}")
    return model.inputs


def applications(model, own=False):
    """Returns `{path: (layer, input shapes)}`, one shape for each time a layer is applied.

    Layers of nested models are among them, a shared one once, under its first path. `own` is
    whether functional models of a class of their own are taken.
    """
    found, paths, owners = {}, {}, {}

    def walk(graph, inputs, prefix):
        _inputs(graph, prefix[:-1], own)
        graph = getattr(graph, "_functional", graph)  # of a Sequential
        if isinstance(inputs, dict) and not isinstance(graph._inputs_struct, dict):
            inputs = [inputs[each.name] for each in graph.inputs]  # as Keras pairs them in a call
        return graph._run_through_graph(inputs, operation_fn=lambda op: visit(op, prefix))

    def visit(op, prefix):
        def nested(inputs, *_, **__):
            return walk(op, inputs, f"{prefix}{op.name}/")

        def single(*args, **kwargs):
            path = paths.setdefault(id(op), prefix + op.name)
            _, shapes = found.setdefault(path, (op, []))
            shapes.append(getattr((*args, *kwargs.values(), None)[0], "shape", None))
            for value in keras.tree.flatten((args, kwargs)):
                if isinstance(value, keras.Variable):
                    raise ValueError(
                        "Keras can't rebuild a model with a weight outside of its layer. "
                        f"Received: {value.path} in {path!r}"
                    )
            return op.compute_output_spec(*args, **kwargs)

        return nested if isinstance(op, _GRAPHS) else single

    walk(model, _inputs(model, own=own), "")
    found = {
        path: (op, shapes)
        for path, (op, shapes) in found.items()
        if isinstance(op, keras.layers.Layer)
    }
    for path, (layer, _) in found.items():
        for variable in layer.variables:
            if (owner := owners.setdefault(id(variable), path)) != path:
                raise ValueError(
                    "Keras can't rebuild a model with one weight in two layers. "
                    f"Received: {variable.path} in {owner!r} and {path!r}"
                )
    return found


def _has_kernel(layer):
    return any(len(weight.shape) > 1 for weight in layer.weights)


def multiply_adds(layer, shapes):
    """Returns the multiply-adds of all applications, or `None` where they are not known."""
    is_open = any(shape is None or None in shape[1:] for shape in shapes)
    if is_open and families.has_formula(layer):
        return None
    counts = [families.multiply_adds(layer, shape) for shape in shapes]
    return None if None in counts else sum(counts)


def check_macs(found, macs, limits):
    """Refuses a budget of multiply-adds where `macs`, `{path: count}`, lacks some.

    `found` is what `applications` returns.
    """
    unknown = [path for path, count in macs.items() if count is None]
    if not unknown or not math.isfinite(limits[1]):
        return
    layers = {path: found[path][0] for path in unknown}
    if other := [path for path, layer in layers.items() if not families.has_formula(layer)]:
        raise ValueError(
            "Multiply-adds are known of Dense, Conv2D, SeparableConv2D and DepthwiseConv2D, not "
            "of other layers with a kernel. Give a budget of parameters. Received: "
            + ", ".join(f"{path!r} ({type(layers[path]).__name__})" for path in other)
        )
    raise ValueError(
        "Multiply-adds depend on the size of the input, which is not fixed. Give a "
        f"budget of parameters. Received: layer {unknown[0]!r}, applied to {found[unknown[0]][1]}"
    )


def plan(model, budget, rule="greedy", form="spatial", exclude=()):
    """Returns which layers of a model become light, at which rank, and what that costs.

    Args:
        model: Built Sequential or functional `keras.Model`, which stays as it is.
        budget: `Budget` of the whole model: all weights count, of all layers.
        rule: Name of `ranks.RULES`, or a function with the same arguments. Defaults to
            `"greedy"`.
        form: `"spatial"` or `"channel"`, of all convolutions. Defaults to `"spatial"`.
        exclude: String or sequence of them, layers that stay as they are: names as in the
            table, or patterns such as `"head/*"`. Defaults to none.

    Returns:
        A `pandas.DataFrame` with one row for each layer that has a kernel: `layer` (in nested
        models its path), `kernel` (its shape), `form`, `rank` (missing where the layer
        stays), `parameters` and `multiply-adds` (for one input, of all its applications;
        missing where the input size is not fixed, or where they are not known of a layer with
        a kernel of another kind, such as Conv1D), both also as they were (`before`),
        `error` (of the kernel, `||W - W'|| / ||W||`) and `why not`. It is plain
        data: `json.loads(table.to_json(orient="records"))` is a plan for `convert` too.

    Raises:
        ValueError: If the budget is too small, the budget is of multiply-adds and some are
            missing, a rule's ranks are not within it, or the model can't be rebuilt.

    Example:

    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, name="dense")])
    >>> plan(model, Budget(parameters=1000))[["layer", "rank", "parameters"]]
       layer  rank  parameters
    0  dense    10         992
    """
    import pandas as pd

    if form not in FORMS:
        raise ValueError(f"A Conv2D converts to form {FORMS}. Received: form={form!r}")
    rule = rule if callable(rule) else ranks.get(rule)
    limits = ranks.limits_of(budget)
    found = applications(model)
    exclude = [exclude] if isinstance(exclude, str) else exclude
    for pattern in exclude:
        if not fnmatch.filter(found, pattern):
            raise ValueError(f"`exclude` has no such layer. Received: {pattern!r}")
    rows, candidates, macs = {}, {}, {}
    for path, (layer, shapes) in found.items():
        if not _has_kernel(layer):
            continue
        macs[path] = multiply_adds(layer, shapes)
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in exclude):
            reason = "excluded"
        else:
            reason = _why_not(layer)
        if not reason:
            light = _light(layer, 1, form)
            candidates[path] = light.parameters_per_rank, multiply_adds(light, shapes)
        rows[path] = {"layer": path, "kernel": _kernel_shape(layer), "why not": reason}
    check_macs(found, macs, limits)
    kernels = {path: math.prod(found[path][0].kernel.shape) for path in candidates}
    costs = ranks.Costs(
        np.array([(kernels[path], macs[path] or 0) for path in candidates]),
        np.array([(weights, count or 0) for weights, count in candidates.values()]),
        (
            model.count_params() - sum(kernels.values()),
            sum(count or 0 for path, count in macs.items() if path not in candidates),
        ),
    )
    spectra = [ranks.Spectrum.of(_matrices(found[path][0], form)) for path in candidates]
    chosen = rule(spectra, costs, budget)
    most = [len(spectrum.kept) for spectrum in spectra]
    if len(chosen) != len(most) or any(
        rank is not None and rank not in range(1, full + 1)
        for rank, full in zip(chosen, most, strict=True)
    ):
        raise ValueError(
            "A rule returns one rank for each layer that can be light: None where it stays, or "
            f"an integer from 1 to the most it can have, {most}. Received: {chosen}"
        )
    cost = costs.total(chosen)
    if cost[0] > limits[0] or cost[1] > limits[1]:
        raise ValueError(
            f"The rule's ranks must fit the budget. Received: rule={rule!r}, whose ranks {chosen} "
            f"cost {cost[0]:,} parameters and {cost[1]:,} macs, for {budget}"
        )
    decided = dict(zip(candidates, zip(chosen, spectra, strict=True), strict=True))
    for path, row in rows.items():
        layer, before = found[path][0], found[path][0].count_params()
        rank, spectrum = decided.get(path, (None, None))
        weights, each = candidates.get(path, (0, 0))
        if rank is None:
            parameters, count, error = before, macs[path], 0.0
            if path in candidates:
                saves = weights < kernels[path], (each or 0) < (macs[path] or 0)
                light = np.any(np.array(saves)[np.isfinite(limits)])
                row["why not"] = "dense fits the budget" if light else "dense is cheaper"
        else:
            parameters = before - kernels[path] + rank * weights
            count = None if each is None else rank * each
            error = math.sqrt(max(0.0, 1 - spectrum.kept[rank - 1]))
        row |= {
            "form": form if rank and isinstance(layer, keras.layers.Conv2D) else "",
            "rank": rank,
            "parameters": parameters,
            "multiply-adds": count,
            "parameters before": before,
            "multiply-adds before": macs[path],
            "error": round(error, 4),
        }
    columns = [
        *("layer", "kernel", "form", "rank", "parameters", "multiply-adds"),
        *("parameters before", "multiply-adds before", "error", "why not"),
    ]
    integers = dict.fromkeys(("rank", "multiply-adds", "multiply-adds before"), "Int64")
    return pd.DataFrame(list(rows.values()), columns=columns).astype(integers)


_REGISTER = (
    "Give functions names, no lambda, and decorate functions and classes of your own with "
    "keras.saving.register_keras_serializable()."
)


def copied(layer, **changes):
    """Returns a layer of the same configuration but for the changes."""
    try:
        return type(layer).from_config(layer.get_config() | changes)
    except Exception as error:  # of any kind: it may come from code of the user's
        raise ValueError(
            f"Layer {layer.name!r} can't be rebuilt from its configuration. {_REGISTER} "
            f"Received: {layer!r}"
        ) from error


def _copy_vocabulary(layer, new):
    # Before it is called: then its size is fixed.
    values = {}
    layer.save_own_variables(values)
    new.load_own_variables(values)
    with tempfile.TemporaryDirectory() as folder:
        layer.save_assets(folder)
        new.load_assets(folder)


def _inside(old, new):
    """Pairs a layer and those in it with their copies; other operations have none."""
    if not isinstance(old, keras.layers.Layer):
        return []
    # Before it is called, a copy may lack those that are made then.
    return list(zip(old._flatten_layers(), new._flatten_layers(), strict=False))


def paired(old, new):
    """Returns pairs of the variables of a layer or model and of its copy."""

    def variables(layer):
        found = {}
        inside = layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else ()
        for one in reversed(list(inside)):  # of an outer layer only what no inner one has
            own = [variable for variable in one.variables if id(variable) not in found]
            if getattr(one, "quantization_mode", None):  # Keras' order: by when that was done
                own.sort(key=lambda variable: variable.name)
            found |= {id(variable): variable for variable in own}
        return found.values()

    return list(zip(variables(old), variables(new), strict=True))


def _like(tensor):
    """Returns an input as the given one, which Keras would take for dense and required."""
    return keras.Input(
        batch_shape=tensor.shape,
        dtype=tensor.dtype,
        sparse=tensor.sparse,
        ragged=tensor.ragged,
        name=tensor.name,
        optional=tensor._keras_history.operation.optional,
    )


def rebuild(model, replace):
    """Returns the model anew with the layers that `replace` gives, and all other weights."""
    applications(model)  # refuses what can't be rebuilt
    for part in model._flatten_layers():  # nested models may be compiled too
        if getattr(part, "compiled", False):
            try:
                keras.saving.deserialize_keras_object(part.get_compile_config())
            except Exception as error:
                raise ValueError(
                    f"What model {part.name!r} was compiled with can't be copied. {_REGISTER} "
                    f"Received: {str(error).partition('. ')[0].strip()}"
                ) from error
    copies = []

    def clone(layer):
        new = replace(layer)
        if new is None:
            copies.append((layer, new := copied(layer)))
            for one, two in _inside(layer, new):
                if hasattr(one, "get_vocabulary"):  # which is in neither weights nor configuration
                    _copy_vocabulary(one, two)
        return new

    policy = keras.config.dtype_policy()
    # A new model takes the global one, and so does its optimizer, which scales the loss or not.
    keras.config.set_dtype_policy(model.dtype_policy)
    try:
        inputs = model.inputs if isinstance(model, keras.Sequential) else model.input
        inputs = keras.tree.map_structure(_like, inputs)
        rebuilt = keras.models.clone_model(model, inputs, clone, recursive=True)
        for old, new in copies:
            _continue(old, new)
        if not model.trainable:
            rebuilt.trainable = False
        if model.compiled:
            # Again: an optimiser may start from copies of the weights, which are there now only.
            rebuilt.compile_from_config(model.get_compile_config())
    finally:
        keras.config.set_dtype_policy(policy)
    return rebuilt


def _continue(old, new):
    """Gives a copy of a layer the weights and the state that no configuration holds."""
    for one, two in _inside(old, new):  # from the outside in, as it is handed down
        if two.trainable != one.trainable:
            two.trainable = one.trainable
    for source, target in paired(old, new):
        target.assign(keras.ops.convert_to_numpy(source))  # a copy: JAX donates its arrays
        if target.trainable != source.trainable:
            target.trainable = source.trainable
    for one, two in _inside(old, new):
        if getattr(one, "lora_enabled", False):
            two.lora_alpha = one.lora_alpha  # Keras' own build resets it
        if isinstance(two, keras.layers.Normalization):
            two.finalize_state()  # it keeps what follows from its weights


def convert(model, plan):
    """Returns a model whose planned layers are light, started from the given one's weights.

    All other layers are copied with their weights and state. Shared layers stay shared and
    nested models nested. Layers, and what the model was compiled with, are copied by their
    configuration: functions of one's own have to be registered with
    `keras.saving.register_keras_serializable`. As `keras.models.clone_model` does, it compiles
    the new model if the given one was, with a fresh optimizer.

    Args:
        model: The `keras.Model` of the plan, which stays as it is.
        plan: What `plan` returns, or its rows as a list of dictionaries. Only
            `layer`, `form` and `rank` matter, and `kernel` where it is given.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If the plan is not one of this model, or the model can't be rebuilt.

    Example:

    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, name="dense")])
    >>> convert(model, [{"layer": "dense", "form": "", "rank": 10}]).count_params()
    992
    """
    import pandas as pd

    rows = json.loads(plan.to_json(orient="records")) if hasattr(plan, "to_json") else plan
    found = applications(model)
    light, seen = {}, set()
    for row in rows:
        if not isinstance(row, dict) or "rank" not in row or not isinstance(row.get("layer"), str):
            raise ValueError(
                f"Each row of a plan has a `layer`, a `rank` and a `form`. Received: {row!r}"
            )
        path, rank = row["layer"], row["rank"]
        if path in seen:
            raise ValueError(f"The plan has two rows of one layer. Received: layer={path!r}")
        seen.add(path)
        if path not in found:
            raise ValueError(
                "The plan is of another model: this one has no such layer. "
                f"Received: layer={path!r}, model {model.name!r}"
            )
        layer = found[path][0]
        if "kernel" in row:
            if (shape := _kernel_shape(layer)) != row["kernel"]:
                raise ValueError(
                    f"The plan is of another model: layer {path!r} has a kernel of {shape} here. "
                    f"Received: kernel={row['kernel']!r}"
                )
        if pd.isna(rank):
            continue
        if isinstance(rank, float) and rank.is_integer():
            rank = int(rank)  # of a column with missing values
        if isinstance(layer, keras.layers.Conv2D):
            light[id(layer)] = from_conv2d(layer, rank, row.get("form"))
        else:
            light[id(layer)] = from_dense(layer, rank)
    return rebuild(model, lambda layer: light.get(id(layer)))


def warn_of_hidden(found):
    """Warns of light layers inside other layers, as TimeDistributed has one."""

    def around(layer):
        inside = layer._flatten_layers(include_self=False)
        return any(isinstance(one, LightDense | LightConv2D) for one in inside)

    if kept := [path for path, (layer, _) in found.items() if around(layer)]:
        why = "Light layers inside other layers are not reached, so these layers stay as they are: "
        warnings.warn(why + ", ".join(kept), stacklevel=3)


def merge(model):
    """Returns a model of plain Keras layers that computes what one with light layers does.

    For serving where `lightlayers` is not installed. Layers of form `"paper"` stand for no
    single kernel, those of a class of their own may compute something else, and those inside
    other layers, such as TimeDistributed, are not reached: they stay, and a warning names them.

    Args:
        model: Built Sequential or functional `keras.Model`, which stays as it is.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If the model can't be rebuilt.
    """
    found = applications(model)

    def stays(layer):
        if not isinstance(layer, LightDense | LightConv2D):
            return ""
        if type(layer) not in (LightDense, LightConv2D):
            return "Layers of a class of their own may compute something else"
        paper = getattr(layer, "form", "") == "paper"
        return "Form 'paper' stands for no single kernel" if paper else ""

    reasons = {path: stays(layer) for path, (layer, _) in found.items()}
    for reason in dict.fromkeys(filter(None, reasons.values())):
        kept = ", ".join(path for path, why in reasons.items() if why == reason)
        warnings.warn(f"{reason}, so these layers stay as they are: {kept}", stacklevel=2)
    warn_of_hidden(found)

    def plain(layer):
        if stays(layer):
            return None
        if isinstance(layer, LightDense):
            return to_dense(layer)
        return to_conv2d(layer) if isinstance(layer, LightConv2D) else None

    return rebuild(model, plain)
