"""A cell's backward, derived: its forward is followed once on symbols, and the chain rule written as a function.

Nothing branches in a cell, so what `forward` does with symbols is what it does with all numbers. `Value` is a symbol:
an operation and what it acts on. `Derivative` goes back through them, from the new states to the sums.
"""

from __future__ import annotations

import linecache
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from nblstm.kernels.functions import exp, gate_positive, maximum, minimum, relu, sigmoid, softplus, tanh, where

COMPARISONS = {np.less: "<", np.less_equal: "<=", np.greater: ">", np.greater_equal: ">="}
OPERATORS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.true_divide: "/"} | COMPARISONS
CALLED = {np.negative: "-", np.exp: "exp", np.tanh: "tanh", np.maximum: "maximum", np.minimum: "minimum"}
FUNCTIONS = {
    each.__name__: each for each in (exp, gate_positive, maximum, minimum, relu, sigmoid, softplus, tanh, where)
}
NUMBERS = {"inf": math.inf, "nan": math.nan}  # which no literal says


class Value(np.lib.mixins.NDArrayOperatorsMixin):
    """A number of one unit that is not known yet: `operation`, the sign or the name, applied to `operands`.

    One that is given has its name in place of operands.
    """

    def __init__(self, operation: str, *operands: Any) -> None:
        self.operation, self.operands = operation, operands

    __eq__, __hash__ = object.__eq__, object.__hash__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Value:
        operation = (OPERATORS | CALLED).get(ufunc)
        if ufunc is np.logaddexp and operands[1:] == (0,):  # as `softplus` has it
            operation, operands = "softplus", operands[:1]
        if "out" in options:  # which would change other names of the number too, in NumPy alone
            raise TypeError("there is no a += b: write a = a + b")
        if operation is None or method != "__call__":
            raise TypeError(f"there is no {ufunc.__name__}")
        return _applied(operation, *map(_operand, operands))

    def __array_function__(self, function: Callable[..., Any], types: Any, operands: Any, options: Any) -> Any:
        if function is not np.where or len(operands) != 3:
            raise TypeError(f"there is no {function.__name__}")
        condition, x, y = operands
        if not isinstance(condition, Value):
            return x if condition else y
        return _applied("where", condition, _operand(x), _operand(y))

    def __bool__(self) -> bool:
        raise TypeError("a number of one unit is neither true nor false: use where")


def _operand(given: Any) -> Value | float:
    """A symbol as it is, and a plain number as Python's."""
    return given if isinstance(given, Value) else float(given)


def _applied(operation: str, *operands: Any) -> Value:
    """The value of an operation; two that NumPy has no name for are known by what they are made of.

    1 / (1 + e^-x) is sigma(x), whose derivative stays a number where e^-x is infinite.
    """
    match operation, *operands:
        case "maximum", x, 0.0:
            return Value("relu", x)
        case "/", 1.0, Value(operation="+", operands=(1.0, Value(operation="exp", operands=(minus,)))):
            match minus:
                case Value(operation="-", operands=(x,)):
                    return Value("sigmoid", x)
    return Value(operation, *operands)


Conditions = tuple[tuple[str, bool], ...]
"""Names of conditions, each with whether it holds."""


class Term(NamedTuple):
    """A part of a gradient: its text, and the conditions under which alone it is not 0."""

    text: str
    under: Conditions = ()


class Derived(NamedTuple):
    """The backward of a function, its text, and those of the weighted sums that it takes as they are."""

    backward: FunctionType
    source: str
    saved: tuple[str, ...]


