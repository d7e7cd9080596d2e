"""The answer in the README: a few sentences computed from the stored runs."""

from lightlayers.suite import paper
from lightlayers.suite.analysis import answer, claims, tables, verdicts

BEGIN, END = "<!-- written by `lightlayers report` -->", "<!-- end -->"


def update_readme(text, store):
    """Returns a README with what its marked part says computed from the stored runs.

    Args:
        text: String, the README.
        store: A `Store`.

    Raises:
        ValueError: If the marked part has no end.
    """
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(
            f"Expected a README with the lines {BEGIN} and {END}. Received: one without."
        )
    frame = tables.frame(store.whole_records(paper.DATASETS))
    page = write_page(frame, store.measurement("networks"))
    return f"{before}{BEGIN}\n{page}\n{END}{after}"


def write_page(frame, timings=None):
    """Returns whether the paper's results hold, and what better layers reach, as Markdown.

    Args:
        frame: DataFrame, as `tables.frame` returns it, of all data sets and recipes.
        timings: Dictionary, as `Store.measurement("networks")` returns it, or `None`.
    """
    replications = verdicts.select_replications(frame)
    cells, judged = verdicts.cells(replications), claims.judge(frame, timings)
    lines = [_count_parameters(replications), *answer.describe_answer(frame, cells, judged)]
    return "\n".join(f"- {line}" for line in lines)


def _count_parameters(runs):
    """Returns how many of the published parameter counts are ours, and of how many runs."""
    sizes = runs.drop_duplicates(["dataset", "label"]).set_index(["dataset", "label"])
    sizes = sizes["parameters"].to_dict()
    same = sum(sizes.get((row.dataset, row.label)) == row.parameters for row in paper.ROWS)
    return (
        f"{same} of the {len(paper.ROWS)} published parameter counts come out exactly, in "
        f"{len(runs)} runs."
    )
