"""Losses: whether they belong to the accuracies beside them."""

from suite.analysis.records import frame, judge_claim

from lightlayers.suite import paper
from lightlayers.suite.analysis import claims, losses


def test_losses_that_do_not_belong_to_their_accuracies():
    runs = frame(("mnist", "conv2d", None, (0.9, 0.91)))

    def with_checkpoints(*seeds):
        # Of the losses .002 are penalties, which the authors may have left out.
        return runs.assign(checkpoints=list(seeds), loss=0.5, cross_entropy=0.498)

    def verdict(table):
        return losses.judge_losses(table).iloc[0]["verdict"]

    # The paper prints .018 beside .9887; a row within half a point of that counts.
    near, far = [(0.987, 0.030), (0.989, 0.035), (0.990, 0.040)], [(0.95, 0.018)] * 9
    apart = with_checkpoints(near + far, near)
    line = losses.judge_losses(apart).iloc[0]
    assert line[["epochs", "seeds", "low", "high"]].tolist() == [6, 2, 0.028, 0.04]
    assert line["verdict"] == "BELOW"
    assert verdict(with_checkpoints([(0.989, 0.01)] * 3, [(0.989, 0.012)] * 3)) == "ABOVE"
    # .0185, which rounds to .018, is 10% below .02056.
    for lowest, expected in ((0.0225, "INSIDE"), (0.0226, "BELOW")):
        assert verdict(with_checkpoints([(0.99, lowest), *near], near)) == expected
    for few in (with_checkpoints(near * 3, far), with_checkpoints(near, near[:1])):
        assert verdict(few) == "NOT JUDGED"
        assert judge_claim(few, 9)["losses that belong to the accuracies"] == "NOT RUN"


def test_losses_fail_only_where_more_are_apart_than_of_our_own_runs():
    part = "losses that belong to the accuracies"
    rows = [("mnist", row.method, row.rank, (0.99,) * 3) for row in paper.rows("mnist")]
    runs = frame(*rows)

    def checkpoints(losses):
        accuracies = [float(row.accuracy) for row in paper.rows("mnist") for _ in range(3)]
        return [[(a, loss)] * 5 for a, loss in zip(accuracies, losses, strict=True)]

    printed = [float(row.loss) for row in paper.rows("mnist") for _ in range(3)]

    def judged(losses, ours=None):
        # What our own runs are judged by: their last epoch, at the accuracy of their row.
        table = runs.assign(checkpoints=checkpoints(losses), loss=ours or losses)
        table["accuracy"] = [each[0][0] for each in table["checkpoints"]]
        table["cross_entropy"] = table["loss"]
        line = claims.judge(table)
        line = line[line["part"] == part].iloc[0]
        return line["verdict"], line["computation"]

    verdict, told = judged(printed)
    assert verdict == "HOLDS" and told.startswith("0 of 6 rows apart")
    half = [2 * loss for loss in printed]
    verdict, told = judged(half)
    assert verdict == "FAILS" and "6 of 6 rows apart" in told and ", 0 of 18 of our own" in told
    one = [*half[:3], *printed[3:]]
    assert judged(one)[0] == "HOLDS"  # one of six may well be chance
    # Where our own runs scatter as much, the printed ones say nothing.
    verdict, told = judged(half, [loss * 2 for loss in half])
    assert verdict == "HOLDS" and "18 of 18 of our own" in told
