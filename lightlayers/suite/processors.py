"""The processor's cores, and what keeps a process to one of them."""

# One single-threaded process a core beats one process with as many threads.
SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "NPROC": "1",  # which XLA obeys
}


def cores():
    """Returns how many cores this process may use, by its affinity and its container's quota."""
    import joblib

    return joblib.cpu_count()
