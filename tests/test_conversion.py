"""Conversion of whole models by a plan, and merging: budgets held, the rest kept."""

import io
import json
import math
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from test_factorization import LINEAR, matrices, numpy, random, truncated

from lightlayers import LightConv2D, LightDense, cli, conversion, graphs
from lightlayers.conversion import convert, merge, to_dense
from lightlayers.ranks import Budget
from lightlayers.suite import networks

layers = keras.layers


def built(layer, *shape):
    """Returns a layer, or a model, with random weights in place of its initialisers'."""
    if shape:
        layer.build((None, *shape))
    for i, weight in enumerate(layer.weights):
        value = random(*weight.shape, seed=i) / math.sqrt(max(1, math.prod(weight.shape[:-1])))
        weight.assign(abs(value) + 0.5 if "variance" in weight.path else value)
    return layer


def tail(layer, rank, form):
    parts = matrices(layer.kernel, form, getattr(layer, "groups", 1))
    return math.sqrt(sum(np.linalg.norm(part - truncated(part, rank)) ** 2 for part in parts))


GEOMETRIES = [
    {"kernel_size": 3},
    {"kernel_size": (3, 2), "padding": "same", "groups": 2, "use_bias": False},
    {"kernel_size": (2, 3), "strides": (1, 2), "activation": "relu"},
    {"kernel_size": (4, 3), "padding": "same", "strides": (3, 2), "groups": 2},
    {"kernel_size": (3, 2), "padding": "same", "dilation_rate": (2, 1)},
    {"kernel_size": 1},
]


def shifted(x):
    return x - 1


class MyDense(layers.Dense):
    pass


def sequential():
    parts = [layers.Conv2D(8, 3, groups=2, activation="relu", name="conv")]
    parts += [layers.BatchNormalization(name="norm"), layers.Dropout(0.5)]
    parts += [layers.GlobalAveragePooling2D(), layers.Dense(10, name="dense")]
    return built(keras.Sequential([keras.Input((8, 8, 6)), *parts], name="plain"))


def tangled():
    """Returns a model with a shared layer, a nested model used twice, operations, two ends."""
    inner = x = keras.Input((None, None, 6), name="inner")
    x = layers.Conv2D(6, 3, padding="same", name="conv")(x)
    nested = keras.Sequential([keras.Input((None, None, 6)), layers.Conv2D(6, 1, name="deep")])
    nested.trainable = False
    nested = keras.Model(inner, nested(x), name="nested")
    shared = layers.Conv2D(6, 3, padding="same", name="shared", kernel_regularizer="l2")
    image, other = keras.Input((8, 8, 6), name="image"), keras.Input((4, 4, 6), name="other")
    normal = layers.Normalization(name="standardize")
    normal.adapt(random(20, 8, 8, 6, seed=5) * 3 + 1)
    x = shared(nested(shared(normal(image))))
    x = layers.MaxPooling2D()(keras.ops.relu(x) * 2)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(nested(other))
    x = layers.BatchNormalization(name="norm")(layers.Add()([x, y]))
    pooled = layers.Dropout(0.3, seed=7)(layers.GlobalAveragePooling2D()(x))
    tight = layers.Dense(6, name="tight", kernel_constraint="max_norm")(pooled)
    ends = {"a": layers.Dense(9, name="a")(tight), "b": layers.Dense(1, name="b")(pooled)}
    model = keras.Model({"image": image, "other": other}, ends, name="tangled")
    normal.built = True
    keep = [(weight, numpy(weight)) for weight in normal.weights]
    built(model)
    for weight, value in keep:
        weight.assign(value)
    return model


TANGLED = {"image": random(3, 8, 8, 6), "other": random(3, 4, 4, 6, seed=1)}
IMAGES = random(3, 8, 8, 6)


def predicted(model, x):
    return np.concatenate([numpy(part) for part in keras.tree.flatten(model(x))], axis=-1)


