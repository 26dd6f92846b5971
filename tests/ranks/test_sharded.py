"""A batch in shards: the sum that the mathematics says, and the same bits for any number of ranks, here of threads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.rank_threads import on_ranks

from nblstm import SGD, Adam, AdamW, CharLM, SequenceClassifier, SequenceTagger, clip_grad_norm, thread_policy
from nblstm.datasets import streams
from nblstm.distributed import Alone, ShardedTrainer, evaluate_together
from nblstm.training import BatchTrainer, TagTrainer, TextTrainer, Trainer, evaluate

TOKENS = np.random.default_rng(5).integers(0, 40, 700)
SHARDS = 4


def text(dropout: float = 0.3, clip: float = 0.4, dtype: str = "float32") -> Trainer:
    """Six streams, so that shards have one or two; more than one run of 4,096 numbers in a layer."""
    model = CharLM("".join(map(chr, range(40, 80))), 5, 21, cell="gru", dropout=dropout, dtype=dtype, seed=0)
    return TextTrainer(model, Adam(model.layers, lr=0.01), streams(TOKENS, 6, 10), 10, clip)


def classes(weighted: bool = True) -> Trainer:
    rng = np.random.default_rng(1)
    x, targets = rng.standard_normal((5, 29, 3), dtype="float32"), rng.integers(0, 3, 29)
    model = SequenceClassifier(3, 33, 1, 3, seed=0)
    weights = rng.uniform(0.5, 2, 29) if weighted else None
    return BatchTrainer(
        model, SGD(model, lr=0.1, momentum=0.9), x, targets, 7, lengths=rng.integers(0, 6, 29), sample_weight=weights,
        clip=0.1, seed=2,
    )  # fmt: skip


def tags() -> Trainer:
    rng = np.random.default_rng(2)
    words, targets = rng.integers(0, 3, (6, 20)), rng.integers(0, 3, (6, 20))
    model = SequenceTagger(4, 8, 2, 3, vocabulary=["<unk>", "a", "b"], dropout=0.4, seed=0)
    return TagTrainer(
        model, AdamW(model, lr=0.02), words, targets, 8, lengths=rng.integers(1, 7, 20), weight=[1, 2, 3], seed=4
    )


KINDS: dict[str, Callable[..., Trainer]] = {"text": text, "classes": classes, "tags": tags}


def digest(trainer: Trainer) -> tuple[str, str]:
    """Of all that later steps depend on."""
    tensors, plain = trainer.state_dict()
    everything = hashlib.sha256()
    for name, tensor in tensors.items():
        everything.update(name.encode() + tensor.tobytes())
    return everything.hexdigest(), str(plain)


def trained(kind: str, ranks: Alone, steps: int = 6, state: Any = None, **options: Any) -> tuple[list[float], Any]:
    """Losses and the digest after so many steps, from `state` on."""
    trainer = ShardedTrainer(KINDS[kind](), SHARDS, ranks, **options)
    if state is not None:
        trainer.load_state_dict(*state)
    losses = [trainer.step() for _ in range(steps)]
    return losses, digest(trainer)


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_ranks_gives_the_same_bits(kind: str) -> None:
    expected = trained(kind, Alone())
    for size in (2, 3, 4):
        assert on_ranks(size, lambda ranks: trained(kind, ranks)) == [expected] * size


@pytest.mark.parametrize("kind", KINDS)
def test_goes_on_with_another_number_of_ranks(kind: str) -> None:
    """The state of three ranks, which every one of them has whole, is taken over by two, and by an ordinary trainer."""

    def first_steps(ranks: Alone) -> Any:
        trainer = ShardedTrainer(KINDS[kind](), SHARDS, ranks)
        return [trainer.step() for _ in range(3)], trainer.state_dict()

    losses, state = on_ranks(3, first_steps)[2]
    later, end = on_ranks(2, lambda ranks: trained(kind, ranks, 3, state))[1]
    assert (losses + later, end) == trained(kind, Alone())
    ordinary = KINDS[kind]()
    ordinary.load_state_dict(*state)
    assert ordinary.step() == pytest.approx(later[0], rel=0.2)  # of other masks of dropout


def test_threads_change_no_bit() -> None:
    found = []
    for serial_below in (0, 10**12):
        with thread_policy(serial_below=serial_below):
            found.append(trained("text", Alone(), 2))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["classes", "text"])
def test_one_shard_is_ordinary_training(kind: str) -> None:
    """Without dropout, whose keys a shard draws from a generator of its own."""
    ordinary = text(dropout=0.0) if kind == "text" else classes()
    sharded = ShardedTrainer(text(dropout=0.0) if kind == "text" else classes(), 1, Alone())
    for _ in range(4):
        assert sharded.step() == pytest.approx(ordinary.step(), rel=1e-15)
        for name, tensor in ordinary.model.params.items():
            assert tensor.tobytes() == sharded.model.params[name].tobytes(), name


@pytest.mark.parametrize("exchange", ["ordered", "allreduce"])
def test_shards_add_up_to_the_gradient_of_the_whole_batch(exchange: str) -> None:
    """Six streams in four shards are 1, 2, 1 and 2: their means weigh as much as they have rows."""

    def gradient(ranks: Alone) -> tuple[float, np.ndarray, float]:
        trainer = ShardedTrainer(text(0.0, dtype="float64"), SHARDS, ranks, exchange)
        trainer.model.zero_grad()
        loss = trainer._forward_and_backward()
        parts = zip(trainer.optimizer.layers, trainer._slices, strict=True)
        flat = np.concatenate([layer.flat_grads[part] for layer, part in parts])
        return loss, flat, trainer._clip()

    whole = text(0.0, dtype="float64")
    whole.model.zero_grad()
    loss = whole._forward_and_backward()
    expected = np.concatenate([layer.flat_grads for layer in whole.model.layers])
    norm = clip_grad_norm(whole.model.layers, 0.4)
    found = on_ranks(3, gradient)
    flat = np.concatenate([part for _, part, _ in found]) if exchange == "ordered" else found[0][1]
    np.testing.assert_allclose(flat, expected, rtol=0, atol=1e-14 * abs(expected).max())
    for of_rank in found:
        assert (of_rank[0], of_rank[2]) == pytest.approx((loss, norm), rel=1e-13)


def test_the_norm_has_the_same_bits_and_is_that_of_clipping() -> None:
    """Of thirty runs of 4,096 numbers, in an order that does not depend on who has them."""

    def norms(ranks: Alone) -> list[float]:
        model = CharLM("".join(map(chr, range(40, 80))), 5, 98, dtype="float64", seed=0)
        whole = TextTrainer(model, SGD(model, lr=0.5), streams(TOKENS, 6, 10), 10)
        trainer, rng, found = ShardedTrainer(whole, SHARDS, ranks), np.random.default_rng(3), []
        for _ in range(20):
            for layer in model.layers:
                layer.flat_grads[:] = rng.standard_normal(layer.num_parameters)
            found.append(trainer._clip())
            assert ranks.size > 1 or found[-1] == clip_grad_norm(model.layers, np.inf)
        return found

    expected = norms(Alone())
    for size in (2, 3, 4):
        assert on_ranks(size, norms) == [expected] * size


def test_allreduce_gives_all_ranks_the_same_model() -> None:
    expected, _ = trained("text", Alone())
    found = on_ranks(3, lambda ranks: trained("text", ranks, exchange="allreduce"))
    assert found[0] == found[1] == found[2]
    assert found[0][0] == pytest.approx(expected, rel=1e-4)


def test_slices_of_the_ranks_are_all_of_the_parameters_once() -> None:
    def counts(ranks: Alone) -> list[np.ndarray]:
        trainer = ShardedTrainer(text(), SHARDS, ranks)
        marks = [np.zeros(layer.num_parameters) for layer in trainer.optimizer.layers]
        for mark, part in zip(marks, trainer._slices, strict=True):
            mark[part] = 1
        return marks

    for size in (1, 2, 3, 4):
        of_ranks = on_ranks(size, counts)
        assert all((sum(marks) == 1).all() for marks in zip(*of_ranks, strict=True))


@pytest.mark.parametrize("size", [1, 3])
def test_all_ranks_say_where_it_diverged(size: int) -> None:
    """Wherever the number is that is not finite: here in the last shard, which the last rank has."""

    def diverge(ranks: Alone) -> str:
        trainer = classes()
        trainer.x = trainer.x.copy()
        trainer.x[0, trainer._chosen()[-1]] = np.nan
        trainer.lengths = None
        with pytest.raises(FloatingPointError) as refused:
            ShardedTrainer(trainer, SHARDS, ranks).step()
        return str(refused.value)

    said = set(on_ranks(size, diverge))
    assert len(said) == 1
    assert "the first tensor that is not finite: x of sequence" in said.pop()


def test_evaluation_is_the_same_for_any_number_of_ranks() -> None:
    model = text().model
    expected = evaluate_together(model, TOKENS, SHARDS, Alone(), 10, 20)
    assert expected == pytest.approx(evaluate(model, TOKENS, 10, 20), rel=1e-12)
    for size in (2, 3, 4):
        assert (
            on_ranks(size, lambda ranks: evaluate_together(model, TOKENS, SHARDS, ranks, 10, 20)) == [expected] * size
        )
    few = np.arange(9)  # shards of streams that are filled up alone
    assert evaluate_together(model, few, 7, Alone(), 7) == pytest.approx(evaluate(model, few, 7), rel=1e-12)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="shards must be at most the 6 rows of a batch, got 7"):
        ShardedTrainer(text(), 7, Alone())
    with pytest.raises(ValueError, match="shards must be at least the 3 ranks that share them out, got 2"):
        on_ranks(3, lambda ranks: ShardedTrainer(text(), 2, ranks))
    with pytest.raises(ValueError, match="exchange must be"):
        ShardedTrainer(text(), 2, Alone(), "sorted")
    sharded = ShardedTrainer(text(), 2, Alone())
    with pytest.raises(TypeError, match="got one that is cut into shards"):
        ShardedTrainer(sharded, 2, Alone())
    for _ in range(2):
        sharded.step()
    tensors, plain = sharded.state_dict()
    before = digest(sharded)
    with pytest.raises(ValueError, match=r"place.0 must be \(..., 6, ...\), got \(2, 5, 21\)"):
        sharded.load_state_dict(tensors | {"place.0": tensors["place.0"][:, :5]}, plain)
    assert digest(sharded) == before


def test_what_one_rank_refuses_all_refuse() -> None:
    def refuse(ranks: Alone) -> str:
        def read() -> None:
            with ranks.agreeing():
                if ranks.rank == 1:
                    raise OSError("there is no such file")

        with pytest.raises((ValueError, OSError)) as refused:
            read()
        return f"{type(refused.value).__name__}: {refused.value}"

    others = "ValueError: rank 1 of 3 refused: there is no such file"
    assert on_ranks(3, refuse) == [others, "OSError: there is no such file", others]

    def differ(ranks: Alone) -> str:
        with pytest.raises(ValueError, match="all ranks must have the same data") as refused:
            ranks.same({"version": 1, "data": "abc" if ranks.rank < 2 else "abd"})
        return str(refused.value)

    said = "all ranks must have the same data, got abc on rank 0 and abd on rank 2"
    assert on_ranks(3, differ) == [said] * 3
