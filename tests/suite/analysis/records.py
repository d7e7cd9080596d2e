"""Records and runs that the tests of the analysis are made of."""

from lightlayers.suite.analysis import claims, tables


def record(method, rank, seed, accuracy, parameters=100):
    return {
        "run": {
            "dataset": "digits",
            "method": method,
            "rank": rank,
            "recipe": "paper",
            "seed": seed,
        },
        "recipe": {"validation": "test"},
        "test": {"accuracy": accuracy, "loss": 1 - accuracy, "cross_entropy": (1 - accuracy) / 2},
        "parameters": {"total": parameters, "trainable": parameters},
        "multiply_adds": 1000,
        "history": {
            "loss": [1.0, 0.5],
            "val_accuracy": [accuracy / 2, accuracy],
            "val_loss": [1.0, 1 - accuracy],
            "seconds": [9, 1],
        },
        "environment": {
            "backend": "tensorflow",
            "device": "CPU",
            "processor": "Y",
            "threads": 1 + (seed == 1),
        },
    }


def record_of(dataset, method, rank, seed, accuracy, recipe="paper"):
    """A record of any data set and recipe."""
    found = record(method, rank, seed, accuracy)
    found["run"] |= {"dataset": dataset, "recipe": recipe}
    return found


def frame(*groups):
    """Runs of (data set, method, rank, accuracies, recipe), seed by seed."""
    return tables.frame(
        record_of(dataset, method, rank, seed, accuracy, *recipe)
        for dataset, method, rank, accuracies, *recipe in groups
        for seed, accuracy in enumerate(accuracies)
    )


def judge_claim(runs, number, timings=None):
    """The verdicts on the parts of one claim."""
    judged = claims.judge(runs, timings)
    return dict(judged[judged["claim"] == number][["part", "verdict"]].itertuples(index=False))


RECORDS = [
    *(record("conv2d", None, seed, 0.9, 200) for seed in (1, 2, 3)),
    *(record("lightlayers", 2, seed, 0.7 + seed / 100) for seed in (1, 2, 3)),
]
