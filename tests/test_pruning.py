"""Ranks found in training: under the budget, survivors untouched, the dropped gone for good."""

import keras
import numpy as np
import pytest

from lightlayers import (
    Budget,
    LightConv2D,
    LightDense,
    RankSchedule,
    costs,
    graphs,
    pruning,
    squeeze,
)

JAX = keras.backend.backend() == "jax"
numpy = keras.ops.convert_to_numpy
X, Y = (np.random.default_rng(0).normal(size=size) for size in ((64, 8, 8, 4), (64, 4)))


def network(jit_compile="auto", optimizer="adam"):
    """All forms, groups, biases between the factors, a nested model and a shared layer."""
    keras.utils.set_random_seed(0)
    start = {"bias_initializer": "glorot_uniform", "padding": "same"}
    inner = keras.Sequential([keras.Input((8, 8, 8)), LightConv2D(8, 3, rank=6, form="channel")])
    shared = LightConv2D(8, 3, rank=5, form="spatial", kernel_regularizer="l2", padding="same")
    inputs = keras.Input((8, 8, 4))
    x = LightConv2D(8, 3, rank=4, groups=2, **start)(inputs)
    x = inner(shared(shared(x)))
    x = keras.layers.BatchNormalization()(x)
    x = LightDense(4, rank=4)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return model


def trained(model, schedule, epochs):
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.append(list(pruning.count_ranks(model).values()))
    )
    model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[schedule, look])
    return seen


def multiply_adds(model):
    return sum(
        costs.multiply_adds(layer, shape)
        for layer, shapes in graphs.applications(model).values()
        for shape in shapes
    )


# Without, JAX compiles each operation by itself.
@pytest.mark.parametrize("jit_compile", [True] if JAX else [False, True])
def test_ends_at_most_one_direction_below_the_budget_and_stays_there(jit_compile):
    model = network(jit_compile)
    assert model.count_params() > 1100
    seen = trained(model, RankSchedule(Budget(parameters=700), epochs=3), 6)
    assert sum(seen[0]) > sum(seen[2]) and seen[2] == seen[5] and min(seen[5]) >= 1
    small = squeeze(model)
    dearest = max(layer.parameters_per_rank for layer in pruning.count_ranks(model))
    assert dearest == 9 * 2 * 2 + 9 * 8 + 2  # two groups, each with two channels in
    assert 700 - dearest < small.count_params() <= 700
    np.testing.assert_allclose(small.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-5)
    assert len(small.layers) == len(model.layers) and model.count_params() > 1100