@pytest.mark.parametrize(("make", "x"), [(sequential, IMAGES), (tangled, TANGLED)])
def test_plans_hold_their_budget_and_models_cost_what_they_say(make, x):
    model = make()
    before, weights = predicted(model, x), [numpy(weight) for weight in model.variables]
    most = model.count_params()
    for limit in (most - 1, int(most * 0.8), int(most * 0.6)):
        plan = conversion.plan(model, Budget(parameters=limit))
        light = convert(model, plan)
        saved = plan["parameters before"].sum() - plan["parameters"].sum()
        assert light.count_params() == most - saved <= limit
        found = {path: layer for path, (layer, _) in graphs.applications(light).items()}
        for row in plan.to_dict("records"):
            layer = found[row["layer"]]
            assert layer.count_params() == row["parameters"]
            assert (row["why not"] == "") == isinstance(layer, LightDense | LightConv2D)
            assert pd.isna(row["rank"]) == (row["why not"] != "")
        again = conversion.plan(light, Budget(parameters=most))
        pd.testing.assert_series_equal(
            again["multiply-adds before"], plan["multiply-adds"], check_names=False
        )
        assert not np.array_equal(predicted(light, x), before)
        merged = merge(light)
        np.testing.assert_allclose(predicted(merged, x), predicted(light, x), atol=1e-4)
        assert merged.count_params() == most
    for weight, value in zip(model.variables, weights, strict=True):
        np.testing.assert_array_equal(weight, value)
    np.testing.assert_array_equal(predicted(model, x), before)


def test_multiply_adds_count_every_application_at_its_size():
    model = tangled()
    plan = conversion.plan(model, Budget(10**6)).set_index("layer")["multiply-adds"]
    assert plan["shared"] == 2 * 64 * 9 * 36
    assert plan["nested/conv"] == (64 + 16) * 9 * 36
    assert plan["depthwise"] == 16 * 9 * 6
    total = plan.sum()
    chosen = conversion.plan(model, Budget(10**6, macs=total // 2))
    assert chosen["multiply-adds"].sum() <= total // 2
    for form in LINEAR:
        chosen = conversion.plan(model, Budget(macs=total // 2), form=form)
        assert chosen["multiply-adds"].sum() <= total // 2
        assert set(chosen["form"]) <= {form, ""}


def test_multiply_adds_of_a_nested_model_called_with_a_dictionary():
    small, large = keras.Input((8, 8, 3), name="z"), keras.Input((16, 16, 3), name="a")
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3, name="small")(small))
    y = layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3, name="large")(large))
    nested = keras.Model([small, large], layers.Add()([x, y]), name="nested")
    one, two = keras.Input((8, 8, 3)), keras.Input((16, 16, 3))
    for inputs in ([one, two], {"z": one, "a": two}):
        found = graphs.applications(keras.Model([one, two], nested(inputs)))
        shapes = {path: shapes for path, (_, shapes) in found.items()}
        assert shapes["nested/small"] == [(None, 8, 8, 3)]
        assert shapes["nested/large"] == [(None, 16, 16, 3)]


def unchanged(model):
    plan = conversion.plan(model, Budget(parameters=model.count_params()))
    assert plan["rank"].isna().all() and (plan["error"] == 0).all()
    return convert(model, plan)


