"""Layers in memory that nobody may write, a mapped file or bytes: they infer, and what would write is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nblstm
from nblstm.layers.parameters import Block
from nblstm.training import TextTrainer

X = np.random.default_rng(5).standard_normal((4, 3, 5), dtype="float32")
TOKENS = np.arange(12).reshape(4, 3) % 3


def over_bytes(thing: Any, _: Path) -> Any:
    """Unpickled over bytes, as between processes that share memory."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])


def over_a_file(thing: Any, folder: Path) -> Any:
    """Unpickled over a file that is mapped for reading."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    maps = []
    for n, buffer in enumerate(buffers):
        (folder / f"{n}").write_bytes(buffer)
        maps.append(np.memmap(folder / f"{n}", mode="r"))
    return pickle.loads(data, buffers=maps)


def by_joblib(thing: Any, folder: Path) -> Any:
    """As joblib gives large arrays to its processes."""
    joblib = pytest.importorskip("joblib", reason="joblib comes with scikit-learn, of the extra course")
    joblib.dump(thing, folder / "thing")
    return joblib.load(folder / "thing", mmap_mode="r")


WAYS = [over_bytes, over_a_file, by_joblib]
MAKERS: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: nblstm.LSTM(5, 6, 2, bidirectional=True, peephole=True, seed=0),
    "RNN": lambda: nblstm.RNN(5, 6, formulation="concat", seed=0),
    "LSTMCell": lambda: nblstm.LSTMCell(5, 6, seed=0),
    "Linear": lambda: nblstm.Linear(5, 6, seed=0),
    "Embedding": lambda: nblstm.Embedding(7, 6, seed=0),
    "CharLM": lambda: nblstm.CharLM("abc", 4, 6, 1, seed=0),
    "SequenceClassifier": lambda: nblstm.SequenceClassifier(5, 6, 1, 3, seed=0),
}


def parts(thing: Any) -> list[nblstm.Layer]:
    return thing.layers if hasattr(thing, "layers") else [thing]


def used(thing: Any) -> list[bytes]:
    """What it gives when it is called, and the gradients after a forward and a backward."""
    x = TOKENS if hasattr(thing, "vocabulary") or isinstance(thing, nblstm.Embedding) else X
    x = x[0] if isinstance(thing, nblstm.LSTMCell) else x
    called = thing(x)
    first = called[0] if isinstance(called, tuple) else called
    *outputs, tape = thing.forward(x)
    upstream = outputs[0]
    thing.backward(upstream, tape)
    return [first.tobytes(), *(layer.flat_grads.tobytes() for layer in parts(thing))]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MAKERS)
def test_it_infers_and_its_gradients_are_its_own(name, way, tmp_path):
    """To the last bit; the parameters stay where they are."""
    mapped = way(MAKERS[name](), tmp_path)
    for layer in parts(mapped):
        assert layer.flat_grads.flags.writeable
        assert not layer._writable.flat.flags.writeable
        assert not layer.flat_params.flags.owndata
        assert type(layer.flat_params) is np.ndarray
    assert used(mapped) == used(MAKERS[name]())
    if way is over_bytes:
        again = over_bytes(mapped, tmp_path)
        assert all(layer.flat_grads.any() for layer in parts(again))
        again.zero_grad()
        assert not any(layer.flat_grads.any() for layer in parts(again))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["LSTM", "Embedding", "CharLM"])
def test_what_would_write_says_how_to_get_one_that_can_be_written(name, way, tmp_path):
    original = MAKERS[name]()
    mapped = way(original, tmp_path)
    layer, optimizer = parts(mapped)[0], nblstm.Adam(parts(mapped))
    used(mapped)
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"copy\.deepcopy\(layer\)"):
        mapped.load_state_dict(original.state_dict())
    with pytest.raises(ValueError, match=r"copy\.deepcopy\(layer\)"), layer.editing():
        pytest.fail("it was opened for writing")
    with pytest.raises(ValueError, match=r"copy\.deepcopy\(layer\)"):
        optimizer.step()
    assert all(map(np.array_equal, state.values(), optimizer.state_dict().values()))
    used(original)
    twin = copy.deepcopy(mapped)
    for one in (original, twin):
        nblstm.Adam(parts(one)).step()
        one.load_state_dict(one.state_dict())
    assert used(twin) == used(original)


def test_where_one_layer_cannot_be_written_none_is(tmp_path):
    """As joblib's processes get models: large arrays are mapped, small ones are not."""
    free, mapped = nblstm.Linear(2, 3, seed=0), over_bytes(nblstm.Linear(2, 3, seed=0), tmp_path)
    for layer in (free, mapped):
        layer.flat_grads[:] = 1
    before, optimizer = free.flat_params.copy(), nblstm.SGD([free, mapped], momentum=0.5)
    with pytest.raises(ValueError, match=r"copy\.deepcopy"):
        optimizer.step()
    assert np.array_equal(free.flat_params, before)
    assert not any(array.any() for array in optimizer.state_dict().values())
    model = nblstm.SequenceClassifier(5, 6, 1, 3, seed=0)
    model.layers[1] = model.parts["linear"] = over_bytes(model.linear, tmp_path)
    before = model.recurrent.flat_params.copy()
    with pytest.raises(ValueError, match=r"copy\.deepcopy"):
        model.load_state_dict({name: tensor + 1 for name, tensor in model.state_dict().items()})
    assert np.array_equal(model.recurrent.flat_params, before)


