"""Exercises that check themselves, and predictions beside what came."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from nblstm.course import progress


class WrongAnswer(AssertionError):
    """An attempted exercise is not right; the message says where, and gives a hint."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message alone."""
        return f"Wrong answer. {self}".splitlines()


class _Nothing(NotImplementedError):
    """A value is still None."""


_wrong_tries: Counter[str] = Counter()
"""By the number of the exercise, since it was last right."""


@contextmanager
def exercise(name: str, hint: str | Sequence[str]) -> Iterator[None]:
    """Check an exercise: the lines under ``with`` call the learner's code and compare with `close`.

    Says "not attempted yet" and lets the notebook run on if the stub is still there, that is, if a function raises
    NotImplementedError or a value is None; which value, in case a function was written that forgets its ``return``.
    Says "right", in a notebook with a green mark, if nothing is wrong. An error of the learner's own code passes, so
    that the notebook shows where it happened; the hint stands above it.

    Parameters
    ----------
    name : str
        Number of the exercise, for instance "3.2".
    hint : str or sequence of str
        What a wrong attempt is told to think of: one hint, or several, which come one after the other with each wrong
        attempt, the last of them again and again. First where to look, then the idea, then nearly the code.

    Raises
    ------
    WrongAnswer
        An attempt that is not right.

    Examples
    --------
    >>> from nblstm.course import close, exercise
    >>> def double(x):
    ...     raise NotImplementedError("your code here")
    >>> with exercise("0.1", hint="twice the number"):
    ...     close(double(3.0), 6.0)
    Exercise 0.1: not attempted yet.
    >>> def double(x):
    ...     return x + x
    >>> with exercise("0.1", hint="twice the number"):
    ...     close(double(3.0), 6.0)
    Exercise 0.1: right.
    """
    try:
        yield
    except _Nothing as nothing:
        print(f"Exercise {name}: not attempted yet ({nothing}).")
    except NotImplementedError:
        print(f"Exercise {name}: not attempted yet.")
    except WrongAnswer as error:
        raise WrongAnswer(f"Exercise {name}: {error}\n{_next_hint(name, hint)}") from None
    except Exception:
        print(f"Exercise {name}: your code stopped with the error below.\n{_next_hint(name, hint)}")
        raise
    else:
        _wrong_tries.pop(name, None)
        mark = "\x1b[32m\N{HEAVY CHECK MARK}\x1b[0m " if "ipykernel" in sys.modules else ""
        print(f"{mark}Exercise {name}: right.")
        progress.exercise_right(name)


def _next_hint(name: str, hint: str | Sequence[str]) -> str:
    """The line with the hint that is due."""
    hints = [hint] if isinstance(hint, str) else list(hint)
    _wrong_tries[name] += 1
    number = min(_wrong_tries[name], len(hints))
    return f"Hint{f' {number} of {len(hints)}' if len(hints) > 1 else ''}: {hints[number - 1]}"


def close(answer: Any, expected: Any, tolerance: float = 1e-12, what: str = "the answer") -> None:
    """Compare a learner's numbers with the right ones: max |answer - expected| must be at most `tolerance`.

    Parameters
    ----------
    answer : array_like
        The learner's; None is the stub of a value that was not attempted.
    expected : array_like
        The right numbers; shapes must be equal, nothing is broadcast.
    tolerance : float
        Largest allowed absolute difference. 0 for whole numbers.
    what : str
        Name of the quantity in the message.

    Raises
    ------
    NotImplementedError
        `answer` is None; `exercise` takes it as "not attempted".
    WrongAnswer
        Not numbers, another shape, or too far away. Of several numbers the message says which is worst and what is
        right there; of a single one, which would be the whole answer, only in what direction it is off.

    Examples
    --------
    >>> from nblstm.course import close
    >>> close([1.0, 2.0], [1.0, 2.5], tolerance=0.1, what="y")
    Traceback (most recent call last):
        ...
    nblstm.course.checks.WrongAnswer: y is wrong: 2 where 2.5 is right, at index (1,); off by 0.5, tolerance 0.1
    """
    if answer is None or answer is Ellipsis:
        raise _Nothing(f"{what} is {answer}")
    try:
        got, right = np.asarray(answer, float), np.asarray(expected, float)
    except (TypeError, ValueError):
        raise WrongAnswer(f"{what} must be numbers, got {type(answer).__name__}") from None
    if got.shape != right.shape:
        raise WrongAnswer(f"{what} has the shape {got.shape}, right is {right.shape}")
    if not right.size:
        return
    same = (got == right) | (np.isnan(got) & np.isnan(right))
    with np.errstate(invalid="ignore"):  # inf - inf, where both are right
        difference = np.where(same, 0, np.nan_to_num(np.abs(got - right), nan=np.inf))
    worst = np.unravel_index(difference.argmax(), difference.shape)
    if difference[worst] > tolerance and right.size == 1:
        way = "too small" if got[worst] < right[worst] else "too large" if got[worst] > right[worst] else "no answer"
        raise WrongAnswer(f"{what} is wrong: {got[worst]:.9g} is {way}; tolerance {tolerance:g}")
    if difference[worst] > tolerance:
        raise WrongAnswer(
            f"{what} is wrong: {got[worst]:.9g} where {right[worst]:.9g} is right, at index "
            f"{tuple(map(int, worst))}; off by {difference[worst]:.2g}, tolerance {tolerance:g}"
        )


_reminded: list[str] = []
"""What was revealed without a prediction: the reminder comes with the first."""


def reveal(what: str, prediction: Any, truth: Any) -> None:
    """Print what came beside what was predicted; a prediction is never wrong enough to stop a notebook.

    The first time that there is none, it says what predictions are good for.

    Parameters
    ----------
    what : str
        The quantity, with its unit.
    prediction : object
        The learner's guess; None if there is none.
    truth : object
        What was measured or computed.

    Examples
    --------
    >>> from nblstm.course import reveal
    >>> reveal("parameters of an LSTM 28 -> 128", 17_984, 80_896)
    parameters of an LSTM 28 -> 128: 80896 (you predicted 17984)
    >>> reveal("accuracy", None, 0.625)
    accuracy: 0.625 (no prediction: write one next time, it is how surprises are noticed)
    """
    said = f"you predicted {prediction}" if prediction is not None else "no prediction"
    if prediction is None:
        said += "" if _reminded else ": write one next time, it is how surprises are noticed"
        _reminded.append(what)
    print(f"{what}: {truth} ({said})")
    progress.predicted(what, prediction, truth)
