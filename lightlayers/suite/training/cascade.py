"""Training a cascade: its members one after the other, then its thresholds on held-out images."""

import dataclasses

import numpy as np

from lightlayers.suite import registry
from lightlayers.suite.runs import parse_row
from lightlayers.suite.training.record import SHOWN_IMAGES, describe_model, make_record
from lightlayers.suite.training.session import Session


def train_cascade(run, entry, progress=None):
    """Returns the record of a cascade, without its origin.

    Args:
        run: A `runs.Run`.
        entry: The `registry.Cascade`.
        progress: Function `(epoch, epochs)`, called after each epoch of each member, or `None`.

    Raises:
        ValueError: If the recipe holds no images out to calibrate on.
    """
    members = [parse_row(row) for row in entry.members]
    sessions = [
        Session([dataclasses.replace(run, method=method, rank=rank, width=width)], progress)
        for method, rank, width in members
    ]
    if sessions[0].recipe.validation != "held-out":
        raise ValueError(
            "A cascade calibrates on held-out images: take a recipe that holds some out, such "
            f"as corrected. Received: recipe={run.recipe!r}"
        )
    models, histories = [], {}
    for row, session in zip(entry.members, sessions, strict=True):
        member = registry.get(session.run.method, session.run.rank)
        session.finish_models(member.train(session))
        models += session.models
        history = histories[row] = session.seeds[0].history
    images, labels = session.held_out
    state = entry.calibrate(models, images, labels)
    data = session.data
    probabilities, multiply_adds = entry.predict(models, state, data.x_test / np.float32(255))
    probabilities = np.asarray(probabilities)
    right = probabilities.argmax(axis=-1) == data.y_test
    chosen = probabilities[np.arange(len(right)), data.y_test]
    cross_entropy = -np.log(np.clip(chosen, 1e-7, 1)).mean()
    record = make_record(run, history, cross_entropy, right.mean(), 0.0, right)
    described = [describe_model(model)["parameters"] for model in models]
    record["parameters"] = {
        name: sum(counts[name] for counts in described) for name in ("total", "trainable")
    }
    record["multiply_adds"] = round(float(np.mean(multiply_adds)))
    record["members"] = histories
    record["shown"] = {
        "per_mille": np.round(probabilities[:SHOWN_IMAGES] * 1000).astype(int).tolist()
    }
    return record
