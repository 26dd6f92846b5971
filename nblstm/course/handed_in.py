"""The process that runs a learner's ``lstm.py``: one part of the project, its results in a file, nothing else.

    python handed_in.py FOLDER PART GIVEN.npz RESULTS.npz

It is run as a file, not as a module, so that nothing of this package is loaded beside the learner's code, and knows
no right answer. What the learner's code prints goes nowhere. A part that fails leaves one array, ``error``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

FRAMEWORKS = ("nblstm", "torch", "tensorflow", "keras", "jax")
"""They cannot be imported here: the library is to be the learner's own."""

Arrays = dict[str, Any]


def load(folder: Path) -> ModuleType:
    """The learner's ``lstm.py``, imported with its folder in front of all others."""
    sys.modules.update(dict.fromkeys(FRAMEWORKS))  # type: ignore[arg-type]  # None: ImportError
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("lstm", folder / "lstm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lstm"] = module
    spec.loader.exec_module(module)
    return module


def forward(theirs: ModuleType, given: Arrays) -> Arrays:
    """All outputs of one layer, and whether it left what it was given as it was."""
    arguments = [given["x"], given["h_0"], given["c_0"], {name: given[name] for name in "WUb"}]
    before = [given[name].copy() for name in ("x", "h_0", "c_0", "W", "U", "b")]
    y, h_n, c_n, _ = theirs.forward(*arguments)
    after = [given[name] for name in ("x", "h_0", "c_0", "W", "U", "b")]
    changed = not all(map(np.array_equal, before, after))
    return {"y": y, "h_n": h_n, "c_n": c_n, "changed": changed}


def backward(theirs: ModuleType, given: Arrays) -> Arrays:
    """All gradients of one layer."""
    weights = {name: given[name] for name in "WUb"}
    kept = theirs.forward(given["x"], given["h_0"], given["c_0"], weights)[-1]
    gradients = theirs.backward(given["dy"], given["dh_n"], given["dc_n"], kept, weights)
    return {name: gradients[name] for name in ("W", "U", "b", "x", "h_0", "c_0") if name in gradients}


def gradient_check(theirs: ModuleType, given: Arrays) -> Arrays:
    """What the learner's check says of right gradients, and of gradients of which one entry is wrong."""
    arrays = {"p": given["p"].copy(), "q": given["q"].copy()}

    def loss() -> float:
        return float((np.sin(arrays["p"]) * 3).sum() + (arrays["q"] ** 3).sum())

    right = {"p": 3 * np.cos(arrays["p"]), "q": 3 * arrays["q"] ** 2}
    found = {"right": theirs.check_gradients(loss, arrays, right)}
    found["changed"] = not (np.array_equal(arrays["p"], given["p"]) and np.array_equal(arrays["q"], given["q"]))
    noticed = []
    for name, array in right.items():
        for place in (0, array.size - 1):
            arrays["p"][...], arrays["q"][...] = given["p"], given["q"]
            wrong = {key: value.copy() for key, value in right.items()}
            wrong[name].flat[place] *= 1.05
            noticed.append(theirs.check_gradients(loss, arrays, wrong))
    return found | {"wrong": np.array(noticed, float)}


def weights_file(theirs: ModuleType, given: Arrays) -> Arrays:
    """The weights of the file, and the logits that they make of tokens."""
    weights = theirs.load_weights(str(given["path"]))
    found = {f"weights_{name}": weights[name] for name in ("E", "W", "U", "b", "V", "a") if name in weights}
    try:
        return found | {"logits": theirs.logits(weights, given["tokens"])}
    except Exception as error:
        return found | {"error": said(error)}


def probabilities(theirs: ModuleType, given: Arrays) -> Arrays:
    """What is said of a text, and of the same with another end."""
    text, cut = str(given["text"]), int(given["cut"])
    vocabulary, p = theirs.probabilities(text)
    _, other = theirs.probabilities(text[:cut] + text[cut:][::-1])
    return {"vocabulary": "".join(vocabulary), "p": p, "other": np.asarray(other)[:cut]}


PARTS = {each.__name__: each for each in (forward, backward, gradient_check, weights_file, probabilities)}


def said(error: BaseException) -> str:
    """An exception in one line, with the learner's line where it happened."""
    line = error.__traceback__
    place = ""
    while line is not None:
        file = Path(line.tb_frame.f_code.co_filename)
        if file.resolve() != Path(__file__).resolve() and file.parent.resolve() == Path.cwd():
            place = f", {file.name}, line {line.tb_lineno}"
        line = line.tb_next
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def main(folder: str, part: str, given: str, results: str) -> None:
    """Run one part and write what came."""
    with np.load(given) as file:
        arrays = dict(file)
    try:
        theirs = load(Path(folder))
    except BaseException as error:  # an exit, too
        found: Arrays = {"error": f"lstm.py cannot be imported: {said(error)}", "unusable": True}
    else:
        Path(results).with_suffix(".imported").touch()
        try:
            found = PARTS[part](theirs, arrays)
        except BaseException as error:
            found = {"error": said(error)}
    plain = {}
    for name, value in found.items():
        array = np.asarray(value)
        plain[name] = array if array.dtype.kind in "fiubU" else np.asarray(f"no numbers, but {type(value).__name__}")
    with open(results, "wb") as file_out:
        np.savez(file_out, **plain)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