@pytest.mark.parametrize("act", [unchanged, merge])
@pytest.mark.parametrize(("make", "x"), [(sequential, IMAGES), (tangled, TANGLED)])
def test_a_plan_of_nothing_gives_the_same_model(make, x, act):
    model = make()
    same = act(model)
    assert not {id(v) for v in same.variables} & {id(v) for v in model.variables}
    assert len(same.trainable_weights) == len(model.trainable_weights)
    for ours, theirs in zip(same.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(predicted(same, x), predicted(model, x))
    drawn = [keras.tree.flatten(end(x, training=True))[-1] for end in (same, model)]
    np.testing.assert_array_equal(*map(numpy, drawn))  # the same dropout


def test_full_rank_predicts_the_same():
    model = tangled()
    plan = [
        {"layer": "shared", "form": "spatial", "rank": 18},
        {"layer": "nested/conv", "form": "channel", "rank": 6.0},
        {"layer": "a", "form": "", "rank": 6},
        {"layer": "b", "form": "", "rank": float("nan")},
    ]
    light = convert(model, plan)
    assert sum(isinstance(op, LightConv2D | LightDense) for op, _ in found(light)) == 3
    np.testing.assert_allclose(predicted(light, TANGLED), predicted(model, TANGLED), atol=1e-4)
    assert light.trainable
    model.trainable = False
    assert not convert(model, plan).trainable


def found(model):
    return graphs.applications(model).values()


@pytest.mark.parametrize(("make", "x"), [(sequential, IMAGES), (tangled, TANGLED)])
def test_a_plan_is_plain_data(make, x):
    model = make()
    plan = conversion.plan(model, Budget(int(model.count_params() * 0.7)))
    records = json.loads(plan.to_json(orient="records"))
    assert records[0].keys() == {
        *("layer", "kernel", "form", "rank", "parameters", "multiply-adds"),
        *("parameters before", "multiply-adds before", "error", "why not"),
    }
    pd.testing.assert_frame_equal(pd.DataFrame(records).astype(plan.dtypes.to_dict()), plan)
    light = predicted(convert(model, plan), x)
    np.testing.assert_array_equal(predicted(convert(model, records), x), light)
    rows = [dict(row) for _, row in plan.iterrows()]  # missing ranks are pd.NA there
    np.testing.assert_array_equal(predicted(convert(model, rows), x), light)
    read = pd.read_json(io.StringIO(plan.to_json(orient="records")))
    np.testing.assert_array_equal(predicted(convert(model, read), x), light)
    for row in records:
        if row["rank"]:
            layer = graphs.applications(model)[row["layer"]][0]
            rank = int(row["rank"])
            error = tail(layer, rank, row["form"] or "dense") / np.linalg.norm(layer.kernel)
            assert row["error"] == pytest.approx(error, abs=1e-4)


def test_a_plan_says_why_not():
    light = built(LightDense(6, rank=1, name="light"), 6)
    x = inputs = keras.Input((None, 6))
    parts = [layers.TimeDistributed(layers.Dense(6), name="wrapped"), light]
    parts += [MyDense(6, name="mine"), layers.Conv1D(6, 3, name="conv1d")]
    parts += [layers.Dense(6, name="tight", kernel_constraint="non_neg")]
    parts += [layers.Dense(6, name="first"), layers.Dense(6, name="second"), layers.ReLU()]
    parts += [layers.Dense(1, name="single")]
    for part in parts:
        x = part(x)
    model = built(keras.Model(inputs, x))
    budget = Budget(model.count_params() - 1)
    table = conversion.plan(model, budget, exclude=["fir*"]).set_index("layer")
    assert table["why not"].to_dict() == {
        "wrapped": "kernel of a TimeDistributed",
        "light": "light already",
        "mine": "custom layer MyDense",
        "conv1d": "kernel of a Conv1D",
        "tight": "its constraint is for one kernel",
        "first": "excluded",
        "second": "",
        "single": "dense is cheaper",
    }
    assert table["multiply-adds"].isna().all()  # the length is not fixed
    table = conversion.plan(model, Budget(10**6)).set_index("layer")
    assert table["why not"]["second"] == "dense fits the budget"
    with pytest.raises(ValueError, match=r"'wrapped' \(TimeDistributed\), 'conv1d' \(Conv1D\)$"):
        conversion.plan(model, Budget(macs=1000))
    dense = keras.Sequential([keras.Input((None, 6)), layers.Dense(6)])
    with pytest.raises(ValueError, match="size of the input, which is not fixed"):
        conversion.plan(dense, Budget(macs=1000))


def test_a_budget_of_multiply_adds_needs_all_of_them():
    parts = [layers.Embedding(20, 8), layers.Conv1D(8, 3, name="conv1d")]
    parts += [layers.GlobalAveragePooling1D(), layers.Dense(8, name="dense")]
    for length in (9, None):
        model = keras.Sequential([keras.Input((length,)), *parts])
        table = conversion.plan(model, Budget(parameters=10**4)).set_index("layer")
        assert table["multiply-adds"].isna().to_dict()["conv1d"]
        assert table["multiply-adds"]["dense"] == 64
        with pytest.raises(ValueError, match=r"Received: 'conv1d' \(Conv1D\)$"):
            conversion.plan(model, Budget(macs=5000))
        without = keras.Sequential([keras.Input((length,)), parts[0], *parts[2:]])
        assert conversion.plan(without, Budget(macs=40))["multiply-adds"].sum() <= 40


def test_a_rule_may_be_a_function_and_all_rules_plan():
    model = sequential()
    budget = Budget(int(model.count_params() * 0.7))
    plan = conversion.plan(model, budget, rule=lambda spectra, costs, budget: [2, None])
    assert plan["rank"].tolist() == [2, pd.NA]
    for ranks in ([9, 8], [0, None], [99, None], [1]):
        with pytest.raises(ValueError) as refused:
            conversion.plan(model, budget, rule=lambda spectra, costs, budget, r=ranks: r)
        assert str(ranks) in str(refused.value)
        said = "must fit the budget" if ranks == [9, 8] else "returns one rank for each layer"
        assert said in str(refused.value)
    for rule in conversion.ranks.RULES:
        light = convert(model, conversion.plan(model, budget, rule))
        assert light.count_params() <= budget.parameters


def plain(*parts, **compiled):
    model = keras.Sequential([keras.Input((7,)), *parts], name="plain")
    if compiled:
        model.compile(**compiled)
    return model


@keras.saving.register_keras_serializable()
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"layer": "none", "rank": 1}, "no such layer. Received: layer='none', model 'plain'"),
        ({"layer": "conv", "rank": 10, "form": "spatial"}, "an integer from 1 to 9"),
        ({"layer": "conv", "rank": 1, "form": "paper"}, "form='paper'"),
        ({"layer": "conv", "rank": 1}, "form=None"),
        ({"layer": "dense", "rank": 1.5}, "rank=1.5"),
        ({"layer": "norm", "rank": 1}, "<BatchNormalization"),
        ({"layer": "dense", "rank": 1, "kernel": "9 × 9"}, "a kernel of 8 × 10 here"),
        ({"layer": "dense"}, "Each row of a plan"),
        ("dense", "Each row of a plan"),
    ],
)
def test_wrong_plans_are_refused(row, said):
    with pytest.raises(ValueError) as refused:
        convert(sequential(), [row])
    assert said in str(refused.value)


