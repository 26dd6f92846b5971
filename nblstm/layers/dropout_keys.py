"""The keys of dropout: every layer that drops draws one for each pass, and can say and set where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from nblstm.arguments import as_integer


class DropoutKeys:
    """The generator that a layer draws its keys from, a number of 64 bits for each mask."""

    _dropout_keys: np.random.Generator

    def dropout_state(self) -> dict:
        """State of the generator that keys are drawn from, in numbers and strings that JSON can hold."""
        return dict(self._dropout_keys.bit_generator.state)

    def set_dropout_state(self, state: dict) -> None:
        """Continue to draw from where `dropout_state` was taken."""
        keys = np.random.default_rng(0)
        try:
            for number in (*state["state"].values(), state["has_uint32"], state["uinteger"]):
                as_integer("state", number, least=0)  # of which NumPy checks less
            keys.bit_generator.state = state
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"state must be what dropout_state gave, got another ({error})") from error
        self._dropout_keys = keys

    @contextmanager
    def _keys_of(self, seed: int) -> Iterator[None]:
        """Draw from a generator of this seed meanwhile, and afterwards go on with the one before."""
        before, self._dropout_keys = self._dropout_keys, np.random.default_rng(seed)
        try:
            yield
        finally:
            self._dropout_keys = before