def test_a_trainer_goes_on_in_a_deep_copy(tmp_path):
    model = nblstm.CharLM("abc", 4, 6, 1, seed=0)
    trainer = TextTrainer(model, nblstm.Adam(model.layers), TOKENS, window=3)
    trainer.step()
    mapped = over_bytes(trainer, tmp_path)
    with pytest.raises(ValueError, match=r"copy\.deepcopy"):
        mapped.step()
    mapped.optimizer.load_state_dict(mapped.optimizer.state_dict())
    twin = copy.deepcopy(over_bytes(trainer, tmp_path))
    assert [twin.step() for _ in range(3)] == [trainer.step() for _ in range(3)]
    assert np.array_equal(twin.model.linear.flat_params, model.linear.flat_params)


def frozen(flat: np.ndarray) -> np.ndarray:
    flat.flags.writeable = False
    return flat


def misaligned(size: int) -> np.ndarray:
    raw = np.zeros(4 * size + 4, np.uint8)
    start = (1 - raw.ctypes.data) % 4  # in guard mode arrays begin anywhere
    return raw[start : start + 4 * size].view("float32")


SIZE = nblstm.Linear(2, 3).num_parameters
BLOCKS = {
    "read-only": frozen(np.zeros(SIZE, "float32")),
    "reversed": np.zeros(SIZE, "float32")[::-1],
    "in steps of two": np.zeros(2 * SIZE, "float32")[::2],
    "longer": np.zeros(SIZE + 1, "float32"),
    "misaligned": misaligned(SIZE),
    "of another dtype": np.zeros(SIZE),
}


@pytest.mark.parametrize("form", BLOCKS)
def test_gradients_go_only_where_a_kernel_may_write(form):
    """Handed in, or put in the place of the layer's own."""
    layer = nblstm.Linear(2, 3, seed=0)
    block = Block(layer.params.shapes, BLOCKS[form])
    before = layer.flat_params.copy()
    y, tape = layer.forward(np.ones((1, 2), "float32"))
    with pytest.raises(ValueError, match=r"^grads must be a writable block"):
        layer.backward(y, tape, grads=block)
    own, layer.grads = layer.grads, block
    with pytest.raises(ValueError, match=r"^layer\.grads must be a writable block"):
        layer.backward(y, tape)
    with pytest.raises(ValueError, match=r"layers\[0\] must have gradients of 9 float32"):
        nblstm.SGD([layer]).step()
    assert np.array_equal(layer.flat_params, before)
    assert not block.flat.any()
    layer.grads = own
    layer.backward(y, tape)
    assert own.flat.any()


def test_an_optimiser_is_for_the_layers_it_was_made_for():
    """Another in a layer's place has no moments: writing them would go past their end."""
    small, large = nblstm.Linear(2, 3, seed=0), nblstm.Linear(200, 300, seed=0)
    optimizer, before = nblstm.Adam([small]), large.flat_params.copy()
    optimizer.layers[0] = large
    with pytest.raises(ValueError, match=r"layers\[0\] must have m of 60300 float32"):
        optimizer.step()
    assert np.array_equal(large.flat_params, before)
    assert optimizer.steps == 0