def test_a_plan_with_two_rows_of_one_layer_is_refused():
    rows = [{"layer": "dense", "rank": rank} for rank in (3, None)]
    with pytest.raises(ValueError, match="two rows of one layer. Received: layer='dense'"):
        convert(sequential(), rows)


def test_one_excluded_layer_needs_no_list():
    budget = Budget(400)
    one, listed = (conversion.plan(sequential(), budget, exclude=e) for e in ("dense", ["dense"]))
    pd.testing.assert_frame_equal(one, listed)
    assert one.set_index("layer").loc["dense", "why not"] == "excluded"


def test_wrong_plans_are_not_made():
    model = sequential()
    for kwargs, said in (
        ({"rule": "magic"}, "Received: 'magic'"),
        ({"form": "paper"}, "form='paper'"),
        ({"exclude": ["conv9*"]}, "'conv9*'"),
        ({"budget": Budget(100)}, "The least possible is 1"),
        ({"budget": Budget(like="K=3")}, "depends on the data set"),
    ):
        with pytest.raises(ValueError) as refused:
            conversion.plan(model, **({"budget": Budget(400)} | kwargs))
        assert said in str(refused.value)


def test_the_papers_form_is_kept_by_merge_and_named():
    parts = [LightConv2D(4, 3, rank=2, name="theirs"), layers.Flatten(), LightDense(3, rank=2)]
    model = built(keras.Sequential([keras.Input((5, 5, 2)), *parts]))
    x = random(2, 5, 5, 2)
    with pytest.warns(UserWarning, match="stay as they are: theirs$"):
        merged = merge(model)
    assert type(merged.layers[0]) is LightConv2D and type(merged.layers[2]) is layers.Dense
    np.testing.assert_allclose(merged(x), model(x), atol=1e-5)


class Gated(LightDense):
    def call(self, inputs, training=None):
        return super().call(inputs) * inputs