def derive(
    forward: FunctionType, arguments: Sequence[str], sums: Sequence[str], carried: Iterable[str], new: dict[str, Value]
) -> Derived:
    """The backward of a forward, or of what sums read in place of h.

    Parameters
    ----------
    forward : function
    arguments, sums : sequence of str
        Its arguments; and which of them are weighted sums, or the parts of one that is apart.
    carried : iterable of str
        The states whose value before the step it takes.
    new : dict of str to Value
        What it makes of `symbols`: the new states by their names, or what is read.
    """
    previous = [*dict.fromkeys(f"{state}_prev" for state in (*new, *carried))]
    gradients = [f"d{state}" for state in new]
    writer = _Writer([*arguments, *new, *previous, *gradients, *FUNCTIONS, *NUMBERS])
    for state, value in new.items():  # which backward has by their names
        if value.operation != "given":
            writer.names.setdefault(value, state)
    found = _gradients(writer, new, [*sums, *previous])
    missing = writer.used(f"0 * {gradients[0]}", gradients[0])
    of_sums, of_states = [found.get(each, missing) for each in sums], [found.get(f"{s}_prev", missing) for s in carried]
    saved = tuple(each for each in sums if each in writer.read)
    taken = [each for each in (*saved, *previous, *new, *gradients, *arguments) if each in writer.read]
    backward, source = _function(
        "backward", dict.fromkeys(taken), [*writer.lines, f"return {_tuple(of_sums)}, {_tuple(of_states)}"], forward,
        FUNCTIONS | NUMBERS,
    )  # fmt: skip
    return Derived(backward, source, saved)


def leaving(forward: FunctionType, arguments: Sequence[str], saved: Sequence[str]) -> FunctionType:
    """A forward that leaves for backward those of its arguments, whatever the given one does."""
    leaves, _ = _function(
        "forward", arguments, [f"_, states = own({', '.join(arguments)})", f"return {_tuple(saved)}, states"], forward,
        {"own": forward},
    )  # fmt: skip
    return leaves


def symbols(names: Iterable[str]) -> list[Value]:
    """Values that are given, to call a forward with."""
    return [Value("given", name) for name in names]


class _Writer:
    """Lines of a function, in which each value is computed once, at its first use; and the names that they use."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken, self.read = {*taken}, set[str]()
        self.names: dict[Value, str] = {}  # of values
        self.lines: list[str] = []
        self.assigned: dict[str, str] = {}  # the name by the text

    def name(self, text: str, like: str, best: str = "") -> str:
        """A name for what the text says: the best one if it is free."""
        if text.isidentifier():
            return text
        if text not in self.assigned:
            numbered = (f"{like}{number}" for number in range(1, len(self.taken) + 2))
            name = next(each for each in (best, *numbered) if each and each not in self.taken)
            self.taken.add(name)
            self.lines.append(f"{name} = {text}")
            self.assigned[text] = name
        return self.assigned[text]

    def used(self, text: str, name: str) -> str:
        self.read.add(name)
        return text

    def value(self, value: Value | float) -> str:
        """The name of a value, or a number's text; the lines that compute it are there from then on."""
        if not isinstance(value, Value):
            return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        if value in self.names:
            return self.used(self.names[value], self.names[value])
        if value.operation == "given":
            return self.used(str(value.operands[0]), str(value.operands[0]))
        operands = [self.value(each) for each in value.operands if not isinstance(each, str)]
        if value.operation in OPERATORS.values() and len(operands) == 2:
            text = f" {value.operation} ".join(operands)
        else:
            text = f"-{operands[0]}" if value.operation == "-" else f"{value.operation}({', '.join(operands)})"
        self.names[value] = self.name(text, "a")
        return self.names[value]


def _gradients(writer: _Writer, new: dict[str, Value], wanted: Iterable[str]) -> dict[str, str]:
    """The names of the gradients of what is given and wanted: the chain rule from the last value to the first."""
    order = _in_order(new.values())
    active: set[Value] = set()  # what depends on any of them
    for value in order:
        given = value.operation == "given" and value.operands[0] in {*wanted}
        if given or (value.operation not in COMPARISONS.values() and not active.isdisjoint(value.operands)):
            active.add(value)
    terms: dict[Value, list[Term]] = {}
    for state, value in new.items():
        terms.setdefault(value, []).append(Term(writer.used(f"d{state}", f"d{state}")))
    found = {}
    for value in reversed(order):
        if value not in active or value not in terms:
            continue
        first, *others = terms[value]
        text = first.text + "".join(f" - {p.text[1:]}" if p.text[0] == "-" else f" + {p.text}" for p in others)
        if value.operation == "given":
            (name,) = value.operands
            found[name] = writer.name(text, "d", f"d{name}")
            continue
        d, under = writer.name(text, "d"), _common([term.under for term in terms[value]])
        for operand, part, condition in _rule(writer, value, d, active):
            # What is infinite where a condition fails would make no number of the 0 that d is there.
            guards = condition or (under if part not in (d, f"-{d}") else ())
            terms.setdefault(operand, []).append(Term(_guarded(part, guards), (*under, *condition)))
    return found


