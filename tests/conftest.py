"""What the test files share."""

import os
import pathlib
import shutil
import tempfile

import pytest

# The tests compile hundreds of small programs and run most of them once: half of JAX's time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# What one test or process has compiled, the others load: a third of the rest.
PROGRAMS = pathlib.Path(__file__).parents[1] / "build" / "jax-programs"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
ON_JAX = os.environ.get("KERAS_BACKEND") == "jax"
if ON_JAX:
    import jax
# JAX keeps each program that it has compiled, 1.4 MB: more than 2 GB in tests/test_layers.py.
MOST_PROGRAMS = 400


class ProgramCounter:
    """Counts the programs that JAX compiles."""

    count = 0

    def listen(self, event, duration, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            self.count += 1


@pytest.fixture(scope="session")
def programs():
    """The counter of programs; it stays at zero on other backends."""
    counter = ProgramCounter()
    if ON_JAX:
        jax.monitoring.register_event_duration_secs_listener(counter.listen)
    return counter


@pytest.fixture(autouse=True)
def forget_programs(programs):
    """Lets JAX forget its programs where there are many; those still needed are compiled again."""
    yield
    if programs.count > MOST_PROGRAMS:
        jax.clear_caches()
        programs.count = 0


@pytest.fixture
def one_block(monkeypatch):
    """The networks have one block of their three: a third to compile."""
    filters = "lightlayers.suite.networks.filters_of"
    monkeypatch.setattr(filters, lambda shape, width=100: (8,))


@pytest.fixture
def closed():
    """A folder that can be listed and not written; what to do first so that this holds."""
    # Not pytest's, into whose parents no other user can go.
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    outputs = folder / "outputs"
    outputs.mkdir()
    outputs.chmod(0o555)
    # Root writes anywhere, so it asks as nobody.
    first = "import os\n" + "os.setgid(65534); os.setuid(65534)\n" * (os.geteuid() == 0)
    yield outputs, first + f"assert os.listdir({str(outputs)!r}) == []\n"
    shutil.rmtree(folder)
