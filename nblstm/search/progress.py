"""What a search says while it goes: a bar over its trials with the best loss so far, and a line for each of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from nblstm.plot.sheet import brief
from nblstm.runs.reporting import of_a_notebook
from nblstm.search import table

if TYPE_CHECKING:
    from nblstm.search.search import Search


class Progress:
    """The bar and the lines of one search; silent where nobody wants it, the bar also where nobody sees it."""

    def __init__(self, search: Search, wanted: bool) -> None:
        from tqdm import tqdm

        self.search, self.wanted, self._begun, self._idle = search, wanted, False, False
        stream = sys.stdout if of_a_notebook(sys.stdout) else sys.stderr
        seen = stream is not None and (of_a_notebook(stream) or stream.isatty())
        self.bar: Any = tqdm(
            desc="searching", unit=" trials", total=sum(search.rungs), initial=search.done,
            disable=not (wanted and seen), dynamic_ncols=True, file=stream,
        )  # fmt: skip
        self._best()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """The bar says why no trial ends yet."""
        self.bar.set_description_str("compiling kernels")
        yield
        self.bar.set_description_str("searching")

    def idle(self, idle: bool) -> None:
        """Say once that there is nobody who computes."""
        if idle and not self._idle:
            self.say("no worker is left: the search waits for one")
        self._idle = idle

    def trial(self, number: int, record: Mapping[str, Any]) -> None:
        """One is through a rung."""
        if not self._begun:
            self.say(f"validation: {self.search.measure}, the lowest so far\n{table.HEAD}")
        self._begun = True
        self.say(table.line(number, self.search.points[number - 1], record))
        self._best()
        self.bar.update()

    def _best(self) -> None:
        if best := self.search.best:
            self.bar.set_postfix_str(f"best {brief(best['validation'], 3)} (trial {best['trial']})", refresh=False)

    def say(self, text: str) -> None:
        """Lines above the bar, if anyone listens, and at once: a pipe would keep them back."""
        if self.wanted and sys.stdout is not None:
            self.bar.write(text)
            sys.stdout.flush()
