"""What the test files share."""

import os
import pathlib
import shutil
import tempfile

import pytest

# The tests compile thousands of small functions and run most of them once: half of JAX's time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


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
