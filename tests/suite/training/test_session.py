"""A session: stages, augmentation, objectives, gradient maps and averages are given to it."""

import keras
import numpy as np
import pytest

from lightlayers.suite.registry import Augmentation
from lightlayers.suite.runs import Run
from lightlayers.suite.training.session import Session

pytestmark = pytest.mark.usefixtures("one_block")


@pytest.fixture
def session():
    return start_session()


def start_session(recipe="corrected", epochs=2):
    return Session([Run("digits", "conv2d", recipe=recipe, epochs=epochs, train_size=140)])


def weights(model):
    return [keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables]


def fit_one(recipe="corrected", epochs=2, **options):
    session = start_session(recipe, epochs)
    models = session.build()
    session.fit(models, **options)
    return weights(models[0]), session.seeds[0].history


@pytest.fixture
def plain():
    """The weights and the history of a training without any hook."""
    return fit_one()


def test_hooks_that_change_nothing_change_nothing():
    # Under a recipe that does not shuffle: an augmentation's numbers are of the orders' stream.
    expected, _ = fit_one("paper")
    found, _ = fit_one(
        "paper",
        augment=Augmentation(lambda images, labels, draws: (images, labels), draws=1),
        objective=lambda labels, outputs, images: keras.losses.sparse_categorical_crossentropy(
            labels, outputs
        ),
        gradients=lambda gradients, images: gradients,
    )
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


def test_an_augmentation_sees_each_image_with_numbers_of_its_own():
    def blank(images, labels, draws):
        assert draws.shape[-1] == 3
        kept = keras.ops.cast(draws[:, :1, None, None] < 0, images.dtype)
        return images * kept, labels

    # Of blank images nothing but the shares of the classes can be learned.
    shares = np.bincount(start_session().data.y_train) / 140
    entropy = -(shares * np.log(shares)).sum()
    _, seen = fit_one(epochs=12)
    _, blanked = fit_one(epochs=12, augment=Augmentation(blank, draws=3))
    assert seen["loss"][-1] < entropy < blanked["loss"][-1]


def test_an_augmentation_may_mix_labels():
    def smooth(images, labels, draws):
        return images, 0.5 * keras.ops.one_hot(labels, 10) + 0.05

    _, history = fit_one(augment=Augmentation(smooth, draws=1))
    assert history["loss"][0] > 1.5 and 0 < history["accuracy"][0] < 1


def test_an_objective_is_what_is_minimised():
    def constant(labels, outputs, images):
        return 0 * outputs[:, 0] + 7.0

    session = start_session()
    models = session.build()
    before = weights(models[0])
    session.fit(models, objective=constant)
    assert session.seeds[0].history["loss"] == [7.0, 7.0]
    for one, two in zip(before, weights(models[0]), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_gradient_map_reaches_the_optimiser():
    def only_last(gradients, images):
        return [0 * gradient for gradient in gradients[:-1]] + [gradients[-1]]

    session = start_session()
    models = session.build()
    before = weights(models[0])
    session.fit(models, gradients=only_last)
    moved = [
        np.abs(one - two).max() > 0 for one, two in zip(before, weights(models[0]), strict=True)
    ]
    assert moved[-1] and not any(moved[:-1])


def test_an_average_replaces_the_weights_at_the_end(plain):
    last, _ = plain
    slow, _ = fit_one(average=0.999)
    start = weights(start_session().build()[0])
    for one, two, first in zip(slow, last, start, strict=True):
        if np.abs(two - first).max() > 0:
            assert np.abs(one - first).max() < np.abs(two - first).max()


def test_stages_share_the_epochs_of_the_run(session):
    models = session.build()
    head = models[0].get_layer("classes")
    for layer in models[0].layers:
        layer.trainable = layer is head
    before = keras.ops.convert_to_numpy(models[0].get_layer("block1_conv1").kernel).copy()
    session.fit(models, epochs=1)
    frozen = keras.ops.convert_to_numpy(models[0].get_layer("block1_conv1").kernel)
    np.testing.assert_array_equal(before, frozen)
    for layer in models[0].layers:
        layer.trainable = True
    session.fit(models, epochs=5)  # one is left
    assert len(session.seeds[0].history["loss"]) == 2
    thawed = keras.ops.convert_to_numpy(models[0].get_layer("block1_conv1").kernel)
    assert np.abs(thawed - before).max() > 0
    # Each stage has a course of the rate of its own, which ends at zero.
    assert session.seeds[0].history["learning_rate"] == [0.0, 0.0]


def test_a_rate_of_its_own():
    session = start_session("paper")
    session.fit(session.build(), rate=0.25)
    assert session.seeds[0].history["learning_rate"] == [0.25, 0.25]


def test_what_a_method_makes_of_its_model_is_evaluated(session):
    session.fit(session.build())

    def scramble(model):
        model.get_layer("classes").kernel.assign(keras.ops.zeros((8, 10)))
        return model

    session.finish_models(scramble)
    probabilities = keras.ops.convert_to_numpy(session.models[0](session.data.x_test[:5] / 255))
    assert np.ptp(probabilities, axis=0).max() < 1e-6
    assert session.results[0][1] == pytest.approx(session.right[0].mean(), abs=1e-6) != 1


def test_costs_that_are_not_known_are_told_before_the_first_epoch(session, monkeypatch):
    monkeypatch.setattr(
        "lightlayers.costs.multiply_adds",
        lambda layer, *_: None if layer.name == "classes" else 0,
    )
    with pytest.raises(ValueError, match=r"have to be known.*Received: 'classes' \(Dense\)"):
        session.build()


def test_a_stage_without_epochs_leaves_the_weights_alone():
    session = start_session(epochs=1)
    models = session.build()
    session.fit(models)
    before = weights(models[0])
    session.fit(models, average=0.9)  # no epoch is left
    for one, two in zip(before, weights(models[0]), strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_early_stop_ends_its_stage_alone():
    session = start_session("paper", epochs=4)
    models = session.build()
    session.fit(models, epochs=1)
    session.seeds[0].stop_training = True
    session.fit(models)
    assert len(session.seeds[0].history["loss"]) == 4


@pytest.mark.parametrize(
    ("wrong", "received"),
    [
        ({"callbacks": [1]}, r"callbacks=\[1\]"),
        ({"augment": len}, "augment=<built-in function len>"),
    ],
)
def test_what_fit_can_not_take_is_refused(session, wrong, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        session.fit([], **wrong)
    with pytest.raises(ValueError, match="must be a list.*Received: models=3"):
        session.fit(3)


def test_a_method_that_trains_nothing_is_refused(session):
    with pytest.raises(ValueError, match="'conv2d' never called `session.fit`"):
        session.finish_models(None)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX trains seeds together")
def test_seeds_together_have_augmentations_of_their_own():
    def dim(images, labels, draws):
        return images * keras.ops.cast(draws[:, :1, None, None], images.dtype), labels

    hook = {"augment": Augmentation(dim, draws=2), "average": 0.9}
    runs = [
        Run("digits", "conv2d", recipe="corrected", seed=seed, epochs=1, train_size=140)
        for seed in (1, 2)
    ]
    both, alone = Session(runs), Session(runs[1:])
    for session in (both, alone):
        session.fit(session.build(), **hook)
    np.testing.assert_allclose(
        both.seeds[1].history["loss"], alone.seeds[0].history["loss"], rtol=1e-3
    )
    assert both.seeds[0].history["loss"] != both.seeds[1].history["loss"]
    for one, two in zip(weights(both.models[1]), weights(alone.models[0]), strict=True):
        np.testing.assert_allclose(one, two, rtol=0.05, atol=5e-3)
