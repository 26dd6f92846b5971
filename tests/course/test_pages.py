"""The course's pages beside the lessons: what they claim, computed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.notebooks import without_fences

import nblstm

COURSE = Path(__file__).resolve().parents[2] / "course"
OFTEN_WRITTEN = (COURSE / "often_written.md").read_text(encoding="utf-8")
FORMULAS = (COURSE / "formulas.md").read_text(encoding="utf-8")


def test_each_row_of_what_is_often_written_names_what_is_right_and_a_lesson() -> None:
    text = without_fences(OFTEN_WRITTEN)
    rows = re.findall(r"^\| (?!often written|the program|---)(.*) \|$", text, flags=re.MULTILINE)
    assert len(rows) > 50
    for row in rows:
        _, right, lessons = row.split(" | ")
        assert right.endswith("."), row
        named = re.findall(r"\[lesson (\d+)\]\((\d\d)_\w+\.ipynb\)", lessons)
        assert named, row
        assert all(int(number) == int(file) for number, file in named), row


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", OFTEN_WRITTEN, flags=re.DOTALL))
def test_what_the_lessons_only_say_is_proved(code: str) -> None:
    assert "assert " in code
    exec(code, {})


# ---- the page of formulas ----


def test_each_formula_names_its_lesson() -> None:
    """All tables but the dictionary, which has one sentence above it."""
    rows = re.findall(r"^\| (?![|-]|.*shown in)(.*) \|$", FORMULAS.split("## A dictionary")[0], flags=re.MULTILINE)
    assert len(rows) > 50
    for row in rows:
        named = re.findall(r"\[lesson (\d+)\]\((\d\d)_\w+\.ipynb\)", row.split(" | ")[-1])
        assert named, row
        assert all(int(number) == int(file) for number, file in named), row


def test_counts_of_parameters() -> None:
    """Each formula, evaluated, is the number beside it and what the layer has; with one bias, without the second."""
    I, H = 28, 128
    layers = {
        "RNN": nblstm.RNN(I, H), "LSTM": nblstm.LSTM(I, H), "GRU": nblstm.GRU(I, H),
        "LSTM with peepholes": nblstm.LSTM(I, H, peephole=True),
        "LSTM, both directions": nblstm.LSTM(I, H, bidirectional=True),
        "LSTM, two layers": nblstm.LSTM(I, H, num_layers=2), "linear layer, $I$ to $H$": nblstm.Linear(I, H),
    }  # fmt: skip
    rows = re.findall(r"^\| (.*) \| \$([\dIH ()+]+)\$ \| ([\d,]+) \|", FORMULAS, flags=re.MULTILINE)
    assert len(rows) == 10
    for net, formula, number in rows:
        layer = layers[net.removesuffix(", one bias").removesuffix(", two biases")]
        second = sum(p.size for name, p in layer.params.items() if name.startswith("bias_hh"))
        expected = layer.num_parameters - (second if net.endswith("one bias") else 0)
        product = re.sub(r"(?<=[\dIH]) (?=[IH(])", " * ", formula)
        assert eval(product, {"I": I, "H": H}) == int(number.replace(",", "")) == expected, net


def test_the_backward_pass_of_the_lstm() -> None:
    """The page's lines, read as they stand, against centred differences of one step: dh and dc arrive from outside."""
    rng = np.random.default_rng(0)
    z_i, z_f, z_g, z_o, c_before, dh, dc_belt = rng.standard_normal((7, 5))

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    def step(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        i, f, o = (sigmoid(sums[f"z_{gate}"]) for gate in "ifo")
        g = np.tanh(sums["z_g"])
        c = f * c_before + i * g
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": o * np.tanh(c)}

    sums = {"z_i": z_i, "z_f": z_f, "z_g": z_g, "z_o": z_o}
    names = step(sums) | {"dh": dh, "dc_belt": dc_belt, "c_before": c_before, "tanh": np.tanh}
    lines = re.findall(r"\$(dc|dz_[ifgo]) = ([^$]*)\$", FORMULAS.split("## The GRU")[0])
    assert [name for name, _ in lines] == ["dc", "dz_i", "dz_f", "dz_g", "dz_o"]
    for name, line in lines:
        code = line.replace(r"dc_{t+1} \odot f_{t+1}", "dc_belt").replace("c_{t-1}", "c_before").replace("g^2", "g**2")
        code = code.replace(r"\tanh^2 c", "tanh(c)**2").replace(r"\tanh c", "tanh(c)").replace(r"\odot", "*")
        names[name] = eval(code, names)
    for name, z in sums.items():
        plus, minus = (step(sums | {name: z + move}) for move in (1e-6, -1e-6))
        slope = (dh * (plus["h"] - minus["h"]) + dc_belt * (plus["c"] - minus["c"])) / 2e-6
        np.testing.assert_allclose(names[f"d{name}"], slope, rtol=1e-6, atol=1e-9)
