"""Every peer, found by itself: its shapes, its count, a record, a figure, the command line."""

import json
import os
import subprocess
import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest

import lightlayers.peers
from lightlayers import costs
from lightlayers.suite import backend, explorer, networks, plans, recipes, registry, training
from lightlayers.suite.analysis import tables
from lightlayers.suite.figures import accuracies, results
from lightlayers.suite.registry import Block, Cascade, Compression, Knob, Method
from lightlayers.suite.runs import Run, write_row
from lightlayers.suite.store import Store

ENTRIES = list(registry.entries().values())
BLOCKS = [entry for entry in ENTRIES if isinstance(entry, Block)]
ROWS = [write_row(entry.name, 2 if entry.knob else None) for entry in ENTRIES]
alike = pytest.mark.skipif(backend.name() == "jax", reason="it is alike on every backend")


def size_of(entry):
    return 2 if entry.knob else None


def named(entry):
    return entry.name


@alike
@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_a_peer_tells_who_made_it_and_how_true_it_is(entry):
    registry.check_entry(entry)
    assert entry.source and entry.fidelity.startswith(("faithful", "adapted", "analogue"))
    assert entry.group != "peer" or entry.ours
    assert entry.label_of(2 if entry.knob else None) and "{" not in entry.short_label
    plt.plot([0], [0], marker=entry.marker)
    plt.close()


def test_two_peers_look_different_in_figures():
    names = {}
    for entry in ENTRIES:
        names.setdefault(entry.marker, []).append(entry.name)
    assert [found for found in names.values() if len(found) > 1] == []


@alike
@pytest.mark.parametrize("recipe", ["paper", "corrected"])
@pytest.mark.parametrize("entry", BLOCKS, ids=named)
def test_a_block_has_the_weights_that_it_tells(entry, recipe):
    for dataset, width in (("mnist", 60), ("cifar10", 100)):
        network = networks.build(dataset, entry.name, size_of(entry), recipe, width)
        assert network.output_shape == (None, 10)
        table = networks.count_layers(dataset, entry.name, size_of(entry), recipe, width)
        assert table["parameters"].sum() == network.count_params()
        counted = sum(costs.multiply_adds(layer) for layer in network.layers)
        assert table["multiply-adds"].sum() == counted


@pytest.mark.parametrize("entry", BLOCKS, ids=named)
def test_a_network_saves_and_loads(entry, tmp_path):
    network = networks.build("digits", entry.name, size_of(entry))
    file = tmp_path / "network.keras"
    network.save(file)
    images = np.random.default_rng(0).random((3, 8, 8, 1), "float32")
    again = keras.saving.load_model(file)
    np.testing.assert_allclose(network(images), again(images), atol=1e-6)


@pytest.mark.parametrize("row", ROWS)
def test_a_peer_passes_through_the_whole_suite(row, tmp_path, request):
    """Two epochs, its record, a table, a figure, the explorer and the command to train it."""
    run = Run.from_row("digits", row, "corrected", epochs=2, limit=96)
    entry = registry.get(run.method, run.rank)
    if isinstance(entry, Block):  # of the others some need the whole network for their budget
        request.getfixturevalue("one_block")
    store = Store(tmp_path)
    (record,) = training.collect([run], store)
    assert json.loads(store.path(run).read_text())["run"]["method"] == entry.name
    assert record["parameters"]["total"] > 0 and record["multiply_adds"] > 0
    frame = tables.frame([record])
    assert list(tables.summary(frame)["method"]) == [run.label]
    figure = accuracies.accuracy_against_parameters(frame, "digits")
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any(entry.short_label in word for word in words)
    plt.close(figure)
    plt.close(results.learning_curves([record]))
    if isinstance(entry, Block):
        choice = explorer.Choice("digits", run.method, run.rank, "corrected")
        assert "img" in explorer.html(choice, [record], store)
    assert f"--rows {row}" in plans.command([run], store)


@alike
def test_any_recipe_that_a_peer_does_not_refuse_builds_its_network():
    for entry in BLOCKS:
        if entry.group != "peer":  # of the others each recipe has a test of its own
            continue
        for recipe in set(recipes.RECIPES) - set(entry.refused_recipes):
            assert networks.build("digits", entry.name, size_of(entry), recipe)


# ---------------------------------------------------------------- kinds that no peer has yet


def halve(session, model):
    head = model.get_layer("classes")
    head.kernel.assign(keras.ops.round(head.kernel * 4) / 4)
    return model