def _rule(writer: _Writer, value: Value, d: str, active: set[Value]) -> Iterator[tuple[Value, str, Conditions]]:
    """Of d, the gradient of a value, what those of its operands get that are active, and under which condition."""
    operation, name, operands = value.operation, writer.value, value.operands
    condition: str = ""
    if operation == "where":
        condition, operands = name(operands[0]), operands[1:]
    elif operation in ("maximum", "minimum"):  # of two that are equal the first, but a plain number
        sign = (">" if operation == "maximum" else "<") + "=" * isinstance(operands[1], Value)
        condition = writer.name(f"{name(operands[0])} {sign} {name(operands[1])}", "a")
    for x, other, first in zip(operands, reversed(operands), (True, False), strict=False):
        if x not in active:
            continue
        match operation:
            case "where" | "maximum" | "minimum":
                yield x, d, ((condition, first),)
                continue
            case "+":
                text = d
            case "-":
                text = d if first and len(operands) == 2 else f"-{d}"
            case "*":
                text = f"{d} * {name(other)}"
            case "/":
                text = f"{d} / {name(other)}" if first else f"-{d} * {name(value)} / {name(x)}"
            case "exp":
                text = f"{d} * {name(value)}"
            case "tanh":
                text = f"{d} * (1 - {name(value)} * {name(value)})"
            case "sigmoid":
                text = f"{d} * {name(value)} * (1 - {name(value)})"
            case "softplus":
                text = f"{d} * {writer.name(f'sigmoid({name(x)})', 'a')}"
            case _:  # relu
                text = f"gate_positive({name(value)}, {d})"
        yield x, text, ()


def _guarded(text: str, under: Conditions) -> str:
    """0 but where all of the conditions are as they must be."""
    for condition, holds in under:
        text = f"where({condition}, {text}, 0)" if holds else f"where({condition}, 0, {text})"
    return text


def _common(every: Sequence[Conditions]) -> Conditions:
    """What all of them begin with."""
    count = 0
    for count, members in enumerate(zip(*every, strict=False), start=1):
        if len({*members}) > 1:
            return every[0][: count - 1]
    return every[0][:count]


def _in_order(last: Iterable[Value]) -> list[Value]:
    """The values that these are computed from, each after its operands, and these."""
    found: dict[Value, None] = {}

    def visit(value: Value) -> None:
        if value not in found:
            for operand in value.operands:
                if isinstance(operand, Value):
                    visit(operand)
            found[value] = None

    for value in last:
        visit(value)
    return [*found]


def _tuple(texts: Sequence[str]) -> str:
    return f"({', '.join(texts)}{',' * (len(texts) == 1)})"


def _function(
    name: str, arguments: Iterable[str], lines: Iterable[str], of: FunctionType, names: dict[str, Any]
) -> tuple[FunctionType, str]:
    """The function of these lines, where tracebacks find it, and its text."""
    text = "\n    ".join([f"def {name}({', '.join(arguments)}):", *lines]) + "\n"
    path = f"<{name} derived from {of.__module__}.{of.__qualname__}, {zlib.crc32(text.encode()):x}>"
    linecache.cache[path] = len(text), None, text.splitlines(keepends=True), path
    made = names | {"__name__": of.__module__}
    exec(compile(text, path, "exec"), made)
    return made[name], text
