"""The rubric of the project: its items, each with its points and a sentence on what was expected and what came."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nblstm.baselines import baselines
from nblstm.course.checks import WrongAnswer, close

Results = dict[str, np.ndarray]


class Graded(NamedTuple):
    """One item of the rubric: its points of so many, and in a sentence what was expected and what came."""

    item: str
    points: int
    of: int
    sentence: str


class Text(NamedTuple):
    """What was measured on the learner's text; NaN where it could not be."""

    five_gram: float
    bits: float


def held_out_from(text: str) -> int:
    """Where the last tenth begins, which no net may learn from."""
    return len(text) * 9 // 10


def measure(results: Results, text: str) -> Text:
    """The 5-gram and the learner's net, both on the last tenth of the text."""
    return Text(_five_gram(text) if text else float("nan"), _bits(results, text))


def _five_gram(text: str) -> float:
    vocabulary = {character: k for k, character in enumerate(sorted(set(text)))}
    tokens = np.array([vocabulary[character] for character in text])
    return baselines(tokens[: held_out_from(text)], tokens[held_out_from(text) :], len(vocabulary))["5-gram"]


def _bits(results: Results, text: str) -> float:
    held_out = text[held_out_from(text) :]
    if _fault_of_probabilities(results, held_out):
        return float("nan")
    columns = np.array([str(results["vocabulary"]).index(character) for character in held_out[1:]])
    with np.errstate(divide="ignore"):
        return float(-np.log2(results["p"][np.arange(len(columns)), columns]).mean())


def _item(item: str, of: int, check: Callable[[], Any], right: str, results: Results | None = None) -> Graded:
    """All points if `check` raises no WrongAnswer, else none, and the reason."""
    try:
        check()
    except WrongAnswer as wrong:
        return Graded(item, 0, of, str(wrong))
    except KeyError as missing:
        error = str((results or {}).get("error", f"nothing came by the name {missing}"))
        return Graded(item, 0, of, error)
    return Graded(item, of, of, right)


def _agree(results: Results, recorded: Results, *names: str, prefix: str = "") -> Callable[[], None]:
    def check() -> None:
        for name in names:
            close(results[name], recorded[prefix + name], 1e-12, name.replace("weights_", ""))

    return check


def of_forward(results: Results, recorded: Results) -> Iterator[Graded]:
    """What one layer makes of its inputs: 3 points."""
    same = "expected the recorded numbers, and they agree to 1e-12"
    yield _item("forward: y", 2, _agree(results, recorded, "y"), same, results)

    def ends() -> None:
        _agree(results, recorded, "h_n", "c_n")()
        if results["changed"]:
            raise WrongAnswer("x, h_0, c_0 and the weights must be left as they were, and one was changed")

    yield _item("forward: h_n and c_n, inputs left alone", 1, ends, same, results)


def of_backward(results: Results, recorded: Results) -> Iterator[Graded]:
    """The gradients of one layer: 5 points."""
    same = "expected the recorded gradients, and they agree to 1e-12"
    for names, points in (("W", "U", "b"), 3), (("x",), 1), (("h_0", "c_0"), 1):
        check = _agree(results, recorded, *names, prefix="gradient_")
        yield _item(f"backward: {', '.join((*names[:-2], ' and '.join(names[-2:])))}", points, check, same, results)


def of_gradient_check(results: Results) -> Iterator[Graded]:
    """Whether the learner's check tells right from wrong: 3 points."""

    def accepts() -> None:
        if not _number(results["right"]) < 1e-6:
            raise WrongAnswer(f"of right gradients expected an error below 1e-6, got {results['right']}")

    def notices() -> None:
        if not all(_number(error) > 1e-3 for error in results["wrong"].ravel()):
            said = ", ".join(f"{error:.1e}" for error in results["wrong"].ravel())
            raise WrongAnswer(f"one entry was wrong by 5 %, in four places: expected errors above 1e-3, got {said}")

    def puts_back() -> None:
        if results["changed"]:
            raise WrongAnswer("the arrays must be put back exactly as they were, and one was changed")

    yield _item("gradient check: right gradients", 1, accepts, "expected an error below 1e-6, and it is", results)
    yield _item("gradient check: one wrong entry", 1, notices, "expected an error above 1e-3, and it is", results)
    yield _item("gradient check: arrays put back", 1, puts_back, "expected them bit for bit, and they are", results)


def _number(value: np.ndarray) -> float:
    return float(value) if value.ndim == 0 and value.dtype.kind in "fiu" else float("nan")


