"""What a running command shows: a live view on a terminal, plain lines elsewhere."""

import contextlib
import json
import pathlib
import statistics
import sys
import tempfile
import threading
import time

_EVERY = 600  # seconds between what a log is told of the jobs that run


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Display:
    """Runs done, running (with epoch), waiting and failed, and the time that remains.

    Args:
        live: Boolean, whether to redraw. Defaults to whether stdout is a terminal.
    """

    def __init__(self, live=None):
        self.live = sys.stdout.isatty() if live is None else live
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def over(self, jobs, stored, planned, damaged, workers, together=False):
        """Shows the jobs while the context lasts."""
        self._jobs, self._workers, self._began = jobs, workers, time.monotonic()
        self._together = together
        self._running, self._done, self._failed = {}, [], []
        self._stored, self._here, self._overheads = {}, {}, []
        for run, record in stored.items():
            self._measured(self._stored, run, record["seconds"])
        for message in damaged:
            print(f"damaged, to be trained again: {message}", flush=True)
        count = sum(len(job.runs) for job in jobs)
        found = f"{len(planned) - count} of {len(planned)} runs are stored"
        print(f"{found}, {count} to train.", flush=True)
        # A kernel that is being ended may still write there: that must not hide why it is.
        kept = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        with kept as folder, contextlib.ExitStack() as stack:
            self._folder = pathlib.Path(folder)
            if self.live and jobs:
                from rich.live import Live

                stack.enter_context(Live(get_renderable=self._view, refresh_per_second=2))
            elif jobs:
                over = threading.Event()
                stack.callback(over.set)
                threading.Thread(target=self._log, args=(over,), daemon=True).start()
            yield
        if self._overheads:
            mean = statistics.mean(self._overheads)
            what = "Papermill, kernel start and imports took"
            print(f"{what} {mean:.0f} s a job, shared by its seeds.", flush=True)

    def workers(self, count):
        """Takes how many jobs run at once, of those that are started."""
        self._workers = max(1, count)

    def progress_file(self, job):
        """Returns the path of the file in which a job's training says how far it is."""
        return self._folder / f"{job.name}.json"

    def held(self, name):
        """Says that a row waits until another command has done with it."""
        print(f"{name} waits: another command trains this row.", flush=True)

    def started(self, job):
        """Notes that a job runs."""
        with self._lock:
            self._running[id(job)] = (job, time.monotonic())

    def ended(self, job):
        """Notes that a job is done, or failed if it has an error."""
        with self._lock:
            _, began = self._running.pop(id(job), (job, None))
            (self._failed if job.error else self._done).append(job)
            if waiting := list(self._running)[self._workers - 1 : self._workers]:
                self._running[waiting[0]] = (self._running[waiting[0]][0], time.monotonic())
            if began and not job.error:
                seconds = time.monotonic() - began
                for run in job.runs:
                    self._measured(self._here, run, seconds / len(job.runs))
                if job.trained:
                    self._overheads.append(seconds - job.trained)
        if job.error:
            print(f"FAILED {job.name}: {job.error}", flush=True)
        elif not self.live:
            print(f"{self._counts()} · {job.name}", flush=True)

    def _measured(self, found, run, seconds):
        key = (run.dataset, run.row)
        found.setdefault(key, []).append(seconds / run.epochs / run.train_size)

    def _count(self, jobs):
        return sum(len(job.runs) for job in jobs)

    def _at_work(self):
        """Pairs of job and start of those that run: a cluster is given more than it takes."""
        return list(self._running.values())[: self._workers]

    def _left(self):
        """Seconds that remain: of rows not measured yet, the mean of those that are."""
        stored, here = (
            {key: statistics.mean(values) for key, values in found.items()}
            for found in (self._stored, self._here)
        )
        for job, since in self._at_work():
            run, epoch = self._progress(job)
            key = (job.runs[0].dataset, job.runs[0].row)
            if epoch and key not in here:
                before = job.runs[: job.runs.index(run)]
                epochs = sum(one.epochs for one in before) + epoch
                epochs = epoch * len(job.runs) if self._together else epochs
                here[key] = (time.monotonic() - since) / epochs / run.train_size
        # The stored ones may come from another machine, or from this one when it was busier.
        both = stored.keys() & here.keys()
        pace = statistics.mean(here[key] / stored[key] for key in both) if both else 1
        known = {key: value * pace for key, value in stored.items()} | here
        if not known:
            return None
        usual = statistics.mean(known.values())
        ended = {id(job) for job in (*self._done, *self._failed)}
        began = {id(job): since for job, since in self._at_work()}
        left = 0.0
        for job in self._jobs:
            if id(job) in ended:
                continue
            size = sum(run.epochs * run.train_size for run in job.runs)
            whole = known.get((job.runs[0].dataset, job.runs[0].row), usual) * size
            since = time.monotonic() - began[id(job)] if id(job) in began else 0
            left += max(whole - since, 0)
        return left / max(1, min(self._workers, len(self._jobs) - len(ended)))

    def _counts(self):
        with self._lock:
            running = [job for job, _ in self._at_work()]
            done, failed = self._count(self._done), self._count(self._failed)
            total = self._count(self._jobs)
            left = self._left()
        waiting = total - done - failed - self._count(running)
        text = f"{done}/{total} runs done, {self._count(running)} running, {waiting} waiting"
        text += f", {failed} failed · {_clock(time.monotonic() - self._began)} so far"
        return text if left is None else f"{text}, about {_clock(left)} left"

    def _progress(self, job):
        """Returns which run a job is at and its last epoch, `None` and 0 before there is one."""
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(self.progress_file(job).read_text())
            for run in job.runs:
                if run.id == told["id"]:
                    return run, told["epoch"]
        return None, 0

    def _lines(self):
        lines = [self._counts()]
        with self._lock:
            running = self._at_work()
        for job, since in running:
            run, epoch = self._progress(job)
            where = f"seed {run.seed}, epoch {epoch} of {run.epochs}" if run else "starting"
            lines.append(f"  {job.name}: {where}, {_clock(time.monotonic() - since)}")
        return lines

    def _log(self, over):
        with contextlib.suppress(OSError):  # nobody reads any more: that is for others to say
            while not over.wait(_EVERY):
                print("\n".join(self._lines()), flush=True)

    def _view(self):
        from rich.console import Group
        from rich.text import Text

        first, *rest = self._lines()
        return Group(Text(first, style="bold"), *map(Text, rest))
