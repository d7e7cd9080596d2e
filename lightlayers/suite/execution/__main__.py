"""`python -m lightlayers.suite.execution`: Papermill, in a process that ends with its parent."""

import os
import threading

from lightlayers.suite.execution.processes import end_children


def _die_with_parent():
    # The parent holds the other end of stdin. If it is killed, that end closes, and no training
    # may go on without it. The read is unbuffered: a thread that holds sys.stdin's lock would
    # break the interpreter's exit.
    os.read(0, 1)
    end_children(os.getpid())
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from papermill.__main__ import papermill

    papermill()
