"""The gradient of a table that was looked up: rows of dy added to the rows they came from."""

from numba import prange

from nblstm.kernels.driver import Driver


@Driver
def add_rows(tag, threads, indices, dy, grad):
    """grad[indices[k]] += dy[k] for all k in order; dy (N, E), grad (V, E). Threads share out the columns."""
    for thread in prange(threads):
        low, high = grad.shape[1] * thread // threads, grad.shape[1] * (thread + 1) // threads
        for k in range(indices.size):
            for e in range(low, high):
                grad[indices[k], e] += dy[k, e]
