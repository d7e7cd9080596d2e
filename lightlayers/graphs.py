"""A model's graph: its layers, the model built anew with others, and its optimiser's state.

With `base` the only module that knows Keras' private side.
"""

import contextlib
import tempfile
import warnings

import keras
from keras.src.models import Functional

from lightlayers.base import LightLayer

_GRAPHS = (keras.Sequential, Functional)
_CALLS = [graph.call for graph in _GRAPHS]
_REGISTER = (
    "Give functions names, no lambda, and decorate your own functions and classes with "
    "keras.saving.register_keras_serializable()."
)


def flatten_layers(layer):
    """Returns a layer or model and all layers in it, itself first. Other operations have none."""
    return list(layer._flatten_layers()) if isinstance(layer, keras.layers.Layer) else []


def _get_inputs(model, path="", subclassed=False):
    """Returns the inputs of a model whose graph is known, and refuses other models."""
    # A subclass without a call of its own may train otherwise, but computes the same.
    known = isinstance(model, _GRAPHS) and type(model).call in _CALLS
    if not (known if subclassed else type(model) in _GRAPHS):
        where = f" (layer {path!r})" if path else ""
        raise ValueError(
            "Only Sequential and functional models can be rebuilt. Write a subclassed one anew, "
            "with LightDense, or LightConv2D of form 'spatial', in its __init__, and build it. "
            "Then give it the trained weights, layer by layer: new.head.set_weights("
            "from_dense(old.head, rank).get_weights()), of a Conv2D by from_conv2d. "
            f"Received: {type(model).__name__}{where}"
        )
    if not hasattr(model, "inputs"):
        raise ValueError(f"Build the model first. Received: {model!r}")
    return model.inputs


def applications(model, subclassed=False):
    """Returns `{path: (layer, input shapes)}`, one shape for each time a layer is applied.

    Layers of nested models are among them. A shared layer is there once, under its first path.

    Args:
        model: Built Sequential or functional `keras.Model`.
        subclassed: Boolean, whether subclasses that define no `call` are taken. They have a graph,
            but can't be rebuilt without their class. Defaults to `False`.

    Raises:
        ValueError: If the graph is not known, or a weight is used outside of its layer.
    """
    found, paths = {}, {}

    def run(graph, inputs, prefix):
        _get_inputs(graph, prefix[:-1], subclassed)
        graph = getattr(graph, "_functional", graph)  # of a Sequential
        if isinstance(inputs, dict) and not isinstance(graph._inputs_struct, dict):
            inputs = [inputs[each.name] for each in graph.inputs]  # as Keras pairs them in a call
        return graph._run_through_graph(inputs, operation_fn=lambda op: visit(op, prefix))

    def visit(op, prefix):
        def run_nested(inputs, *_, **__):
            return run(op, inputs, f"{prefix}{op.name}/")

        def note(*args, **kwargs):
            path = paths.setdefault(id(op), prefix + op.name)
            _, shapes = found.setdefault(path, (op, []))
            shapes.append(getattr((*args, *kwargs.values(), None)[0], "shape", None))
            _check_no_variable(path, (args, kwargs))
            return op.compute_output_spec(*args, **kwargs)

        return run_nested if isinstance(op, _GRAPHS) else note

    run(model, _get_inputs(model, subclassed=subclassed), "")
    owners = {}
    for path, (op, _) in list(found.items()):
        if not isinstance(op, keras.layers.Layer):  # but one of keras.ops
            del found[path]
            continue
        for variable in op.variables:
            owner = owners.setdefault(id(variable), path)
            if owner != path:
                raise ValueError(
                    "Keras can't rebuild a model with one weight in two layers. "
                    f"Received: {variable.path} in {owner!r} and {path!r}"
                )
    return found


def _check_no_variable(path, arguments):
    for value in keras.tree.flatten(arguments):
        if isinstance(value, keras.Variable):
            raise ValueError(
                "Keras can't rebuild a model with a weight outside of its layer. "
                f"Received: {value.path} in {path!r}"
            )


def warn_of_hidden(found):
    """Warns of light layers inside others, as TimeDistributed has one."""
    hidden = []
    for path, (layer, _) in found.items():
        if any(isinstance(each, LightLayer) for each in flatten_layers(layer)[1:]):
            hidden.append(path)
    if hidden:
        why = "Light layers inside other layers are not reached, so these layers stay as they are: "
        warnings.warn(why + ", ".join(hidden), stacklevel=3)


