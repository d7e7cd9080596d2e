"""Several seeds in one program against one seed after the other, on JAX."""

from lightlayers.suite import backend
from lightlayers.suite.bench import grid, timing


def measure_together(planned, seeds=(1, 3, 10), say=print):
    """Measures the training of several seeds in one program against one after the other, on JAX.

    Both as `lightlayers reproduce` does it: in one process on a GPU, else in as many
    single-threaded processes as there are cores.

    Args:
        planned: List of `Run`, one per row.
        seeds: Sequence of integers, how many at once.
        say: Function that takes one line of progress.

    Returns:
        Dictionary with `environment`, `revision` and `rows`: dictionaries with `dataset`, `row`,
        `seeds`, `milliseconds` (of a step of one seed, for the whole machine), and `speedup`,
        how many times the throughput of one seed after the other.

    Raises:
        ValueError: If the backend is another.
    """
    if backend.name() != "jax":
        raise ValueError(f"Set KERAS_BACKEND=jax. Received: KERAS_BACKEND={backend.name()}")
    rows = []
    for run in planned:
        seconds = {}  # of a step of one seed, by how many seeds are trained at once
        for n in sorted({1, *seeds}):
            step, _ = grid.measure_in_processes("suite", run, timing.STEPS, n)
            seconds[n] = step / n
        for n, each in seconds.items():
            row = {"dataset": run.dataset, "row": run.row, "seeds": n}
            row["milliseconds"] = round(1000 * each, 4)
            rows.append(row | {"speedup": round(seconds[1] / each, 3)})
        say(f"{run.dataset} {run.row}: {rows[-1]['seeds']} seeds, {rows[-1]['speedup']} times")
    return timing.stamp_rows(rows)
