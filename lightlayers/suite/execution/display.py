"""What a running command shows: a live view on a terminal, plain lines elsewhere."""

import contextlib
import json
import os
import statistics
import sys
import threading
import time

from lightlayers.suite.execution.scratch import temporary_folder

LOG_INTERVAL = 600  # seconds between what a log is told of the jobs that run


def format_time(seconds):
    """Returns seconds as minutes and seconds, such as `"1:05"`, or with hours, `"2:00:05"`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _count_runs(jobs):
    return sum(len(job.runs) for job in jobs)


class TolerantStream:
    """A text stream to show progress on: where it is full, closed or ASCII, that costs no run.

    Args:
        stream: Text stream.
    """

    def __init__(self, stream):
        self._stream, self.error = stream, None

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        encoding = self._stream.encoding or "utf-8"
        self._try(self._stream.write, text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self):
        self._try(self._stream.flush)

    def _try(self, function, *arguments):
        try:
            function(*arguments)
        except (OSError, ValueError) as error:  # a closed file's is a ValueError
            self.error = error


@contextlib.contextmanager
def tolerate_broken_output():
    """Lets what is printed to a stdout that can't take it be lost, and says so in the end."""
    stdout = sys.stdout
    stream = TolerantStream(stdout)
    try:
        with contextlib.redirect_stdout(stream):
            yield
    finally:
        if stream.error:
            with contextlib.suppress(OSError, ValueError):
                # What it holds back would be an error again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
            with contextlib.suppress(OSError):
                lost = f"lightlayers: not all that was to be shown could be ({stream.error})"
                print(lost, file=sys.stderr)


class Speeds:
    """How long rows take, in seconds for one image of one epoch."""

    def __init__(self):
        self._by_row = {}

    def add(self, run, seconds):
        """Takes how long the training of a run took."""
        by_image = seconds / run.epochs / run.train_size
        self._by_row.setdefault((run.dataset, run.row), []).append(by_image)

    def means(self):
        """Returns a dictionary from (data set, row) to the mean."""
        return {row: statistics.mean(values) for row, values in self._by_row.items()}


def combine_speeds(stored, current):
    """Returns speeds by row: this command's, and of its other rows the stored ones.

    The stored ones may come from another machine, or from this one when it was busier. They are
    scaled by the mean ratio of the rows that have both.
    """
    ratios = [current[row] / stored[row] for row in stored.keys() & current.keys()]
    scale = statistics.mean(ratios) if ratios else 1
    return {row: speed * scale for row, speed in stored.items()} | current