def build_like(new, layer):
    """Builds a layer for the inputs that another takes, and returns it."""
    shape = [None] * (4 if isinstance(layer, keras.layers.Conv2D) else 2)
    for axis, size in layer.input_spec.axes.items():
        shape[axis] = size
    with contextlib.ExitStack() as scopes:  # optimisers may be chosen by a weight's path
        for part in (layer.path or "").split("/")[:-1]:
            scopes.enter_context(keras.name_scope(part))
        new.build(tuple(shape))
    return new


def copy_layer(layer, **changes):
    """Returns a layer of the same configuration but for the changes, without the weights."""
    try:
        return type(layer).from_config(layer.get_config() | changes)
    except Exception as error:  # of any kind: it may come from code of the user's
        raise ValueError(
            f"Layer {layer.name!r} can't be rebuilt from its configuration. {_REGISTER} "
            f"Received: {layer!r}"
        ) from error


def _list_variables(layer):
    """Returns the variables of a layer or model, in the order that its copy has them in."""
    found = {}
    for each in reversed(flatten_layers(layer)):  # an outer layer lists those of its inner ones too
        added = [variable for variable in each.variables if id(variable) not in found]
        if getattr(each, "quantization_mode", None):  # Keras' order tells when that was done
            added.sort(key=lambda variable: variable.name)
        found |= {id(variable): variable for variable in added}
    return list(found.values())


def _pair_layers(old, new):
    """Returns pairs of a layer and those in it with their copies."""
    # Before it is called, a copy may lack those that are made then.
    return list(zip(flatten_layers(old), flatten_layers(new), strict=False))


def _copy_vocabularies(old, new):
    """Copies what is in neither weights nor configuration, before a call fixes its size."""
    for source, target in _pair_layers(old, new):
        if not hasattr(source, "get_vocabulary"):
            continue
        values = {}
        source.save_own_variables(values)
        target.load_own_variables(values)
        with tempfile.TemporaryDirectory() as folder:
            source.save_assets(folder)
            target.load_assets(folder)


def _copy_state(old, new):
    """Gives a copy of a layer the weights and the state that no configuration holds."""
    for source, target in _pair_layers(old, new):  # from the outside in, as it is handed down
        if target.trainable != source.trainable:
            target.trainable = source.trainable
    for source, target in zip(_list_variables(old), _list_variables(new), strict=True):
        target.assign(keras.ops.convert_to_numpy(source))  # a copy: JAX donates its arrays
        if target.trainable != source.trainable:
            target.trainable = source.trainable
    for source, target in _pair_layers(old, new):
        if getattr(source, "lora_enabled", False):
            target.lora_alpha = source.lora_alpha  # Keras' own build resets it
        if isinstance(target, keras.layers.Normalization):
            target.finalize_state()  # it keeps what follows from its weights


def _copy_input(tensor):
    """Returns an input like the given one. By its shape Keras takes it for dense and required."""
    arguments = {name: getattr(tensor, name) for name in ("dtype", "sparse", "ragged", "name")}
    optional = tensor._keras_history.operation.optional
    return keras.Input(batch_shape=tensor.shape, optional=optional, **arguments)


def _check_compilation(model):
    """Refuses a model that was compiled with what can't be copied."""
    for part in flatten_layers(model):  # nested models may be compiled too
        if getattr(part, "compiled", False):
            try:
                keras.saving.deserialize_keras_object(part.get_compile_config())
            except Exception as error:
                raise ValueError(
                    f"What model {part.name!r} was compiled with can't be copied. {_REGISTER} "
                    f"Received: {str(error).partition('. ')[0].strip()}"
                ) from error


