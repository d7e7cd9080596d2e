"""Aims: which entries are chosen, on which images, and when an aim is reached."""

from suite.analysis.records import record_of

from lightlayers.suite.analysis import aims, tables


def test_aims_are_met_by_the_interval_and_entries_chosen_on_held_out_images():
    def reached(*groups, column="reached"):
        found = []
        for method, rank, parameters, held_out, accuracies in groups:
            for seed, accuracy in enumerate(accuracies):
                each = record_of("mnist", method, rank, seed, accuracy, "corrected")
                each["recipe"] = {"validation": "held-out"}
                each["history"]["val_accuracy"] = [0.1, held_out]
                each["parameters"]["total"] = parameters
                found.append(each)
        table = aims.judge_aims(tables.frame(found))
        table = table[table["data set"] == "mnist"].set_index("entry")
        return [tuple(line) for line in table[["method", "n", column]].values]

    ours = "spatial form (rank 9)"
    before = ("spatial", 9, 5818, 0.992)
    for accuracies, whole, of_seeds in (
        ((0.9961, 0.9960, 0.9962), "yes", "yes"),
        ((0.9948, 0.9949, 0.9950), "undecided", "yes"),  # other test images could change that
        ((0.995, 0.994, 0.993), "undecided", "undecided"),
        ((0.991, 0.991, 0.991), "no", "no"),
    ):
        assert reached((*before, accuracies)) == [(ours, 3, whole)] * 2
        found = reached((*before, accuracies), column="on these images")
        assert found == [(ours, 3, of_seeds)] * 2
    assert reached((*before, (0.995, 0.995))) == [
        (ours, 2, "fewer than 3 seeds"),
        ("", 0, "not run"),
    ]
    better = ("product", 3, 6130, 0.993, (0.980, 0.980, 0.980))  # on the test set it is not
    large = ("conv2d", None, 18818, 0.999, (0.999, 0.999, 0.999))
    few = ("channel", 6, 6000, 0.998, (0.998, 0.998))
    plain = ("separableconv2d", None, 3499, 0.999, (0.999, 0.999, 0.999))  # not a light layer
    entries = reached((*before, (0.996, 0.996, 0.996)), better, large, few, plain)
    assert entries == [(ours, 3, "yes"), ("Conv2D, then product ranks (as K = 3)", 3, "no")]
    assert reached() == [(ours, 0, "not run"), ("", 0, "not run")]