class Display:
    """Runs done, running (with epoch), waiting and failed, and the time that remains.

    Args:
        live: Boolean, whether to redraw. Defaults to whether stdout is a terminal.
    """

    def __init__(self, live=None):
        self.live = sys.stdout.isatty() if live is None else live
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def show(self, jobs, stored, planned, damaged, workers, together=False):
        """Shows jobs while the context lasts.

        Args:
            jobs: List of `Job`, those to be trained.
            stored: Dictionary from `Run` to its record, of the runs that need no training.
            planned: List of `Run`, all that are wanted.
            damaged: List of messages on damaged records.
            workers: Integer, jobs at once.
            together: Boolean, whether the seeds of a job are trained together.
        """
        self._begin(jobs, stored, workers, together)
        for message in damaged:
            self.say(f"damaged, to be trained again: {message}")
        count = _count_runs(jobs)
        found = f"{len(planned) - count} of {len(planned)} runs are stored"
        self.say(f"{found}, {count} to train.")
        with temporary_folder() as self._folder, contextlib.ExitStack() as stack:
            if self.live and jobs:
                from rich.live import Live

                stack.enter_context(Live(get_renderable=self.view, refresh_per_second=2))
            elif jobs:
                ended = threading.Event()
                stack.callback(ended.set)
                threading.Thread(target=self._log, args=(ended,), daemon=True).start()
            yield
        if self._overheads:
            mean = statistics.mean(self._overheads)
            what = "Papermill, kernel start and imports took"
            self.say(f"{what} {mean:.0f} s a job, shared by its seeds.")

    def _begin(self, jobs, stored, workers, together):
        self._jobs, self._workers, self._together = jobs, workers, together
        self._start = time.monotonic()
        self._started = {}  # id of a job -> (job, time of its start)
        self._done, self._failed, self._overheads = [], [], []
        self._stored_speeds, self._speeds = Speeds(), Speeds()
        for run, record in stored.items():
            self._stored_speeds.add(run, record["seconds"])

    def set_workers(self, count):
        """Takes how many jobs run at once, of those that are started."""
        self._workers = max(1, count)

    def progress_file(self, job):
        """Returns the path of the file in which a job's training says how far it is."""
        return self._folder / f"{job.name}.json"

    def say(self, text):
        """Prints a line."""
        print(text, flush=True)

    def tell_waiting(self, name):
        """Says that a row waits for another command."""
        self.say(f"{name} waits: another command trains this row.")

    def tell_start(self, job):
        """Notes that a job runs."""
        with self._lock:
            self._started[id(job)] = (job, time.monotonic())

    def tell_end(self, job):
        """Notes that a job is done, or that it failed if it has an error."""
        with self._lock:
            self._note_end(job)
        if job.error:
            self.say(f"FAILED {job.name}: {job.error}")
        elif not self.live:
            self.say(f"{self.counts()} · {job.name}")

    def _note_end(self, job):
        _, start = self._started.pop(id(job), (job, None))
        (self._failed if job.error else self._done).append(job)
        # A cluster was given more jobs than it has workers: the first that waited starts now.
        next_job = list(self._started)[self._workers - 1 : self._workers]
        for key in next_job:
            self._started[key] = (self._started[key][0], time.monotonic())
        if start is None or job.error:
            return
        seconds = time.monotonic() - start
        for run in job.runs:
            self._speeds.add(run, seconds / len(job.runs))
        if job.trained:
            self._overheads.append(seconds - job.trained)

    def _running(self):
        """Returns (job, start) of the jobs that run, which are at most as many as the workers."""
        return list(self._started.values())[: self._workers]

    def _progress(self, job):
        """Returns the run that a job is at and its last epoch, or `None` and 0 before the first."""
        with contextlib.suppress(OSError, ValueError):
            progress = json.loads(self.progress_file(job).read_text(encoding="utf-8"))
            for run in job.runs:
                if run.id == progress["id"]:
                    return run, progress["epoch"]
        return None, 0

    def _current_speeds(self):
        """Returns the speeds that this command has measured, also of jobs that still run."""
        speeds = self._speeds.means()
        for job, start in self._running():
            run, epoch = self._progress(job)
            row = (job.runs[0].dataset, job.runs[0].row)
            if not epoch or row in speeds:
                continue
            if self._together:
                epochs = epoch * len(job.runs)
            else:
                done = job.runs[: job.runs.index(run)]
                epochs = sum(one.epochs for one in done) + epoch
            speeds[row] = (time.monotonic() - start) / epochs / run.train_size
        return speeds

    def seconds_left(self):
        """Returns how many seconds remain, or `None` if no row's speed is known."""
        speeds = combine_speeds(self._stored_speeds.means(), self._current_speeds())
        if not speeds:
            return None
        mean = statistics.mean(speeds.values())  # for rows that were not measured yet
        ended = {id(job) for job in (*self._done, *self._failed)}
        starts = {id(job): start for job, start in self._running()}
        left = 0.0
        for job in self._jobs:
            if id(job) in ended:
                continue
            images = sum(run.epochs * run.train_size for run in job.runs)
            whole = images * speeds.get((job.runs[0].dataset, job.runs[0].row), mean)
            now = time.monotonic()
            left += max(whole - (now - starts.get(id(job), now)), 0)
        return left / max(1, min(self._workers, len(self._jobs) - len(ended)))

    def counts(self):
        """Returns the line that counts runs and tells the time."""
        with self._lock:
            running = _count_runs(job for job, _ in self._running())
            done, failed = _count_runs(self._done), _count_runs(self._failed)
            total = _count_runs(self._jobs)
            left = self.seconds_left()
        waiting = total - done - failed - running
        text = f"{done}/{total} runs done, {running} running, {waiting} waiting"
        text += f", {failed} failed · {format_time(time.monotonic() - self._start)} so far"
        return text if left is None else f"{text}, about {format_time(left)} left"

    def _lines(self):
        lines = [self.counts()]
        with self._lock:
            running = self._running()
        for job, start in running:
            run, epoch = self._progress(job)
            stage = f"seed {run.seed}, epoch {epoch} of {run.epochs}" if run else "starting"
            lines.append(f"  {job.name}: {stage}, {format_time(time.monotonic() - start)}")
        return lines

    def _log(self, ended):
        while not ended.wait(LOG_INTERVAL):
            self.say("\n".join(self._lines()))

    def view(self):
        """Returns what the live view shows: a line of counts, and one for each running job."""
        from rich.console import Group
        from rich.text import Text

        first, *rest = self._lines()
        return Group(Text(first, style="bold"), *map(Text, rest))
