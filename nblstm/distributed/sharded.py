"""`ShardedTrainer`: a batch cut into shards that ranks share out, with the same bits for any number of ranks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from nblstm.arguments import as_choice, as_size, check_kind
from nblstm.distributed.ranks import Alone, check_shards
from nblstm.optim.clipping import RUN, scale_down, sum_of_squares
from nblstm.training.trainer import Trainer

EXCHANGES = ("ordered", "allreduce")


class ShardedTrainer(Trainer):
    r"""Gradient descent over batches of which each rank reads some shards.

    A batch of B rows is cut into S shards, neighbours, B / S rows each as nearly as that goes. The gradient is the mean
    of the shards' gradients, each with the weight of its rows,

    .. math:: g = \sum_{s = 1}^{S} \frac{w_s}{w} g_s, \qquad w = \sum_{s = 1}^{S} w_s,

    added in the order of the shards. Which shards there are does not depend on the ranks R, at most S. A rank computes
    the gradients of its own shards, one after the other, and owns one R-th of the flat gradient: it gets this part of
    every shard's gradient, adds them up, and moves this part of the parameters with its part of the optimiser's
    moments; then all gather the parameters. Every number is so computed from the same numbers in the same order,
    whoever does it, and the result has the same bits for any R and any number of threads.

    Clipping is the same, too: each rank sums the squares of runs of 4,096 numbers, which lie as in `clip_grad_norm`,
    and all add up all runs in their order. Masks of dropout are drawn for each shard from a generator of its own, whose
    seed is drawn by all ranks from the model's.

    With ``exchange="allreduce"`` ranks instead sum their own shards, MPI adds these sums in its own order, and each
    rank moves all parameters: less is sent where ranks have several shards, and the bits depend on R.

    Parameters
    ----------
    trainer : Trainer
        Of the whole batch. It is not used any more: the shards' trainers, made of it, are where it was.
    shards : int
        S, from 1 to B.
    ranks : Alone or Ranks
        At most S; `Alone` for a process by itself.
    exchange : {"ordered", "allreduce"}

    Raises
    ------
    ValueError
        More shards than rows, or more ranks than shards.

    Examples
    --------
    >>> from nblstm import Adam, CharLM
    >>> from nblstm.datasets import encode, streams
    >>> from nblstm.distributed import Alone, ShardedTrainer
    >>> from nblstm.training import TextTrainer
    >>> tokens = streams(encode("abcd" * 50, "abcd"), 4, 9)
    >>> model = CharLM("abcd", 4, 8, 1, seed=0)
    >>> adam = Adam(model.layers, lr=0.05)
    >>> trainer = ShardedTrainer(TextTrainer(model, adam, tokens, 9), 2, Alone())
    >>> losses = [trainer.step() for _ in range(60)]
    >>> losses[0] > 1.5 and losses[-1] < 0.1
    True

    References
    ----------
    S. Rajbhandari and others, "ZeRO: memory optimizations toward training trillion parameter models", SC 2020: the
    optimiser's work shared out by slices of the flat parameters.
    """

    def __init__(self, trainer: Trainer, shards: int, ranks: Alone, exchange: str = "ordered") -> None:
        check_kind("trainer", trainer, Trainer)
        check_kind("ranks", ranks, Alone)
        super().__init__(trainer.model, trainer.optimizer, trainer.clip)
        self.steps, self.shards, self.ranks = trainer.steps, as_size("shards", shards), ranks
        if self.shards > trainer._rows:
            raise ValueError(f"shards must be at most the {trainer._rows} rows of a batch, got {self.shards}")
        check_shards(self.shards, ranks.size)
        self.ordered = as_choice("exchange", exchange, EXCHANGES) == "ordered"
        self._whole = trainer._rows
        edges = [self._whole * shard // self.shards for shard in range(self.shards + 1)]
        self._parts = {shard: slice(edges[shard], edges[shard + 1]) for shard in ranks.share(self.shards)}
        self._trainers = {shard: trainer._of_rows(part) for shard, part in self._parts.items()}
        self._set_place(trainer._tensors_of_place(), trainer._place())
        sizes = [layer.num_parameters for layer in self.optimizer.layers]
        self._starts = np.cumsum([0, *sizes])  # of the layers in a flat array of all of them
        self._runs = [-(-size // RUN) for size in sizes]
        self._bounds = self._bounds_of_ranks(sizes)
        self._own = tuple(self._bounds[ranks.rank : ranks.rank + 2]) if self.ordered else (0, sum(sizes))
        self._slices = self._own_slices()
        self._gradients = np.empty((len(self._trainers), sum(sizes)), self.model.dtype)

    def __getstate__(self) -> dict[str, Any]:
        """For deep copies and pickles: without the gradients, which the next step makes anew."""
        return super().__getstate__() | {"_gradients": np.empty_like(self._gradients)}

    def _bounds_of_ranks(self, sizes: list[int]) -> np.ndarray:
        """Where each rank's part of a flat array begins, and the end; at the beginning of a run of `RUN` numbers."""
        runs = [start + at for start, size in zip(self._starts, sizes, strict=False) for at in range(0, size, RUN)]
        places = np.array([*runs, self._starts[-1]])
        return places[[len(runs) * rank // self.ranks.size for rank in range(self.ranks.size + 1)]]

    def _own_slices(self) -> list[slice]:
        """The part of each layer's flat arrays that is this rank's."""
        edges = [np.clip(self._own, start, end) - start for start, end in itertools.pairwise(self._starts)]
        return [slice(low, high) for low, high in edges]

    @property
    def _rows(self) -> int:
        return self._whole

    def _of_rows(self, part: slice) -> NoReturn:
        raise TypeError("trainer must be one of a whole batch, got one that is cut into shards")

    def _weight(self) -> float:
        return math.fsum(trainer._weight() for trainer in self._trainers.values())

    # ----------------------------------------------------------------------------------------------------- one step

    def _forward_and_backward(self) -> float:
        recurrent = self.model.recurrent
        seeds = recurrent._dropout_keys.integers(2**64, size=self.shards, dtype=np.uint64)
        own = []
        for row, (shard, trainer) in zip(self._gradients, self._trainers.items(), strict=True):
            self.model.zero_grad()
            with recurrent._keys_of(int(seeds[shard])):
                own.append((trainer._forward_and_backward(), trainer._weight()))
            np.concatenate([layer.flat_grads for layer in self.optimizer.layers], out=row)
        pairs = [pair for of_rank in self.ranks.gather(own) for pair in of_rank]
        total = math.fsum(weight for _, weight in pairs)
        shares = [weight / total for _, weight in pairs]
        self._add(shares)
        return math.fsum(loss * share for (loss, _), share in zip(pairs, shares, strict=True))

    def _add(self, shares: list[float]) -> None:
        """Leave the sum of the shards' gradients in the layers: this rank's part, or all of it by Allreduce."""
        if self.ordered:
            total = weighted_sum(self.ranks.exchange(self._gradients, self._bounds, self.shards), shares)
        else:
            total = weighted_sum(self._gradients, [shares[shard] for shard in self._trainers])
            self.ranks.add(total)
        done = 0
        for layer, part in zip(self.optimizer.layers, self._slices, strict=True):
            own = layer.flat_grads[part]
            own[:] = total[done : done + own.size]
            done += own.size

    def _clip(self) -> float:
        if not self.ordered:
            return super()._clip()
        gradients = [layer.flat_grads[part] for layer, part in zip(self.optimizer.layers, self._slices, strict=True)]
        own = [sum_of_squares(gradient)[1] for gradient in gradients]
        runs = np.concatenate(self.ranks.gather(np.concatenate(own)))
        squares = [of_layer.cumsum()[-1] for of_layer in np.split(runs, np.cumsum(self._runs)[:-1])]  # in their order
        norm = math.sqrt(np.cumsum(squares)[-1])
        scale_down(gradients, norm, self.clip)
        return norm

    def _update(self, lr: float | None) -> None:
        self.optimizer._step(self._slices, lr)
        if self.ordered and self.ranks.size > 1:
            flat = self._completed([layer.flat_params for layer in self.optimizer.layers])
            for layer, values in zip(self.optimizer.layers, flat, strict=True):
                with layer.editing() as p:
                    p.flat[...] = values

    def _completed(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Copies of flat arrays of the layers, of which each rank has its part, with the parts of all ranks."""
        flat = np.concatenate(arrays)
        self.ranks.complete(flat, self._bounds)
        return np.split(flat, self._starts[1:-1])

    def _move_on(self) -> None:
        for trainer in self._trainers.values():
            trainer._move_on()

    # ------------------------------------------------------------------------------------------------ what is kept

    def _tensors(self) -> dict[str, np.ndarray]:
        if self.ordered and self.ranks.size > 1:
            for name in self.optimizer.moments:
                moments = [state[name] for state in self.optimizer._state]
                for moment, values in zip(moments, self._completed(moments), strict=True):
                    moment[...] = values
        return super()._tensors()

    def _place(self) -> dict[str, Any]:
        return next(iter(self._trainers.values()))._place()

    def _tensors_of_place(self) -> dict[str, np.ndarray]:
        own = [trainer._tensors_of_place() for trainer in self._trainers.values()]
        found = [tensors for of_rank in self.ranks.gather(own) for tensors in of_rank]
        return {name: np.concatenate([tensors[name] for tensors in found], axis=1) for name in found[0]}

    def _set_place(self, tensors: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if tensor.ndim < 2 or tensor.shape[1] != self._whole:
                raise ValueError(f"place.{name} must be (..., {self._whole}, ...), got {tensor.shape}")
        for shard, trainer in self._trainers.items():
            part = {name: np.ascontiguousarray(tensor[:, self._parts[shard]]) for name, tensor in tensors.items()}
            trainer._set_place(part, plain)

    # ------------------------------------------------------------------------------------------------- what went wrong

    def _first_not_finite(self) -> str | None:
        rows = (row for row in self._gradients if not np.isfinite(row).all())
        row = next(rows, self._gradients[0])  # of one shard, not the sum, which has the NaN of all ranks
        of_a_shard = np.split(row, self._starts[1:-1])
        for layer, values in zip(self.optimizer.layers, of_a_shard, strict=True):
            layer.flat_grads[:] = values
        found = self.ranks.gather(super()._first_not_finite())
        return next((name for name in found if name is not None), None)

    def _batch(self) -> Iterator[tuple[str, np.ndarray]]:
        for trainer in self._trainers.values():
            yield from trainer._batch()


def weighted_sum(rows: np.ndarray, weights: list[float]) -> np.ndarray:
    """The sum of rows, each times its weight, added from the first to the last."""
    total = np.multiply(rows[0], rows.dtype.type(weights[0]))
    for row, weight in zip(rows[1:], weights[1:], strict=True):
        total += row * rows.dtype.type(weight)
    return total