def test_classes_of_ones_own_are_kept_by_merge_and_named():
    model = built(keras.Sequential([keras.Input((6,)), Gated(6, rank=2, name="gated")]))
    with pytest.warns(UserWarning, match="a class of their own .* as they are: gated$"):
        merged = merge(model)
    x = random(2, 6)
    np.testing.assert_allclose(merged(x), model(x), atol=1e-5)
    with pytest.raises(ValueError, match="of no class of its own. Received: <Gated"):
        to_dense(model.layers[0])


def test_light_layers_inside_others_are_kept_by_merge_and_named():
    inside = [layers.TimeDistributed(LightDense(6, rank=2), name="wrapped")]
    inside += [layers.Bidirectional(layers.LSTM(3, return_sequences=True))]
    model = built(keras.Sequential([keras.Input((5, 6)), *inside, LightDense(3, rank=2)]))
    x = random(2, 5, 6)
    with pytest.warns(UserWarning, match="stay as they are: wrapped$"):
        merged = merge(model)
    assert type(merged.layers[2]) is layers.Dense
    np.testing.assert_allclose(merged(x), model(x), atol=1e-5)


def with_full_rank(model, plan):
    """Returns the plan with every layer light that can be, at its full rank."""
    found = graphs.applications(model)
    rows = [row for row in plan.to_dict("records") if "dense" in row["why not"] or row["form"]]
    for row in rows:
        layer = found[row["layer"]][0]
        form = "spatial" if isinstance(layer, layers.Conv2D) else "dense"
        row |= {"form": form, "rank": min(matrices(layer.kernel, form)[0].shape)}
    return rows


def mobilenet(**kwargs):
    return keras.applications.MobileNet(alpha=0.25, classifier_activation=None, **kwargs)


def resnet50(**kwargs):
    """Returns its first three stages, which have all it is made of and few of its weights."""
    whole = keras.applications.ResNet50(**kwargs)
    x = layers.GlobalAveragePooling2D()(whole.get_layer("conv3_block4_out").output)
    return keras.Model(whole.input, layers.Dense(kwargs["classes"])(x))


compiles_much = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX compiles each of their operations: a minute"
)


@compiles_much
@pytest.mark.parametrize("make", [mobilenet, resnet50])
def test_networks_of_keras_convert_train_and_reload(make, tmp_path):
    model = built(make(input_shape=(32, 32, 3), weights=None, classes=5))
    x, y = random(4, 32, 32, 3), np.arange(4)
    expected = numpy(model(x))
    assert 0.01 < expected.std() < 100
    plan = conversion.plan(model, Budget(model.count_params() - 50_000))
    full = convert(model, with_full_rank(model, plan))
    assert sum(isinstance(layer, LightConv2D) for layer in full.layers) > 10
    np.testing.assert_allclose(full(x), expected, rtol=1e-3, atol=1e-3 * expected.std())
    light = convert(model, plan)
    saved = plan["parameters before"].sum() - plan["parameters"].sum()
    assert light.count_params() == model.count_params() - saved <= model.count_params() - 50_000
    changed = {layer.name for layer in light.layers if isinstance(layer, LightConv2D | LightDense)}
    assert changed == set(plan["layer"][plan["rank"].notna()])
    assert not np.allclose(light(x), expected, rtol=1e-3, atol=1e-3 * expected.std())
    light.compile(keras.optimizers.SGD(1e-3), "mse", run_eagerly=True)
    factors = [weight for weight in light.trainable_weights if "factor_" in weight.path]
    before = [numpy(factor) for factor in factors]
    light.train_on_batch(x, np.eye(5)[y])
    for old, new in zip(before, factors, strict=True):
        assert np.isfinite(new).all() and not np.array_equal(old, new), new.path
    light.save(tmp_path / "light.keras")
    again = keras.saving.load_model(tmp_path / "light.keras")
    np.testing.assert_array_equal(again(x), light(x))
    merged, expected = merge(light), numpy(light(x))
    assert merged.count_params() == model.count_params()
    assert not any(isinstance(op, LightConv2D | LightDense) for op, _ in found(merged))
    np.testing.assert_allclose(merged(x), expected, rtol=1e-3, atol=1e-3 * expected.std())


