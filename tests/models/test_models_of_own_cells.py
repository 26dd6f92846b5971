"""Whole networks of a cell of one's own: as a layer of it computes, saved, and opened again with the cell."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import own_cells

import nblstm
from nblstm import Cell, CharLM, Recurrent, SequenceClassifier, SequenceRegressor, SequenceTagger, WordLM, weights
from nblstm.cells import CELLS
from nblstm.models import Network

COUPLED, STAGED = own_cells.COUPLED, own_cells.STAGED
MODELS = {
    "characters": lambda cell: CharLM("abc", 3, 5, 2, cell=cell, seed=1),
    "words": lambda cell: WordLM(["<unk>", "a", " b"], 3, 5, 1, cell=cell, seed=1),
    "classes": lambda cell: SequenceClassifier(2, 5, 1, 3, cell=cell, bidirectional=True, seed=1),
    "tags": lambda cell: SequenceTagger(2, 5, 1, 3, classes=["a", "b", "c"], cell=cell, seed=1),
    "tags of tokens": lambda cell: SequenceTagger(2, 5, 1, 3, vocabulary=["<unk>", "a", "b"], cell=cell, seed=1),
    "numbers": lambda cell: SequenceRegressor(2, 5, 1, 2, cell=cell, seed=1),
}


def answers(model: Any) -> np.ndarray:
    tokens = np.array([[0, 1], [2, 0], [1, 1]])
    if isinstance(model, CharLM | WordLM):
        return model(tokens)[0]
    if model.config.get("vocabulary"):
        return model(tokens)
    return model(np.linspace(-1, 1, 24, dtype="float32").reshape(4, 3, 2))


@pytest.mark.parametrize("cell", [COUPLED, STAGED], ids=repr)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_of_an_own_cell_is_saved_and_opened_with_it(make: Any, cell: Cell, tmp_path: Path) -> None:
    model = make(cell)
    assert isinstance(model.recurrent, Recurrent)
    assert f"cell={cell!r}" in repr(model)
    model.save(tmp_path / "model.safetensors")
    for kind in (type(model), Network):
        same = kind.load(tmp_path / "model.safetensors", cell=cell)
        assert same.recurrent.cell is cell
        np.testing.assert_array_equal(answers(same), answers(model))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(answers(other), answers(model))


def test_a_language_model_of_an_own_cell_takes_another_vocabulary() -> None:
    model = MODELS["characters"](COUPLED)
    more = model.with_vocabulary("abcd", seed=1)
    assert more.recurrent.cell is COUPLED
    np.testing.assert_array_equal(answers(more)[..., :3], answers(model))


def test_it_computes_what_the_cell_of_the_package_does() -> None:
    """The coupled cell is there twice; and a text is drawn, trained on and taken back in the same way."""
    own, package = (MODELS["characters"](cell) for cell in (COUPLED, "coupled"))
    tokens, found = np.array([[0, 1], [2, 0], [1, 1], [2, 2]]), []
    for model in (own, package):
        logits, _, tape = model.forward(tokens[:-1])
        _, dlogits = nblstm.cross_entropy(logits, tokens[1:])
        model.backward(dlogits, tape)
        found.append({name: grad.copy() for layer in model.layers for name, grad in layer.grads.items()})
    for name, grad in found[0].items():
        np.testing.assert_array_equal(grad, found[1][name])
    assert own.sample("a", 20, seed=0) == package.sample("a", 20, seed=0)


def test_a_cell_of_the_package_is_the_same_by_name_and_by_itself(tmp_path: Path) -> None:
    for cell in CELLS.values():
        by_name, by_itself = (MODELS["classes"](each) for each in (cell.name, cell))
        assert type(by_name.recurrent) is type(by_itself.recurrent)
        assert by_name.config == by_itself.config
    by_itself.save(tmp_path / "model.safetensors")
    for given in (None, cell):
        assert Network.load(tmp_path / "model.safetensors", cell=given).recurrent.cell is cell


@pytest.fixture
def file(tmp_path: Path) -> Path:
    MODELS["numbers"](COUPLED).save(tmp_path / "own.safetensors")
    MODELS["numbers"]("gru").save(tmp_path / "gru.safetensors")
    return tmp_path / "own.safetensors"


def changed(**changes: Any) -> Cell:
    parts = {each: getattr(COUPLED, each) for each in ("name", "sums", "states", "forward", "backward")}
    return Cell(**(parts | changes), check=False)


FORM = "'my_coupled' with sums f, g, o and states h, c"
WRONG = {
    "none": (None, f"own.safetensors has a cell that is none of nblstm's, {FORM}: hand it in, as cell=..."),
    "a name": (changed(name="other"), f"own.safetensors, {FORM}, got 'other' with sums f, g, o and states h, c"),
    "sums": (changed(sums=("g", "f", "o")), f"{FORM}, got 'my_coupled' with sums g, f, o and states h, c"),
    "nblstm's": (CELLS["coupled"], f"cell must be that of .*own.safetensors, {FORM}, got nblstm's 'coupled'"),
    "peepholes": (
        changed(peepholes={"p": ("f", "c_prev")}), rf"{FORM}, got {FORM}, peepholes \[\['p', 'f', 'c_prev'\]\]",
    ),
    "reads": (changed(reads={"g": own_cells.halved}), rf"{FORM}, got {FORM}, reads \['g'\]"),
}  # fmt: skip


@pytest.mark.parametrize(("cell", "message"), WRONG.values(), ids=WRONG)
def test_a_file_opens_with_no_other_cell(file: Path, cell: Cell | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Network.load(file, cell=cell)
    assert "damaged" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_cell_and_a_cell_too_much_are_refused(file: Path) -> None:
    for wrong in ("coupled", 3, Cell):
        with pytest.raises(TypeError, match="cell must be Cell, got "):
            Network.load(file, cell=wrong)
    with pytest.raises(
        ValueError, match=r"cell must be left out for .*gru.safetensors, whose cell is nblstm's own 'gru', got Cell"
    ):
        Network.load(file.with_name("gru.safetensors"), cell=COUPLED)


def test_a_cell_that_has_a_name_of_nblstms_is_not_taken_for_it(tmp_path: Path) -> None:
    own = changed(name="coupled")
    MODELS["numbers"](own).save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="has a cell that is none of nblstm's, 'coupled' with"):
        SequenceRegressor.load(tmp_path / "model.safetensors")
    assert SequenceRegressor.load(tmp_path / "model.safetensors", cell=own).recurrent.cell is own


@pytest.mark.parametrize("record", [{}, {"name": "k"}, {"name": 3, "sums": ["z"], "states": ["h"]}, 3, "elman", None])
def test_what_a_file_says_of_its_cell_may_be_damaged(file: Path, record: Any) -> None:
    tensors, metadata = weights.load_with_metadata(file)
    ((form, sealed),) = metadata.items()
    config = weights.unseal(sealed, tensors) | {"cell": record}
    weights.save(file, tensors, {form: weights.seal(config, tensors)})
    with pytest.raises(ValueError, match=r"own\.safetensors is a damaged model file: "):
        Network.load(file, cell=COUPLED)


def test_options_that_a_cell_has_not_are_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="forget_bias must be 0 for cell 'my_coupled', which has no forget gate"):
        CharLM("abc", cell=COUPLED, forget_bias=1.0)
    with pytest.raises(ValueError, match="formulation must be 'split' for cell 'my_minimal'"):
        CharLM("abc", cell=own_cells.MINIMAL, formulation="concat")


def test_no_cell_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cell must be '[a-z_]+', .* got 3"):
        CharLM("abc", cell=3)