def of_weights_file(results: Results, recorded: Results) -> Iterator[Graded]:
    """A file in which gates stand in another order: 3 points."""
    names = [f"weights_{name}" for name in ("E", "W", "U", "b", "V", "a")]
    right = "expected the file's numbers in the order i, f, g, o, and so they came"
    yield _item("weights file: all six arrays", 1, _agree(results, recorded, *names), right, results)
    right = "expected the recorded logits, and they agree to 1e-12"
    yield _item("weights file: logits", 2, _agree(results, recorded, "logits"), right, results)


def of_text(results: Results, text: str, measured: Text) -> Iterator[Graded]:
    """The net on a text of the learner's own: 3 points."""
    fault = _fault_of_probabilities(results, text[held_out_from(text) :])

    def proper() -> None:
        if fault:
            raise WrongAnswer(fault)

    def beaten() -> None:
        proper()
        if not measured.bits < measured.five_gram:
            raise WrongAnswer(
                f"expected less than the 5-gram's {measured.five_gram:.3f} bits per character, got {measured.bits:.3f}"
            )

    right = "expected rows that add up to 1 and do not know the future, and they are such"
    yield _item("text: probabilities", 1, proper, right)
    right = f"{measured.bits:.3f} bits per character on the last tenth, the 5-gram {measured.five_gram:.3f}"
    yield _item("text: better than the 5-gram", 2, beaten, right)


def _fault_of_probabilities(results: Results, held_out: str) -> str:
    """What is wrong with them in one sentence; nothing if they can be trusted."""
    if "error" in results:
        return str(results["error"])
    vocabulary, p, other = str(results["vocabulary"]), results["p"], results["other"]
    if len(set(vocabulary)) != len(vocabulary) or not set(held_out) <= set(vocabulary):
        return "the vocabulary must have every character of the text, each once"
    if p.shape != (len(held_out), len(vocabulary)):
        return f"expected the shape {(len(held_out), len(vocabulary))}, a row for each character, got {p.shape}"
    if p.dtype.kind != "f" or not (p >= 0).all() or not np.allclose(p.sum(axis=1), 1, rtol=0, atol=1e-6):
        return "expected rows of probabilities that add up to 1, got rows that do not"
    if other.shape != p[: len(other)].shape or not np.abs(other - p[: len(other)]).max() <= 1e-9:
        return "the rows before a place must not depend on the text after it, and they do: they know the future"
    return ""


def of_report(folder: Path, measured: Text) -> Iterator[Graded]:
    """The figures in report.md: 3 points."""
    said: dict[str, list[float]] = {}
    with suppress(OSError, UnicodeDecodeError):
        said = _figures((folder / "report.md").read_text(encoding="utf-8"))

    def figures(name: str, least: int) -> list[float]:
        if not (folder / "report.md").is_file():
            raise WrongAnswer("expected report.md, and there is none")
        if len(said.get(name, [])) < least:
            raise WrongAnswer(f"expected a line '{name}:' with {least} numbers or more, got {len(said.get(name, []))}")
        return said[name]

    def baseline() -> None:
        (told, *_) = figures("5-gram", 1)
        _compare("the 5-gram's bits", told, measured.five_gram, 0.005)

    def seeds() -> None:
        each, (mean, spread, *_) = figures("held-out bits by seed", 3), figures("mean and spread", 2)
        _compare("the mean over the seeds", mean, statistics.mean(each), 0.002)
        _compare("the spread, their standard deviation with n - 1,", spread, statistics.stdev(each), 0.002)

    def handed() -> None:
        (told, *_), each = figures("handed in", 1), figures("held-out bits by seed", 3)
        _compare("the bits of the net handed in, on the last tenth of the text,", told, measured.bits, 0.005)
        if min(abs(told - one) for one in each) > 0.002:
            raise WrongAnswer(f"expected the net handed in among those by seed, got {told:.3f}, which is none of them")

    yield _item("report: the baseline", 1, baseline, "expected the 5-gram's bits, and they are named rightly")
    yield _item("report: seeds and spread", 1, seeds, "expected three seeds or more, their mean and spread: there")
    yield _item("report: the net handed in", 1, handed, "expected its bits on text it has not read, and so they are")


def _compare(what: str, told: float, measured: float, tolerance: float) -> None:
    if np.isnan(measured):
        raise WrongAnswer(f"{what} could not be compared, because nothing could be measured on the text")
    if not abs(told - measured) <= tolerance:
        raise WrongAnswer(f"{what} must be {measured:.3f}, as measured here; the report says {told:.3f}")


def _figures(report: str) -> dict[str, list[float]]:
    """The numbers in lines such as "5-gram: 2.311", by what stands before the colon."""
    lines = re.findall(r"^[-* \t]*([\w][\w -]*?)\**:\**(.*)$", report, flags=re.MULTILINE)
    return {
        name.strip().lower(): [float(number) for number in re.findall(r"\d+(?:\.\d+)?", rest)] for name, rest in lines
    }