def test_a_compression_trains_its_base_row_and_tells_its_bits(monkeypatch, one_block):
    entry = Compression(
        name="coarse", label="coarse head", base="conv2d", compress=halve, bits=lambda model: 7
    )
    monkeypatch.setitem(registry.entries(), "coarse", entry)
    models = []
    run = Run("digits", "coarse", epochs=1, train_size=96, test_size=50)
    record = training.train(run, keep=models.append)
    kernel = keras.ops.convert_to_numpy(models[0].get_layer("classes").kernel)
    np.testing.assert_array_equal(kernel * 4, np.round(kernel * 4))
    assert record["bits"] == 7
    assert record["parameters"]["total"] == networks.count_parameters("digits", "conv2d")


def test_a_cascade_calibrates_on_held_out_images(monkeypatch, one_block):
    def calibrate(models, images, labels):
        assert len(models) == 2 and len(images) == len(labels) == 10
        return "state"

    def predict(models, state, images):
        assert state == "state"
        return np.asarray(models[0](images)), np.full(len(images), 12.0)

    entry = Cascade(
        name="pair",
        label="pair",
        members=("separableconv2d", "conv2d"),
        calibrate=calibrate,
        predict=predict,
    )
    monkeypatch.setitem(registry.entries(), "pair", entry)
    run = Run("digits", "pair", recipe="corrected", epochs=1, train_size=100, test_size=50)
    record = training.train(run)
    assert record["multiply_adds"] == 12 and list(record["members"]) == list(entry.members)
    counts = [networks.count_parameters("digits", row, None, "corrected") for row in entry.members]
    assert record["parameters"]["total"] == sum(counts)
    frame = tables.frame([record])
    assert list(frame["label"]) == ["pair"]
    with pytest.raises(ValueError, match="holds? some out.*Received: recipe='paper'"):
        training.train(Run("digits", "pair", epochs=1, train_size=100, test_size=50))


@pytest.mark.parametrize(
    ("wrong", "received"),
    [
        ({"name": "My Peer"}, "name='My Peer'"),
        ({"label": "mine ({size})"}, "label='mine"),
        ({"knob": Knob("rank")}, "label='mine'"),
        ({"apply": None}, "Block"),
        ({"replaces": "block"}, "replaces='block'"),
        ({"group": "mine"}, "group='mine'"),
        ({"knob": "t", "label": "mine ({size})"}, "knob='t'"),
    ],
)
def test_a_wrong_entry_is_refused(wrong, received):
    fields = {"name": "mine", "label": "mine", "apply": halve, "weights": halve} | wrong
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        registry.check_entry(Block(**fields))


def test_what_is_no_entry_is_refused():
    with pytest.raises(ValueError, match="A peer is a Block, Method.*Received: 3"):
        registry.check_entry(3)
    with pytest.raises(ValueError, match="needs `train`"):
        registry.check_entry(Method(name="mine", label="mine", block=BLOCKS[0]))
    light = registry.get("lightlayers", 1)
    with pytest.raises(ValueError, match="needs a knob.*Received: block 'lightlayers'"):
        registry.check_entry(Method(name="mine", label="mine", block=light, train=halve))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PEERS = 3", "must be a tuple.*Received: 3"),
        ("x = 1", "no attribute 'PEERS'"),
        ("from lightlayers.peers.ghost import PEERS", "ghost' in lightlayers/peers/ghost.py and"),
    ],
)
def test_a_file_that_gives_no_peers_is_named(text, said, tmp_path, monkeypatch):
    (tmp_path / "zzz.py").write_text(text)
    paths = [*lightlayers.peers.__path__, str(tmp_path)]
    monkeypatch.setattr(lightlayers.peers, "__path__", paths)
    sys.modules.pop("lightlayers.peers.zzz", None)
    registry.entries.cache_clear()
    try:
        with pytest.raises(ValueError, match=said) as found:
            registry.entries()
        assert "lightlayers/peers/zzz.py" in str(found.value)
    finally:
        registry.entries.cache_clear()


# ---------------------------------------------------------------- peers of other packages

PACKAGE = """
import dataclasses
from lightlayers.suite import registry

def peers():
    from lightlayers.peers import ghost
    return ghost.PEERS

PEERS = tuple(dataclasses.replace(peer, name="theirs", label="theirs") for peer in peers())
BROKEN = (3,)
"""


@alike
def test_peers_of_another_package_are_found_and_broken_ones_named(tmp_path):
    (tmp_path / "theirs.py").write_text(PACKAGE)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = "[lightlayers.peers]\ngood = theirs:PEERS\nbad = theirs:BROKEN\n"
    (info / "entry_points.txt").write_text(points)
    code = "from lightlayers.suite import registry; print(*registry.entries())"
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "theirs"
    assert "theirs:BROKEN are left out" in done.stderr