def test_nothing_is_dropped_where_it_spares_nothing_of_what_is_exceeded():
    keras.utils.set_random_seed(0)
    merged = LightConv2D(8, 3, rank=4, form="spatial", implementation="merged", name="merged")
    model = keras.Sequential([keras.Input((8, 8, 4)), merged, LightConv2D(4, 3, rank=4)])
    model.compile("adam", "mse", jit_compile=False)
    merged.factor_1.assign(numpy(merged.factor_1) * [1, 1, 1, 1e-3])  # which takes off least
    schedule = RankSchedule(Budget(model.count_params(), macs=multiply_adds(model) * 9 // 10), 1)
    model.fit(X, np.zeros((64, 4, 4, 4)), verbose=0, callbacks=[schedule])
    assert list(pruning.count_ranks(model).values()) == [4, 3]


def test_both_limits_hold():
    model = network()
    parameters, macs = 900, multiply_adds(model) // 2
    trained(model, RankSchedule(Budget(parameters=parameters, macs=macs), epochs=1), 1)
    small = squeeze(model)
    assert small.count_params() <= parameters and multiply_adds(small) <= macs


@pytest.mark.parametrize("optimizer", ["adam", keras.optimizers.SGD(0.01, momentum=0.9)])
def test_survivors_keep_their_weights_and_the_moments(optimizer):
    model = network(optimizer=optimizer)
    model.fit(X, Y, verbose=0)
    schedule = RankSchedule(Budget(parameters=800), epochs=1)
    schedule.set_model(model)
    schedule.on_train_begin()
    variables = [*model.trainable_variables, *model.optimizer.variables]
    before = [numpy(variable).copy() for variable in variables]
    schedule.on_epoch_end(0)
    gone = 0
    for variable, old in zip(variables, before, strict=True):
        new = numpy(variable)
        changed = new != old
        assert not new[changed].any(), "a survivor moved"
        if variable.ndim and "factor_1" in variable.path:
            column = changed.all(axis=tuple(range(variable.ndim - 1)))
            gone += column.sum()
            np.testing.assert_array_equal(changed, np.broadcast_to(column, changed.shape))
    slots = 2 if optimizer == "adam" else 1
    dropped = {layer: layer.rank - rank for layer, rank in pruning.count_ranks(model).items()}
    columns = sum(count * getattr(layer, "groups", 1) for layer, count in dropped.items())
    assert gone == (1 + slots) * columns > 0


@pytest.mark.parametrize(
    "optimizer", ["adam", keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, 0.9))]
)
def test_layers_whose_variables_have_one_path_keep_to_themselves(optimizer):
    x = inputs = keras.Input((6,))
    for name in ("one", "two"):
        start = inner = keras.Input((6,))
        inner = LightDense(6, rank=4, name="light")(inner)
        x = keras.Model(start, inner, name=name)(x)
    model = keras.Model(inputs, x)
    model.compile(optimizer, "mse")
    data = np.random.default_rng(0).normal(size=(32, 6))
    model.fit(data, data, verbose=0)
    one, two = (model.get_layer(name).get_layer("light") for name in ("one", "two"))
    assert one.factor_1.path == two.factor_1.path
    one.factor_1.assign(one.factor_1 * np.array([1, 1e-6, 1, 1], "float32"))
    before = {id(v): numpy(v).copy() for v in model.optimizer.variables}
    schedule = RankSchedule(Budget(parameters=model.count_params() - 12), epochs=1)
    schedule.set_model(model)
    schedule.on_train_begin()
    schedule.on_epoch_end(0)
    assert pruning.count_ranks(model) == {one: 3, two: 4}
    changed = [v for v in model.optimizer.variables if (numpy(v) != before[id(v)]).any()]
    moments = 2 if optimizer == "adam" else 1
    assert len(changed) == 2 * moments  # of one layer's two factors
    assert not any(numpy(v)[:, 1].any() for v in changed if v.shape == (6, 4))


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    # Of the four steps of an epoch the last is in the middle of three: gradients wait.
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=3),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.01)),
    "ftrl": lambda: keras.optimizers.Ftrl(0.05),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, centered=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_squeezed_model_trains_on_as_the_given_one_would(name):
    model = network(jit_compile=JAX, optimizer=OPTIMIZERS[name]())
    fit = {"batch_size": 16, "shuffle": False, "verbose": 0}
    model.fit(X, Y, epochs=2, callbacks=[RankSchedule(Budget(parameters=700), epochs=1)], **fit)
    small = squeeze(model)
    assert small.count_params() <= 700
    assert int(small.optimizer.iterations) == int(model.optimizer.iterations) > 0
    kept = pruning.count_ranks(model)
    expected = model.fit(X, Y, epochs=2, **fit).history["loss"]
    assert pruning.count_ranks(model) == kept, "what was dropped came back"
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(small.fit(X, Y, epochs=2, **fit).history["loss"], expected, 1e-4)


