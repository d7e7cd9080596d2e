"""What the test files share."""

import os

# The tests compile thousands of small functions and run most of them once: half of JAX's time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
