"""What a side of `make bench-peers` gives for a row: a Cell, ready to be called. Shared by the side_*.py files."""

from typing import Callable, NamedTuple, Optional

import numpy as np

COMPLEX = ("fft", "fft_plane")  # their last axis of 2 is a complex number
ADAMS = ("mlp_adam", "convnet_adam", "pooled_adam")
TRAINING = ("mlp_sgd", *ADAMS)
NETS = {
    "mlp": "mlp",
    "mlp_sgd": "mlp",
    "mlp_adam": "mlp",
    "convnet": "convnet",
    "convnet_adam": "convnet",
    "pooled_adam": "pooled",
}


class Cell(NamedTuple):
    run: Callable  # the call that is timed; what it returns goes to results
    results: Callable  # arrays, as Kiln's row has them
    steps: int = 1  # calls before results are taken
    setup: float = 0.0  # seconds that making it took and that belong to a first call
    before: Optional[Callable] = (
        None  # done before each sample and not timed; gives the seconds that belong to the sample all the same
    )


def moved(now, start, rate):
    """How far each parameter has moved on average, in rates."""
    return [np.abs(np.asarray(p, np.float64) - q).mean() / rate for p, q in zip(now, start)]


def one(to_numpy):
    return lambda y: [to_numpy(y)]
