"""The recurrent layers that users make: `Recurrent` of any cell, `LSTM`, `GRU` and `RNN`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nblstm.arguments import as_choice, as_flag
from nblstm.cells import gru, lstm, rnn
from nblstm.cells.cell import Cell
from nblstm.cells.recorded import as_cell
from nblstm.layers.checks import GivenPair, Pair
from nblstm.layers.sequence import SequenceLayer

NONLINEARITIES = {"tanh": rnn.RNN_TANH, "relu": rnn.RNN_RELU}


class Recurrent(SequenceLayer[Any, Any]):
    r"""A cell of any kind over sequences, stacked and in one or two directions, with the layouts of `LSTM`.

    Every weighted sum that the cell declares is W x + U h' + b, or with `layer_norm` the same with both products
    normalised; what a step makes of the sums, the cell says.

    Parameters
    ----------
    cell : Cell
        See `nblstm.Cell`; those of ``nblstm.cells.CELLS`` may be named.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, formulation, forget_bias, dtype, \
    seed, checkpoint, layer_norm :
        As for `LSTM`. ``weight_ih_l{k}`` (S H, I) and ``weight_hh_l{k}`` (S H, H) have a block of H rows for each of
        the cell's S sums, in their order; the state is an array for each of its states, h first, or h alone.
        A cell with a sum in parts, or without one of them, or that reads something else than h, has no concatenated
        formulation, and `forget_bias` needs a cell with `forget`. Only sums with a part from x have rows in
        ``weight_ih_l{k}`` and ``bias_ih_l{k}``, and only those with a part from h, or from what they read in place of
        it, in ``weight_hh_l{k}`` and ``bias_hh_l{k}``.
    heads : int
        Into how many heads of equally many units the units are divided: the sums of a unit read the h of its own head,
        and ``weight_hh_l{k}`` is (S H, H / heads), the blocks on the diagonal one below the other (Beck et al. 2024,
        xLSTM). What lies between them is neither kept nor multiplied, but for zeros where heads share up to four
        vectors of units.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, or one that the cell has no use for.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import Recurrent
    >>> layer = Recurrent("gru", 28, 128, bidirectional=True, seed=0)
    >>> y, h_n = layer(np.zeros((5, 3, 28), "float32"))
    >>> y.shape, h_n.shape
    ((5, 3, 256), (2, 3, 128))
    """

    own_settings: ClassVar[dict[str, Any]] = {"heads": 1}

    def __init__(
        self, cell: Cell | str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *, formulation: str = "split",
        forget_bias: float = 0.0, dtype: str = "float32", seed: int | None = None, checkpoint: int | None = None,
        heads: int = 1, layer_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            as_cell(cell) if isinstance(cell, str) else cell, input_size, hidden_size,
            num_layers, bias=bias, dropout=dropout, bidirectional=bidirectional, formulation=formulation,
            forget_bias=forget_bias, dtype=dtype, seed=seed, checkpoint=checkpoint, heads=heads,
            layer_norm=layer_norm, batch_first=batch_first,
        )  # fmt: skip

    def __repr__(self) -> str:
        return super().__repr__().replace("(", f"({self.cell.name!r}, ", 1)


class LSTM(SequenceLayer[GivenPair, Pair]):
    r"""Long short-term memory, stacked and in one or two directions, with PyTorch's names, shapes and layouts.

    One step takes the input x, the hidden state h' and the cell state c' of the step before to

        i = sigma(W_ii x + W_hi h' + b_i [+ p_i * c'])      input gate
        f = sigma(W_if x + W_hf h' + b_f [+ p_f * c'])      forget gate
        g = tanh (W_ig x + W_hg h' + b_g)                   candidate
        o = sigma(W_io x + W_ho h' + b_o [+ p_o * c ])      output gate
        c = f * c' + i * g
        h = o * tanh(c)

    where * is element by element, the terms in brackets are there with `peephole` only, and W_ii .. W_io are the four
    blocks of rows of ``weight_ih_l{k}``, W_hi .. W_ho of ``weight_hh_l{k}``, p_i, p_f, p_o the rows of
    ``weight_peephole_l{k}``.

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        Width of x (I), units per layer and direction (H), and layers (L).
    bias : bool
        Whether there are biases. The split formulation has two per layer, as PyTorch has; b is their sum.
    batch_first : bool
        Whether x and y are (B, T, ...) instead of (T, B, ...). States keep (L * D, B, H).
    dropout : float
        Probability with which `forward` drops a number of a layer's output on its way to the next layer; calling never
        drops. Threads that train one layer at once draw their masks from one generator: which thread gets which depends
        on who comes first.
    bidirectional : bool
        Whether a second set of weights, suffix ``_reverse``, runs from the end to the beginning (D = 2, else 1).
    peephole : bool
        Whether the gates see the cell state.
    formulation : {"split", "concat"}
        "split": ``weight_ih_l{k}`` (4H, I), ``weight_hh_l{k}`` (4H, H), two biases.
        "concat": one ``weight_l{k}`` (4H, H + I) on the joined [h', x], one ``bias_l{k}``. See `to_formulation`.
    forget_bias : float
        Added once to the forget gate's bias after the draw (1 helps to remember; Gers et al. 2000, Jozefowicz et al.
        2015).
    dtype : {"float32", "float64"}
        Of parameters, input and output.
    seed : int, optional
        For the initial parameters, uniform in (-1/sqrt(H), 1/sqrt(H)), and for dropout. None draws anew.
    checkpoint : int, optional
        Keep c every so many steps only (k) and no gates, and let `backward` compute them again, k steps at a time; the
        gradients are the same to the last bit. Saves memory in training at the price of another forward pass: every
        direction of every layer takes T B H (1 + 1/k) numbers in place of 6 T B H, beside x and the gradient of what
        each layer reads (T B H, for which without `checkpoint` c makes room where there is one direction), and all
        together 5 k B H more. A GRU keeps h alone, of 5 T B H, and in its original form as
        much as an LSTM; an RNN h alone, of 2 T B H, and repeats nothing.
    layer_norm : bool
        Whether W x and W h', each as one row of 4 H numbers, are normalised before they are added (Ba et al. 2016):
        the sums are ``gain_ih_l{k}`` * LN(W x) + ``gain_hh_l{k}`` * LN(W h') + b, with the four gates below each other,
        LN(a) = (a - mean(a)) / sqrt(var(a) + 1e-5), and gains (4H,) that begin as ones. c is not normalised; see
        ``docs/cells.md``, which also has what it costs. Training keeps 8 T B H numbers more.

    Raises
    ------
    TypeError
        An argument of another kind; when called, x of another dtype.
    ValueError
        A size below 1, a `dropout` outside [0, 1), another dtype or formulation; when called, x or a state of another
        shape.
    MemoryError
        More parameters than there is memory for.

    Notes
    -----
    PyTorch's ``proj_size`` is none of the arguments: the state of a layer is as wide as the layer has units.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Long short-term memory. Gers, Schmidhuber & Cummins (2000), Learning to forget
    (the forget gate). Gers & Schmidhuber (2000), Recurrent nets that time and count (peepholes). Ba, Kiros & Hinton
    (2016), Layer normalization.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import LSTM
    >>> lstm = LSTM(28, 128, num_layers=2, seed=0)
    >>> y, (h_n, c_n) = lstm(np.zeros((28, 100, 28), "float32"))
    >>> y.shape, h_n.shape, lstm.num_parameters
    ((28, 100, 128), (2, 100, 128), 212992)
    """

    own_settings: ClassVar[dict[str, Any]] = {"peephole": False}

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, *, peephole: bool = False, formulation: str = "split",
        forget_bias: float = 0.0, dtype: str = "float32", seed: int | None = None, checkpoint: int | None = None,
        layer_norm: bool = False,
    ) -> None:  # fmt: skip
        self.peephole = as_flag("peephole", peephole)
        super().__init__(
            lstm.PEEPHOLE if self.peephole else lstm.LSTM, input_size, hidden_size, num_layers, bias=bias,
            dropout=dropout, bidirectional=bidirectional, formulation=formulation, forget_bias=forget_bias, dtype=dtype,
            seed=seed, checkpoint=checkpoint, layer_norm=layer_norm, batch_first=batch_first,
        )  # fmt: skip


class GRU(SequenceLayer[np.ndarray, np.ndarray]):
    r"""Gated recurrent unit, stacked and in one or two directions, with PyTorch's names, shapes and layouts.

    One step takes the input x and the hidden state h' of the step before to

        r = sigma(W_ir x + b_ir + W_hr h' + b_hr)           reset gate
        z = sigma(W_iz x + b_iz + W_hz h' + b_hz)           update gate
        n = tanh (W_in x + b_in + r * (W_hn h' + b_hn))     candidate
        h = (1 - z) * n + z * h'

    where * is element by element. W_ir, W_iz, W_in are the three blocks of rows of ``weight_ih_l{k}``, W_hr .. W_hn
    those of ``weight_hh_l{k}``. This is PyTorch's and cuDNN's form, and Keras' with ``reset_after=True``: the reset
    gate acts on the product. In the original form, with ``reset_after=False``, it acts on h' before it, so that a step
    has two products, one after the other:

        n = tanh (W_in x + b_in + W_hn (r * h') + b_hn)     candidate

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed, checkpoint, \
    layer_norm :
        As for `LSTM`; weights are (3H, I) and (3H, H), with two biases, gains (3H,), and the state is h alone.
    reset_after : bool
        Whether the reset gate acts after the product, or before it as in the paper, which has no `layer_norm`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As for `LSTM`.

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import GRU
    >>> gru = GRU(28, 128, seed=0)
    >>> y, h_n = gru(np.zeros((5, 3, 28), "float32"))
    >>> y.shape, h_n.shape, gru.num_parameters
    ((5, 3, 128), (1, 3, 128), 60672)
    """

    own_settings: ClassVar[dict[str, Any]] = {"reset_after": True}

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, *, reset_after: bool = True, dtype: str = "float32",
        seed: int | None = None, checkpoint: int | None = None, layer_norm: bool = False,
    ) -> None:  # fmt: skip
        self.reset_after = as_flag("reset_after", reset_after)
        super().__init__(
            gru.GRU if self.reset_after else gru.GRU_ORIGINAL, input_size, hidden_size, num_layers, bias=bias,
            dropout=dropout, bidirectional=bidirectional, formulation="split", forget_bias=0.0, dtype=dtype, seed=seed,
            checkpoint=checkpoint, layer_norm=layer_norm, batch_first=batch_first,
        )  # fmt: skip


class RNN(SequenceLayer[np.ndarray, np.ndarray]):
    r"""Elman's plain recurrent network, stacked and in one or two directions, with PyTorch's names, shapes and layouts.

    One step takes the input x and the hidden state h' of the step before to

        h = tanh(W_ih x + W_hh h' + b)      or, with nonlinearity="relu",      h = max(0, W_ih x + W_hh h' + b)

    Parameters
    ----------
    nonlinearity : {"tanh", "relu"}
        The activation. All other parameters are those of `LSTM`; weights are (H, I) and (H, H), and the state is h
        alone.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As for `LSTM`; another `nonlinearity`.

    References
    ----------
    Elman (1990), Finding structure in time.

    Examples
    --------
    >>> import numpy as np
    >>> from nblstm import RNN
    >>> rnn = RNN(28, 128, seed=0)
    >>> y, h_n = rnn(np.zeros((5, 3, 28), "float32"))
    >>> y.shape, h_n.shape, rnn.num_parameters
    ((5, 3, 128), (1, 3, 128), 20224)
    """

    own_settings: ClassVar[dict[str, Any]] = {"nonlinearity": "tanh"}

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *, formulation: str = "split",
        dtype: str = "float32", seed: int | None = None, checkpoint: int | None = None,
        layer_norm: bool = False,
    ) -> None:  # fmt: skip
        self.nonlinearity = as_choice("nonlinearity", nonlinearity, NONLINEARITIES)
        super().__init__(
            NONLINEARITIES[self.nonlinearity], input_size, hidden_size, num_layers, bias=bias, dropout=dropout,
            bidirectional=bidirectional, formulation=formulation, forget_bias=0.0, dtype=dtype, seed=seed,
            checkpoint=checkpoint, layer_norm=layer_norm, batch_first=batch_first,
        )  # fmt: skip