@pytest.mark.skipif(JAX, reason="Keras refuses the optimiser there")
def test_what_was_frozen_since_leaves_the_optimiser_as_it_was():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6), LightDense(6, rank=4)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    x = np.random.default_rng(0).normal(size=(32, 6))
    model.fit(x, x, epochs=3, verbose=0)
    model.layers[0].trainable = False
    model.compile(model.optimizer, "mse")
    small = squeeze(model)
    assert int(small.optimizer.iterations) == int(model.optimizer.iterations) > 0
    expected = model.fit(x, x, epochs=2, shuffle=False, verbose=0).history["loss"]
    found = small.fit(x, x, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(found, expected, 1e-5)


def test_a_column_at_zero_with_a_bias_is_no_zero():
    model = keras.Sequential([keras.Input((6, 6, 2)), LightConv2D(4, 3, rank=3)])
    layer = model.layers[0]
    layer.factor_1.assign(layer.factor_1 * np.array([1, 0, 0], "float32"))
    layer.intermediate_bias.assign([0.1, 0.5, 0.0])
    assert pruning.count_ranks(model) == {layer: 2}
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    np.testing.assert_allclose(numpy(squeeze(model)(x)), numpy(model(x)), atol=1e-6)


def test_what_is_not_a_number_is_no_zero():
    model, data = two_layers()
    one, two = model.layers
    one.factor_1.assign(one.factor_1 * np.array([1, np.nan, 0, 1], "float32"))
    assert pruning.count_ranks(model) == {one: 3, two: 4}
    assert np.isnan(numpy(squeeze(model)(data))).all()
    with pytest.warns(UserWarning, match="still above its budget"):
        model.fit(data, data, verbose=0, callbacks=[RankSchedule(Budget(parameters=60), epochs=1)])


def test_the_costs_fall_as_a_cubic():
    model = keras.Sequential([keras.Input((12,)), LightDense(12, rank=12, use_bias=False)])
    model.compile("sgd", "mse")
    schedule = RankSchedule(Budget(parameters=96), epochs=8)
    schedule.set_model(model)
    schedule.on_train_begin()
    costs = []
    for epoch in range(8):
        schedule.on_epoch_end(epoch)
        costs.append(24 * pruning.count_ranks(model)[model.layers[0]])
    # 96 + 192 (1 - t)³ is 224, 177, 143, 120, 106, 99, 96.4, 96: of 24 for a direction
    assert costs == [216, 168, 120, 120, 96, 96, 96, 96]


@pytest.mark.parametrize(("least", "first"), [(45, "two"), (83, "one")])
def test_energies_count_within_their_layer_and_by_their_price(least, first):
    whole = {"rank": 3, "use_bias": False}
    layers = [LightDense(6, name="one", **whole), LightDense(2, name="two", **whole)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile("sgd", "mse")
    for layer, energies in zip(layers, ([9, 4, 1], [900, 400, least]), strict=True):
        layer.factor_1.assign(np.eye(6)[:, :3] * np.sqrt(energies))
        layer.factor_2.assign(np.full((3, layer.units), layer.units**-0.5))  # rows of length 1
    schedule = RankSchedule(Budget(parameters=59), epochs=1)
    schedule.set_model(model)
    schedule.on_train_begin()
    schedule.on_epoch_end(0)
    kept = {layer.name: rank for layer, rank in pruning.count_ranks(model).items()}
    assert kept == {"one": 3, "two": 3} | {first: 2}


def test_an_optimizer_whose_memory_has_other_shapes_starts_afresh():
    model = network(optimizer="adafactor")
    model.fit(X, Y, verbose=0)
    assert int(model.optimizer.iterations) and not int(squeeze(model).optimizer.iterations)


def test_moments_follow_their_weights_where_a_layer_is_quantised():
    quantised = keras.layers.Dense(4, name="quantised")
    parts = [LightDense(6, rank=3), quantised]
    model = keras.Sequential([keras.Input((6,)), *parts])
    quantised.quantize("float8")  # behind what it has already; its copy has the scales first
    model.compile("adam", "mse")
    model.train_on_batch(np.eye(6), np.ones((6, 4)))
    small = squeeze(model)
    before, after = (
        graphs.find_slots(each.optimizer, each.get_layer("quantised").kernel)
        for each in (model, small)
    )
    assert len(before) == len(after) == 2 and all(numpy(one).any() for one in before)
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_least_energy_for_its_cost_goes_first():
    model = keras.Sequential([keras.Input((6,)), LightDense(6, rank=4, use_bias=False)])
    model.compile("sgd", "mse")
    layer = model.layers[0]
    layer.factor_1.assign(np.eye(6)[:, :4] * [3.0, 1.0, 4.0, 2.0])
    layer.factor_2.assign(np.eye(6)[:4])
    schedule = RankSchedule(Budget(parameters=24), epochs=1)
    schedule.set_model(model)
    schedule.on_train_begin()
    schedule.on_epoch_end(0)
    assert np.flatnonzero(numpy(layer.factor_1).any(axis=0)).tolist() == [0, 2]
    kernel = numpy(layer.kernel)
    np.testing.assert_allclose(numpy(squeeze(model).layers[0].kernel), kernel, atol=1e-6)


def test_layers_inside_others_are_named():
    inside = keras.layers.TimeDistributed(LightDense(8, rank=6, use_bias=False), name="wrapped")
    model = keras.Sequential([keras.Input((3, 8)), inside, LightDense(8, rank=6, use_bias=False)])
    model.compile("sgd", "mse")
    data = np.ones((4, 3, 8))
    with pytest.warns(UserWarning, match="not reached, .*: wrapped$"):
        schedule = RankSchedule(Budget(parameters=150), epochs=1)
        model.fit(data, data, verbose=0, callbacks=[schedule])
    assert list(pruning.count_ranks(model).values()) == [3]


def test_a_budget_out_of_reach_is_refused_and_one_already_met_changes_nothing():
    model = network()
    with pytest.raises(ValueError, match=r"rank 1 in every light layer.*Received: \[100\]"):
        trained(model, RankSchedule(Budget(parameters=100), epochs=1), 1)
    with pytest.raises(ValueError, match="Received: epochs=0"):
        RankSchedule(Budget(parameters=100), epochs=0)
    ranks = list(pruning.count_ranks(model).values())
    assert trained(model, RankSchedule(Budget(parameters=10**6), epochs=1), 1) == [ranks]


def two_layers():
    keras.utils.set_random_seed(0)
    layers = [LightDense(8, rank=4, use_bias=False, name=name) for name in ("one", "two")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile("sgd", "mse")
    data = np.random.default_rng(0).normal(size=(32, 8))
    return model, data


def test_restored_weights_lose_again_what_was_dropped():
    model, data = two_layers()
    # The first epoch's loss is the largest, and its weights have all directions.
    best = {"monitor": "loss", "mode": "max", "restore_best_weights": True}
    stop = keras.callbacks.EarlyStopping(**best, patience=9)
    schedule = RankSchedule(Budget(parameters=60), epochs=3)
    model.fit(data, data, epochs=4, verbose=0, callbacks=[stop, schedule])
    assert stop.best_epoch == 0 and squeeze(model).count_params() <= 60


def test_training_that_ends_above_the_budget_says_so():
    model, data = two_layers()
    schedule = RankSchedule(Budget(parameters=60), epochs=4)
    with pytest.warns(UserWarning, match=r"not \[60\]. The first 4 epochs"):
        model.fit(data, data, epochs=2, verbose=0, callbacks=[schedule])
    assert squeeze(model).count_params() > 60


def test_a_model_with_a_training_step_of_its_own_is_pruned_and_not_rebuilt():
    class Custom(keras.Model):
        def train_step(self, *arguments):
            return super().train_step(*arguments)

    inputs = keras.Input((8,))
    model = Custom(inputs, LightDense(8, rank=4, use_bias=False)(inputs))
    model.compile("adam", "mse")
    data = X.reshape(-1, 8)[:64]
    model.fit(data, data, verbose=0, callbacks=[RankSchedule(Budget(parameters=32), epochs=1)])
    assert list(pruning.count_ranks(model).values()) == [2]
    with pytest.raises(ValueError, match="subclassed one .*Received: Custom"):
        squeeze(model)


@pytest.mark.skipif(JAX, reason="a training step of TensorFlow's")
def test_an_optimizer_that_a_model_holds_itself_forgets_what_was_dropped():
    tf = pytest.importorskip("tensorflow")

    class Own(keras.Model):
        def compile(self, mine):
            super().compile(loss="mse")
            self.mine = mine

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            variables = self.trainable_variables
            self.mine.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return {"loss": loss}

    inputs = keras.Input((8,))
    hidden = LightDense(16, rank=8, name="a")(inputs)
    model = Own(inputs, LightDense(8, rank=8, name="b")(hidden))
    model.compile(keras.optimizers.Adam(0.01))
    data, seen = X.reshape(-1, 8)[:64], []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.append(sum(pruning.count_ranks(model).values()))
    )
    schedule = RankSchedule(Budget(parameters=200), epochs=2)
    model.fit(data, data, epochs=5, verbose=0, callbacks=[schedule, look])
    assert len(set(seen[1:])) == 1 and seen[1] < 16


@pytest.mark.skipif(JAX, reason="as on TensorFlow")
def test_optimizers_within_optimizers_forget_and_go_on():
    keras.utils.set_random_seed(0)
    parts = [LightDense(16, rank=8, name="a"), LightDense(8, rank=8, name="b")]
    model = keras.Sequential([keras.Input((8,)), *parts])
    sgd = keras.optimizers.OptimizerMap(
        keras.optimizers.Adam(0.01), {".*a/.*": keras.optimizers.SGD(0.05, momentum=0.9)}
    )
    both = keras.optimizers.MultiOptimizer(sgd)
    model.compile(keras.optimizers.LossScaleOptimizer(both), "mse")
    data = X.reshape(-1, 8)[:64]
    fit = {"epochs": 3, "shuffle": False, "verbose": 0}
    model.fit(data, data, callbacks=[RankSchedule(Budget(parameters=200), epochs=1)], **fit)
    kept, small = pruning.count_ranks(model), squeeze(model)
    assert sum(kept.values()) < 16
    expected = model.fit(data, data, **fit).history["loss"]
    assert pruning.count_ranks(model) == kept
    np.testing.assert_allclose(small.fit(data, data, **fit).history["loss"], expected, 1e-4)


def test_frozen_layers_stay_as_they_are():
    parts = [LightDense(16, rank=8, name="a"), LightDense(16, rank=8, name="b")]
    model = keras.Sequential([keras.Input((8,)), *parts])
    parts[0].trainable = False
    model.compile("adam", "mse")
    data, before = X.reshape(-1, 8)[:64], numpy(parts[0].kernel)
    target = np.zeros((64, 16))
    schedule = RankSchedule(Budget(parameters=model.count_params() - 100), epochs=1)
    model.fit(data, target, epochs=2, verbose=0, callbacks=[schedule])
    assert list(pruning.count_ranks(model).values()) == [8, 4]
    np.testing.assert_array_equal(numpy(parts[0].kernel), before)


def test_what_an_activation_makes_of_zero_is_not_cut():
    parts = [
        LightConv2D(4, 3, rank=3, intermediate_activation=activation)
        for activation in ("sigmoid", keras.layers.PReLU(shared_axes=[1, 2]))
    ]
    model = keras.Sequential([keras.Input((8, 8, 4)), *parts])
    for layer in parts:
        factor = numpy(layer.factor_1).copy()
        factor[..., 0] = 0
        layer.factor_1.assign(factor)
    np.testing.assert_allclose(numpy(squeeze(model)(X)), numpy(model(X)), atol=1e-5)
    alone = keras.Sequential([keras.Input((8, 8, 4)), parts[1]])
    alone.compile("adam", "mse")
    schedule = RankSchedule(Budget(parameters=150), epochs=1)
    with pytest.raises(ValueError, match="weights of an activation between .*Received: layer"):
        alone.fit(X, numpy(alone(X)), verbose=0, callbacks=[schedule])


def test_multiply_adds_of_merged_kernels_are_not_to_be_saved():
    whole = {"form": "spatial", "implementation": "merged", "padding": "same", "use_bias": False}
    parts = [LightConv2D(4, 3, rank=3, **whole), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((8, 8, 4)), *parts, LightDense(4, rank=3)])
    model.compile("adam", "mse")
    fixed = 64 * 9 * 4 * 4  # one convolution, whatever the rank
    assert multiply_adds(model) == fixed + 3 * 8
    trained(model, RankSchedule(Budget(macs=fixed + 8), epochs=1), 1)
    assert list(pruning.count_ranks(model).values()) == [3, 1]
    with pytest.raises(ValueError, match="less than the model costs with rank 1"):
        trained(model, RankSchedule(Budget(macs=fixed), epochs=1), 1)


def test_an_activation_that_brings_directions_back_is_refused():
    for activation in ("sigmoid", "softplus", "tanh", "relu"):
        between = {"intermediate_activation": activation}
        parts = [LightConv2D(4, 3, rank=4, name="light", **between), keras.layers.Flatten()]
        model = keras.Sequential([keras.Input((8, 8, 4)), *parts, LightDense(4, rank=2)])
        model.compile("adam", "mse")
        schedule = RankSchedule(Budget(parameters=model.count_params() - 60), epochs=1)
        if activation in ("tanh", "relu"):
            assert trained(model, schedule, 2)[1] < [4, 2]
        else:
            with pytest.raises(ValueError, match=f"Received: layer 'light' .*{activation}"):
                trained(model, schedule, 2)


def test_a_layer_whose_directions_are_all_zero_counts_with_one():
    model, data = two_layers()
    model.layers[1].factor_1.assign(np.zeros((8, 4)))
    assert list(pruning.count_ranks(model).values()) == [4, 1]
    model.compile(keras.optimizers.SGD(0.0), "mse")  # which leaves it so
    schedule = RankSchedule(Budget(parameters=64), epochs=1)
    model.fit(data, data, verbose=0, callbacks=[schedule])
    assert squeeze(model).count_params() == 64


def test_multiply_adds_of_an_open_size_are_refused_and_of_a_fixed_one_counted():
    light = LightConv2D(4, 3, rank=3, form="spatial")
    pooled = [keras.layers.GlobalAveragePooling2D(), LightDense(4, rank=3)]
    model = keras.Sequential([keras.Input((None, None, 4)), light, *pooled])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="size of the input, which is not fixed"):
        trained(model, RankSchedule(Budget(macs=16), epochs=1), 1)
    other = [keras.layers.Conv2DTranspose(4, 3, name="other"), light, *pooled]
    model = keras.Sequential([keras.Input((8, 8, 4)), *other])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"Received: 'other' \(Conv2DTranspose\)$"):
        trained(model, RankSchedule(Budget(macs=10**5), epochs=1), 1)
    model = keras.Sequential([keras.Input((None, None, 4)), *pooled])
    model.compile("adam", "mse")
    assert trained(model, RankSchedule(Budget(macs=16), epochs=1), 1) == [[2]]
