"""`CharLM`: its gradients, its names, its files, and the text it draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest

from nblstm import Cell, CharLM, Recurrent, SequenceClassifier, cross_entropy, weights
from nblstm.cells import CELLS
from nblstm.layers.parameters import Block
from nblstm.models import language

VOCABULARY = "\nabcé"
FORMS = [(name, form) for name in naive.CELLS for form in ("split", "concat")[: 1 if CELLS[name].apart else 2]]


def small(cell: str = "lstm", **options: Any) -> CharLM:
    return CharLM(VOCABULARY, 3, 7, 2, cell=cell, seed=5, **({"dtype": "float64"} | options))


def problem(rng: np.random.Generator, T: int = 5, B: int = 2) -> tuple[np.ndarray, np.ndarray]:
    tokens = rng.integers(0, len(VOCABULARY), (T + 1, B))
    return tokens[:-1], tokens[1:]


def random_state(rng: np.random.Generator, cell: str, B: int = 2) -> Any:
    h, c = rng.normal(size=(2, 2, B, 7))
    return h if len(CELLS[cell].states) == 1 else (h, c)


@pytest.mark.parametrize(("cell", "formulation"), FORMS)
def test_gradients_against_centred_differences(rng: np.random.Generator, cell: str, formulation: str) -> None:
    model = small(cell, formulation=formulation)
    inputs, targets = problem(rng)
    state = random_state(rng, cell)
    logits, _, tape = model.forward(inputs, state)
    _, dlogits = cross_entropy(logits, targets)
    model.backward(dlogits, tape)
    for layer in model.layers:
        numeric = layer.new_grads()
        numeric.flat[:] = np.nan
        for index in rng.permutation(layer.num_parameters)[:100]:
            losses = []
            for step in (1e-5, -2e-5, 1e-5):  # up, down, and back
                with layer.editing() as p:
                    p.flat[index] += step
                losses.append(cross_entropy(model(inputs, state)[0], targets)[0])
            numeric.flat[index] = (losses[0] - losses[1]) / 2e-5
        for name, analytic in layer.grads.items():
            difference = np.nanmax(np.abs(analytic - numeric[name]))
            assert difference <= 1e-7 * np.abs(analytic).max(), name


@pytest.mark.parametrize("cell", naive.CELLS)
def test_a_text_in_two_halves_gives_what_the_whole_gives(rng: np.random.Generator, cell: str) -> None:
    model = small(cell)
    inputs, _ = problem(rng, T=8)
    whole, final = model(inputs)
    first, state = model(inputs[:3])
    second, state = model(inputs[3:], state)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    np.testing.assert_array_equal(state, final)
    trained, final_trained, _ = model.forward(inputs)
    np.testing.assert_array_equal(trained, whole)
    np.testing.assert_array_equal(final_trained, final)


def test_gradients_add_up_until_they_are_cleared(rng: np.random.Generator) -> None:
    model = small()
    inputs, targets = problem(rng)
    tape, once = None, None
    for _ in range(2):
        logits, _, tape = model.forward(inputs, None, tape)
        model.backward(cross_entropy(logits, targets)[1], tape)
        once = [layer.flat_grads.copy() for layer in model.layers] if once is None else once
    for layer, first in zip(model.layers, once or [], strict=True):
        np.testing.assert_allclose(layer.flat_grads, 2 * first, rtol=1e-12)
    model.zero_grad()
    assert not any(layer.flat_grads.any() for layer in model.layers)


def test_names_shapes_and_count() -> None:
    model = CharLM("abc", 4, 5, 1, cell="peephole")
    assert model.shapes == {
        "embedding.weight": (3, 4),
        "lstm.weight_ih_l0": (20, 4),
        "lstm.weight_hh_l0": (20, 5),
        "lstm.bias_ih_l0": (20,),
        "lstm.bias_hh_l0": (20,),
        "lstm.weight_peephole_l0": (3, 5),
        "linear.weight": (3, 5),
        "linear.bias": (3,),
    }
    assert set(CharLM("abc", 4, 5, 1, cell="rnn_tanh").state_dict()) >= {"embedding.weight", "rnn.weight_hh_l0"}
    assert model.num_parameters == 12 + 4 * (5 * (5 + 4) + 10) + 15 + 18
    assert model.summary().splitlines()[-1].split() == ["total", str(model.num_parameters)]


def test_the_same_seed_gives_the_same_weights_and_every_layer_its_own() -> None:
    first, second, other = small(), small(), CharLM(VOCABULARY, 3, 7, 2, seed=6, dtype="float64")
    for name, tensor in first.state_dict().items():
        np.testing.assert_array_equal(tensor, second.state_dict()[name])
        assert (tensor != other.state_dict()[name]).any()


@pytest.mark.parametrize("cell", naive.CELLS)
def test_a_saved_model_comes_back(tmp_path: Path, rng: np.random.Generator, cell: str) -> None:
    model = small(cell, formulation="split" if CELLS[cell].apart else "concat", dropout=0.25)
    path = tmp_path / "model.safetensors"
    model.save(path)
    found = CharLM.load(path)
    assert (repr(found), found.vocabulary) == (repr(model), model.vocabulary)
    inputs, _ = problem(rng)
    np.testing.assert_array_equal(found(inputs)[0], model(inputs)[0])


def test_a_model_has_any_cell_that_is_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without a class of its own is a `Recurrent`; who does not know the name cannot read the file."""
    parts = CELLS["lstm"]
    own = Cell(
        "own", sums=parts.sums, states=parts.states, forward=parts.forward, backward=parts.backward, forget="f"
    )  # fmt: skip
    monkeypatch.setitem(CELLS, "own", own)
    model = small("own", formulation="concat", forget_bias=2.0)
    assert type(model.recurrent) is Recurrent
    path = tmp_path / "model.safetensors"
    model.save(path)
    found = CharLM.load(path)
    assert (found.recurrent.cell, found.config) == (own, model.config)
    assert found.recurrent.flat_params.tobytes() == model.recurrent.flat_params.tobytes()
    monkeypatch.delitem(CELLS, "own")
    with pytest.raises(ValueError, match=r"is a damaged model file: cell must be .*, got 'own'"):
        CharLM.load(path)


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = small()
    model.save(path)
    tensors, metadata = weights.load_with_metadata(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        CharLM.load(path)
    weights.save(path, tensors, {"format": "pt"})
    with pytest.raises(ValueError, match=r"saved by CharLM\.save, got a file whose metadata does not say so"):
        CharLM.load(path)
    weights.save(
        path, tensors, {"nblstm.CharLM": metadata["nblstm.CharLM"].replace("embedding_size", "embedding_sine")}
    )
    with pytest.raises(ValueError, match="damaged model file"):
        CharLM.load(path)
    tensors["linear.bias"][0] += 1
    weights.save(path, tensors, metadata)
    with pytest.raises(ValueError, match="damaged model file: what it holds does not match its digest"):
        CharLM.load(path)
    tensors["linear.bias"][0] = model.linear.params["bias"][0]
    config = weights.unseal(metadata["nblstm.CharLM"], tensors)
    del tensors["linear.bias"]
    weights.save(path, tensors, {"nblstm.CharLM": weights.seal(config, tensors)})
    with pytest.raises(ValueError, match=r"damaged model file.*missing: linear\.bias"):
        CharLM.load(path)


def test_a_state_dict_that_does_not_fit_is_refused_whole() -> None:
    model = small()
    before = model.state_dict()
    wrong = {name: tensor + 1 for name, tensor in before.items()}
    wrong["lstm.bias_ih_l0"] = wrong["lstm.bias_ih_l0"][1:]
    wrong["extra"] = wrong.pop("embedding.weight")
    with pytest.raises(ValueError, match=r"missing: embedding.*unexpected: extra.*lstm\.bias_ih_l0: expected shape"):
        model.load_state_dict(wrong)
    with pytest.raises(TypeError, match="float32"):
        model.load_state_dict({name: tensor.astype(np.float32) for name, tensor in before.items()})
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor, before[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary": ""}, "vocabulary must be one or more"),
        ({"vocabulary": ["a", "bc"]}, "vocabulary must be one or more single"),
        ({"vocabulary": "abca"}, "vocabulary must have distinct"),
        ({"cell": "elman"}, "cell must be .*'gru', .*'indrnn'.* 'sru'.* got 'elman'"),
        ({"cell": "rnn_tanh", "forget_bias": 1.0}, "forget_bias must be 0 for cell 'rnn_tanh'"),
        ({"cell": "gru", "forget_bias": 1.0}, "forget_bias must be 0 for cell 'gru'"),
        ({"cell": "gru", "formulation": "concat"}, "formulation must be 'split' for cell 'gru'"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"num_layers": 0}, "num_layers must be at least 1"),
        ({"formulation": "both"}, "formulation must be"),
        ({"dropout": 1.5}, "dropout must be in"),
        ({"dtype": "float16"}, "dtype must be"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CharLM(**({"vocabulary": "abc"} | arguments))


def drawn_naively(model: CharLM, prompt: str, length: int, temperature: float, seed: int) -> str:
    """The sampling rule without any carried state: the whole text is read anew for every character."""
    text = prompt or "\n"
    for u in np.random.default_rng(seed).random(length):
        tokens = np.array([[model.vocabulary.index(character)] for character in text])
        z = model(tokens)[0][-1, 0].astype(float) / temperature
        p = np.exp(z - z.max())
        cumulative = np.cumsum(p / p.sum())
        text += model.vocabulary[int(np.argmax(cumulative > u))]
    return prompt + text[-length:]


@pytest.mark.parametrize("cell", [*naive.KNOWN, "slstm"])
@pytest.mark.parametrize("prompt", ["", "a", "abacé\n"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sampling_against_its_definition(cell: str, prompt: str, dtype: str) -> None:
    model = small(cell, dtype=dtype)
    with model.linear.editing() as p:  # spread the logits
        p["weight"][...] *= 5
    for temperature in (0.5, 1.0, 2.0):
        found = model.sample(prompt, 30, temperature, seed=3)
        assert found == drawn_naively(model, prompt, 30, temperature, seed=3)
    assert model.sample(prompt, 30, seed=4) != model.sample(prompt, 30, seed=5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "slstm"])
def test_a_sample_drawn_in_pieces_is_the_one_drawn_at_once(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between pieces, where Ctrl-C is heard, the states go on; pieces of odd and of even length end in other slots."""
    model = small(cell)
    for layer in model.layers:
        with layer.editing() as p:
            p.flat[:] *= 5  # so that what is drawn depends on what was read
    for options in ({"seed": 3}, {"temperature": 0}):
        whole = model.sample("ab", length=40, **options)
        for piece in (1, 2, 7):
            with monkeypatch.context() as patch:
                patch.setattr(language, "INTERRUPTIBLE", piece)
                assert model.sample("ab", length=40, **options) == whole


def test_sampled_frequencies_follow_the_softmax() -> None:
    model = small()
    p = np.array([0.4, 0.3, 0.2, 0.1, 0.0])
    with model.linear.editing() as block:
        clear(block)
        block["bias"][...] = np.log(p + 1e-30)
    text = model.sample(length=4000, seed=0)
    counts = np.array([text.count(character) for character in VOCABULARY])
    assert counts[-1] == 0
    assert np.abs(counts / 4000 - p).max() < 4 * np.sqrt(0.25 / 4000)
    assert set(model.sample(length=200, temperature=0.01, seed=0)) == {"\n"}


@pytest.mark.parametrize(
    ("logits", "draws"),
    [
        ([0, 0, 0, 0], {0.0: 0, 0.25: 1, np.nextafter(0.25, 0): 0, 0.5: 2, 0.75: 3, np.nextafter(1, 0): 3}),
        ([-1e30, 0, -1e30, 0], {0.0: 1, 0.5: 3, np.nextafter(0.5, 0): 1, np.nextafter(1, 0): 3}),
        ([0, -1e30, 0, -1e30], {0.0: 0, 0.5: 2, np.nextafter(1, 0): 2}),  # not the last one, which has no probability
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_a_boundary_the_next_that_has_a_probability_is_drawn(
    logits: list[float], draws: dict[float, int], dtype: str
) -> None:
    model = CharLM("abcd", 3, 5, 1, dtype=dtype, seed=0)
    with model.linear.editing() as block:
        clear(block)
        block["bias"][...] = logits
    (drawn,) = model._draw(np.array([0]), np.array(list(draws)), 1.0, 4, 1.0)
    assert drawn.tolist() == list(draws.values())


def clear(block: Block) -> None:
    block.flat[:] = 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_temperature_zero_the_first_of_the_most_probable_characters_is_taken(dtype: str) -> None:
    model = small(dtype=dtype)
    with model.linear.editing() as p:
        p["weight"][...] *= 5
    text = "a"
    for _ in range(30):
        tokens = np.array([[VOCABULARY.index(character)] for character in text])
        text += VOCABULARY[int(model(tokens)[0][-1, 0].argmax())]
    assert [model.sample("a", 30, 0, seed=seed) for seed in (1, 2)] == [text, text]
    with model.linear.editing() as p:
        clear(p)
        p["bias"][[1, 3]] = 2
    assert model.sample(length=20, temperature=0.0, seed=1) == 20 * VOCABULARY[1]


@pytest.mark.parametrize("temperature", [-1.0, -5e-324, float("nan"), float("inf")])
def test_temperatures_below_zero_and_not_finite_are_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be 0 or more and finite"):
        small().sample(temperature=temperature)


def test_unknown_characters_of_a_prompt_are_named() -> None:
    with pytest.raises(ValueError, match="'!', 'x'"):
        small().sample("ax!")
    with pytest.raises(ValueError, match="length must be at least 1"):
        small().sample("a", length=0)


def test_dropout_of_one_layer_is_warned_of_as_the_layer_does() -> None:
    with pytest.warns(UserWarning, match=r"dropout=0\.5 has no effect with one layer"):
        CharLM("ab", 4, 6, 1, dropout=0.5)
    with pytest.warns(UserWarning, match=r"dropout=0\.5 has no effect with one layer"):
        SequenceClassifier(2, 6, 1, 3, dropout=0.5)


def fixed(*logits: float) -> CharLM:
    """A model that always gives these logits to a, b, c and so on."""
    model = CharLM("abcd"[: len(logits)], 3, 5, 1, seed=0)
    with model.linear.editing() as block:
        clear(block)
        block["bias"][...] = logits
    return model


def test_top_k_and_top_p_draw_from_the_likeliest_alone() -> None:
    model = fixed(*np.log([0.1, 0.4, 0.2, 0.3]))
    for options, kept in (
        ({"top_k": 1}, "b"),
        ({"top_k": 3}, "bcd"),
        ({"top_p": 0.39}, "b"),
        ({"top_p": 0.41}, "bd"),
        ({"top_p": 0.71}, "bcd"),
        ({"top_p": 1.0}, "abcd"),
        ({"top_k": 2, "top_p": 0.5}, "b"),  # of which b has more than a half
        ({"top_k": 2, "top_p": 0.6}, "bd"),
        ({"top_p": 0.41, "temperature": 0.5}, "b"),  # of which b has 0.53 then
    ):
        drawn = model.sample(length=300, seed=1, **options)[0:]
        assert set(drawn) == set(kept), options
    share = model.sample(length=4000, seed=2, top_k=2).count("b") / 4000
    assert share == pytest.approx(4 / 7, abs=0.03)
    assert set(fixed(0, 0, 0, 0).sample(length=100, seed=1, top_k=2)) == {"a", "b"}  # of equals the first
    for options, message in (
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_p": 0.0}, "top_p must be above 0"),
        ({"top_p": 1.5}, "top_p must be at most 1"),
        ({"stop": ""}, "stop must be a text of at least one character"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(**options)


def test_a_sample_ends_before_a_text() -> None:
    model = small()
    whole = model.sample("a", 900, seed=3)
    stop = whole[450:453]
    assert model.sample("a", 900, seed=3, stop=stop) == "a" + whole[1 : whole.index(stop, 1)]
    assert model.sample("a", 900, seed=3, stop="a" * 50) == whole
    assert model.sample(stop, 5, seed=3, stop=stop).startswith(stop), "what is read is none of it"


def test_unknown_characters_are_skipped_where_that_is_asked_for() -> None:
    model = small()
    known = model.sample("ab", 20, seed=1)
    assert model.sample("xa?b!", 20, seed=1, skip_unknown=True) == "xa?b!" + known[2:]
    assert model.sample("?", 20, seed=1, skip_unknown=True) == "?" + model.sample("", 20, seed=1)
