"""Experiment 1, embedded Reber grammar: predict each next symbol of strings whose last but one repeats their second.

Task: 256 strings to train with and 256 others to test with, none of which is among the first; an input and an output
for each of seven symbols; a target, the string's own next symbol, at every step. Nets: 4 blocks of 1 cell, 264 weights,
or 3 of 2, 276 weights; only gates have biases. Learning rates 0.1, 0.2 and 0.5. Initial weights within 0.2; biases of
the output gates -1, -2, -3 and -4.
Learned: in all 512 strings, at every step, all symbols that may follow are more active than all others. 30 trials, 10
for each of three pairs of sets (table 1).

The paper leaves open: whether a set may have a string twice (here as the grammar draws them, so short ones do); when it
is tested (here every 256 sequences; the sets differ in all trials); when a trial is given up (here after 200,000).
"""

from __future__ import annotations

import numpy as np

from nblstm.experiments.block_net import BlockSettings
from nblstm.experiments.experiment import Case, Experiment
from nblstm.experiments.tasks import HeldOut, Sequences

SYMBOLS = "BTPSXVE"
GRAMMAR = {
    0: {"T": 1, "P": 2}, 1: {"S": 1, "X": 3}, 2: {"T": 2, "V": 4}, 3: {"X": 2, "S": 5}, 4: {"P": 3, "V": 5},
    5: {"E": 6},
}  # fmt: skip
"""Of the inner grammar, after its B: the symbols that may follow in each state, and the state that each leads to."""
END = 6
SET = 256


def string(rng: np.random.Generator) -> tuple[str, list[str]]:
    """A string of the embedded grammar, and what may follow each of its symbols but the last."""
    side = "TP"[rng.integers(2)]
    symbols, legal, state = ["B", side, "B"], ["TP", "B"], 0
    while state != END:
        ways = GRAMMAR[state]
        legal.append("".join(ways))
        symbols.append(list(ways)[rng.integers(len(ways))])
        state = ways[symbols[-1]]
    return "".join([*symbols, side, "E"]), [*legal, side, "E"]


def sets(rng: np.random.Generator) -> Sequences:
    """Those to train with, then those to test with."""
    train = [string(rng) for _ in range(SET)]
    known = {symbols for symbols, _ in train}
    test: list[tuple[str, list[str]]] = []
    while len(test) < SET:
        symbols, legal = string(rng)
        if symbols not in known:
            test.append((symbols, legal))
    return sequences(train + test)


def sequences(some: list[tuple[str, list[str]]]) -> Sequences:
    """Strings without their last symbol as inputs, without their first as targets."""
    strings, legals = zip(*some, strict=True)
    lengths = np.array([len(each) - 1 for each in strings])
    inputs = np.zeros((lengths.max(), len(some)), np.int64)
    targets = np.zeros((*inputs.shape, len(SYMBOLS)))
    legal = np.zeros(targets.shape, bool)
    for b, (symbols, ways) in enumerate(zip(strings, legals, strict=True)):
        for t, may_follow in enumerate(ways):
            inputs[t, b] = SYMBOLS.index(symbols[t])
            targets[t, b, SYMBOLS.index(symbols[t + 1])] = 1
            legal[t, b, [SYMBOLS.index(each) for each in may_follow]] = True
    return Sequences(inputs, lengths, targets, legal)


def task(rng: np.random.Generator) -> HeldOut:
    """A pair of sets of its own."""
    both = sets(rng)
    return HeldOut(lambda rng, count: both.part(rng.integers(SET, size=count)), both)


def case(blocks: int, cells: int, lr: float, weights: int, published: int, share: int) -> Case:
    """A line of table 1."""
    net = BlockSettings(blocks, cells, lr, init=0.2, out_gates=(-1, -2, -3, -4)[:blocks], biases=("gates",))
    label = f"{blocks} blocks of {cells}, lr {lr}"
    return Case(label, task, 7, 7, 12, net, weights, published, 30, 200_000, share, every=SET)


EXPERIMENT = Experiment(
    "reber",
    "predict strings of the embedded Reber grammar",
    (
        case(4, 1, 0.1, 264, 39_740, 100),
        case(3, 2, 0.1, 276, 21_730, 100),
        case(3, 2, 0.2, 276, 14_060, 97),
        case(4, 1, 0.5, 264, 9_500, 97),
        case(3, 2, 0.5, 276, 8_440, 100),
    ),
)