def rebuild(model, replace):
    """Returns a built model anew, with the layers that `replace` gives and all other weights.

    It is compiled if the given one was, with a fresh optimiser, which spares the same weights from
    decay.

    Args:
        model: Built Sequential or functional `keras.Model`, which stays as it is.
        replace: Function `(layer) -> layer`, or `None` for a copy of that layer.
    """
    applications(model)  # refuses what can't be rebuilt
    _check_compilation(model)
    copies, replaced = [], []

    def clone(layer):
        new = replace(layer)
        if new is None:
            new = copy_layer(layer)
            copies.append((layer, new))
            _copy_vocabularies(layer, new)
        else:
            replaced.append((layer, new))
        return new

    # A new model takes the global policy, and so does its optimizer, which scales the loss or not.
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(model.dtype_policy)
    try:
        inputs = model.inputs if isinstance(model, keras.Sequential) else model.input
        inputs = keras.tree.map_structure(_copy_input, inputs)
        rebuilt = keras.models.clone_model(model, inputs, clone, recursive=True)
        for old, new in copies:
            _copy_state(old, new)
        if not model.trainable:
            rebuilt.trainable = False
        if model.compiled:
            # Only now: an optimiser may start from copies of the weights.
            rebuilt.compile_from_config(model.get_compile_config())
            _copy_exclusions(model.optimizer, rebuilt.optimizer, copies + replaced)
    finally:
        keras.config.set_dtype_policy(policy)
    return rebuilt


def _list_optimizers(optimizer):
    """Returns an optimiser and those in it: LossScaleOptimizer has one, MultiOptimizer several."""
    found = [optimizer]
    if getattr(optimizer, "inner_optimizer", None):
        found += _list_optimizers(optimizer.inner_optimizer)
    for each in getattr(optimizer, "_inner_optimizers", ()):
        found += _list_optimizers(each)
    return found


def find_slots(optimizer, variable):
    """Returns what an optimiser remembers of each entry of a variable.

    Names don't tell variables apart: in two nested models they can have the same path.
    """
    found = []
    for each in _list_optimizers(optimizer):
        known = getattr(each, "_trainable_variables", ())
        places = [i for i, other in enumerate(known) if other is variable]
        if not places:
            continue
        for values in vars(each).values():
            if isinstance(values, list) and len(values) == len(known):
                found.append(values[places[0]])
            elif isinstance(values, dict):  # of Muon, in older Keras
                found.append(values.get(variable.path))
    found = [slot for slot in found if slot is not variable and hasattr(slot, "assign")]
    return [slot for slot in found if slot.shape == variable.shape]


def _find_origins(old, new):
    """Returns pairs of a weight of a new layer and those of the old one that it stands for."""
    before, after = _list_variables(old), _list_variables(new)
    if type(old) is type(new):
        return [(twin, [weight]) for weight, twin in zip(before, after, strict=True)]
    names = [weight.name for weight in after]
    # The factors of a kernel, or the kernel of two factors, have names of their own.
    others = [weight for weight in before if weight.name not in names]
    return [(twin, [x for x in before if x.name == twin.name] or others) for twin in after]


def _copy_exclusions(old, new, layers):
    """Lets an optimiser spare from decay what another does, by pairs of old and new layers.

    No configuration says which weights those are.
    """
    pairs = [pair for layer, twin in layers for pair in _find_origins(layer, twin)]
    for source, target in zip(_list_optimizers(old), _list_optimizers(new), strict=True):
        spared = set()
        for twin, origins in pairs:
            if origins and not any(map(source._use_weight_decay, origins)):
                spared.add(target._var_key(twin))
        target._exclude_from_weight_decay = spared


def carry_optimizer(old, new, cut):
    """Gives the optimiser of a rebuilt model the state of the given model's.

    It stays fresh where it remembers something that has not the shape of the weights.

    Args:
        old: `keras.Model`.
        new: What `rebuild` made of it.
        cut: Function `(value, variable) -> array`, of a value with the shape of an old variable the
            part that the new one has, and the whole value where `variable` is `None`.
    """
    if not old.compiled or not old.optimizer.built:
        return
    pairs, known = [], set()
    for source, target in zip(_list_variables(old), _list_variables(new), strict=True):
        slots, others = find_slots(old.optimizer, source), find_slots(new.optimizer, target)
        known.update(map(id, (*slots, *others)))
        # Not strict: what was frozen since compilation has slots in the old one only.
        pairs += [(slot, other, source) for slot, other in zip(slots, others, strict=False)]
    rest = [value for value in old.optimizer.variables if id(value) not in known]
    others = [value for value in new.optimizer.variables if id(value) not in known]
    if len(rest) != len(others) or any(len(value.shape) for value in rest):
        return  # what has another shape can't be cut
    pairs += [(value, other, None) for value, other in zip(rest, others, strict=True)]
    for value, twin, source in pairs:
        twin.assign(cut(value, source))