@compiles_much
def test_a_whole_resnet_is_planned_and_converted():
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=5)
    half = model.count_params() // 2
    plan = conversion.plan(model, Budget(half))
    light = convert(model, plan)
    saved = plan["parameters before"].sum() - plan["parameters"].sum()
    assert 0.99 * half < light.count_params() == model.count_params() - saved <= half
    changed = {layer.name for layer in light.layers if isinstance(layer, LightConv2D | LightDense)}
    assert changed == set(plan["layer"][plan["rank"].notna()]) and len(changed) > 5
    assert light.output_shape == model.output_shape


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="as on TensorFlow, and slow")
def test_the_command_plans_converts_and_merges(tmp_path, capsys):
    model = networks.build("cifar10", "conv2d")
    file, plan, light, dense = (
        str(tmp_path / name) for name in ("model.keras", "plan.json", "light.keras", "dense.keras")
    )
    model.save(file)
    budget = ["--like", "K=3", "--data", "cifar10"]
    # In a process of its own, which knows of the layers in the file only what it imports.
    command = [sys.executable, "-m", "lightlayers.cli", "plan", file, *budget, "--to", plan]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "of 76,794" in done.stdout and "block3_conv2" in done.stdout
    assert cli.main(["convert", file, plan, "--to", light]) == 0
    converted = keras.saving.load_model(light)
    said = capsys.readouterr().out
    assert f"{converted.count_params():,} parameters" in said
    assert 13_000 < converted.count_params() <= 13_247
    assert cli.main(["merge", light, "--to", dense]) == 0
    merged, x = keras.saving.load_model(dense), random(2, 32, 32, 3)
    assert not any(isinstance(layer, LightConv2D) for layer in merged.layers)
    np.testing.assert_allclose(merged(x), converted(x), atol=1e-5)


def test_the_command_merges_around_the_papers_form(tmp_path, capsys):
    file = str(tmp_path / "theirs.keras")
    networks.build("digits", "lightlayers", 2).save(file)
    assert cli.main(["merge", file, "--to", str(tmp_path / "merged.keras")]) == 0
    assert "stay as they are: block1_conv1, block1_conv2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("plan none.keras --parameters 9", "none.keras can't be loaded as a Keras model"),
        ("plan model.keras", "A budget needs"),
        ("plan model.keras --parameters 9", "The least possible is 1"),
        ("plan model.keras --parameters -9", "parameters=-9"),
        ("plan model.keras --like K=3", "--data None"),
        ("plan model.keras --like three --data digits", "like='three'"),
        ("plan model.keras --macs 9 --data digits", "--like None"),
        ("plan model.keras --like K=3 --data imagenet", "'imagenet'"),
        ("plan model.keras --parameters 500 --rule magic", "'magic'"),
        ("plan model.keras --parameters 500 --exclude head", "'head'"),
        ("plan model.keras --parameters 500 --to none/plan.json", "none/plan.json"),
        ("plan subclassed.keras --parameters 9", "Received: Subclassed"),
        ("convert model.keras none.json --to light.keras", "none.json"),
        ("convert model.keras model.keras --to light.keras", "is no plan"),
        ("convert model.keras words.json --to light.keras", "it is not a list"),
        ("convert model.keras other.json --to light.keras", "The plan is of another model"),
        ("convert model.keras plan.json --to light.h5", "light.h5"),
        ("merge none.keras --to dense.keras", "none.keras"),
        ("merge model.keras --to none/dense.keras", "none/dense.keras"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, said, files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    assert cli.main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert err.startswith("lightlayers: ") and said in err and err.count("\n") == 1
    assert out == ""
    assert not list(files.glob("light*"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Returns a folder of models and plans."""
    folder = tmp_path_factory.mktemp("files")
    sequential().save(folder / "model.keras")
    subclassed = Subclassed()
    subclassed(random(2, 4))
    subclassed.save(folder / "subclassed.keras")
    for name, content in (
        ("plan", [{"layer": "dense", "form": "", "rank": 2}]),
        ("other", [{"layer": "head", "form": "", "rank": 2}]),
        ("words", {"layer": "dense"}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_a_number_is_no_budget():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8)])
    with pytest.raises(ValueError, match=r"such as Budget\(parameters=50_000\). Received: 5000"):
        conversion.plan(model, 5000)
