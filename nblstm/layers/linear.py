"""`Linear`: a matrix and a bias, applied to the last axis."""

from __future__ import annotations

import numpy as np

from nblstm.arguments import as_flag, as_seed, as_size, check_array
from nblstm.kernels import gradient, products
from nblstm.kernels.driver import threads_for
from nblstm.kernels.gradient import weight_gradients
from nblstm.kernels.plan import PLAN, fill
from nblstm.kernels.simd import BYTES
from nblstm.kernels.tag import ANY
from nblstm.layers.checks import AnyTape, check_backward, check_tape, read_only
from nblstm.layers.layer import Layer
from nblstm.layers.memory import address, aligned_empty, aligned_zeros, apart_from, in_whole_numbers, padded, strides
from nblstm.layers.parameters import Block

ONE_SUM = np.array([[0, -1, -1]])  # a unit has one weighted sum, which takes the first block of rows


class LinearPacks:
    """The weight as panels for both ways, and the padded bias; each half with the version it was packed from.

    `plan` is what kernels are told: a layer without h, each of whose units has one weighted sum.
    """

    def __init__(self, layer: Linear) -> None:
        self.layer, self.offsets = layer, np.array(layer.offsets)
        I, O = layer.in_features, layer.out_features
        self.columns, self.columns_back = padded(O, layer.dtype), padded(I, layer.dtype)
        self.panels = aligned_zeros(self.columns * I, layer.dtype)
        self.panels_back = aligned_zeros(O * self.columns_back, layer.dtype)
        self.bias = aligned_zeros(self.columns, layer.dtype)
        self.plan = np.zeros(1, PLAN)
        fill(
            self.plan, I=I, H=O, P=self.columns, G=self.columns, depth=O, head=O, parts=products.parts_of(ONE_SUM),
            weights=address(layer._writable.flat), offsets=address(self.offsets), blocks=address(ONE_SUM),
            input_panels=address(self.panels), bias=address(self.bias), input_back=address(self.panels_back),
        )  # fmt: skip
        self.forward_version: float = -1
        self.backward_version: float = -1

    def refresh_forward(self, threads: int) -> None:
        """Pack for the forward pass if the parameters were written since."""
        version = self.layer.version  # another thread may write while this one packs; then these are soon out of date
        if self.forward_version != version:
            products.pack_forward(self.layer.dtype, threads, self.plan)
            self.forward_version = version

    def refresh_backward(self, threads: int) -> None:
        """Pack for the backward pass if the parameters were written since."""
        version = self.layer.version
        if self.backward_version != version:
            products.pack_backward(self.layer.dtype, threads, self.plan)
            self.backward_version = version


class LinearTape(AnyTape):
    """What `Linear.forward` leaves for `backward`, and the buffers of both, rows padded to whole vectors."""

    packs: LinearPacks
    x: np.ndarray
    shape: tuple[int, ...]

    def __init__(self, layer: Linear, keep: bool = True) -> None:
        self.layer, self.keep = layer, keep
        if keep:
            self.packs = LinearPacks(layer)  # inference takes the layer's own
        self.rows = self.rows_back = -1
        self.lanes = BYTES // layer.dtype.itemsize
        self.integers, self.scratch = np.empty(0, np.int64), aligned_empty(0, layer.dtype)
        self.version: float = -1
        self.awaits_backward = False

    def allocate(self, rows: int) -> None:
        """Pack the weights, settle on the number of threads, and make the buffers, unless those at hand fit."""
        self.threads = threads_for(rows * self.layer.num_parameters)
        if self.keep:
            self.packs.refresh_forward(self.threads)
        else:
            self.packs = self.layer.inference_packs(self.threads)
        if rows != self.rows:
            self.rows = -1  # what follows may run out of memory
            self.y = aligned_zeros((rows, self.packs.columns), self.layer.dtype)
            self.ones, self.active = np.ones(rows, np.int64), np.array([rows])
            self.rows, self.index = rows, np.arange(rows)

    def given_out(self) -> list[np.ndarray]:
        """The buffers that `forward` and `backward` return views of, which their caller may hand in again."""
        return [self.y] if self.rows_back != self.rows else [self.y, self.dx]

    def allocate_back(self) -> None:
        """The same for the backward pass."""
        if self.rows_back != self.rows:
            self.rows_back = -1  # as above
            dtype, packs = self.layer.dtype, self.packs
            self.dy = aligned_zeros((self.rows, packs.columns), dtype)
            self.dx = aligned_zeros((self.rows, packs.columns_back), dtype)
            self.sums = aligned_empty(gradient.sums_size(self.layer.in_features, packs.columns, self.lanes), dtype)
            self.zeros = aligned_zeros(packs.columns_back, dtype)
            self.rows_back = self.rows
        # Threads come and go by `numba.set_num_threads`.
        integers = self.threads * gradient.integers_size(self.rows)
        scratch = self.threads * gradient.scratch_size(self.rows, self.layer.in_features, self.lanes)
        if (len(self.integers), len(self.scratch)) != (integers, scratch):
            self.integers, self.scratch = np.empty(integers, np.int64), aligned_empty(scratch, self.layer.dtype)

    def plan(self, grads: np.ndarray) -> np.ndarray:
        """What is to be known for the gradients: all rows are sequences of one step."""
        plan, (row, feature) = self.packs.plan.copy(), strides(self.x)
        fill(
            plan, T=1, B=self.rows, first=0, last=1, order=address(self.index), lengths=address(self.ones),
            active=address(self.active), x=address(self.x), x_batch=row, x_feature=feature, gates=address(self.dy),
            flat=address(grads), gradient_sums=address(self.sums), gradient_integers=address(self.integers),
            scratch=address(self.scratch), scratch_each=len(self.scratch) // self.threads,
        )  # fmt: skip
        return plan


class Linear(Layer):
    """y = x weight^T + bias.

    Parameters
    ----------
    in_features, out_features : int
        Widths I of x and O of y; ``weight`` is (O, I), ``bias`` (O,), both uniform in (-1/sqrt(I), 1/sqrt(I)) as
        PyTorch's.
    bias : bool
        Whether there is one.
    dtype : {"float32", "float64"}
        Of parameters, x and y.
    seed : int, optional
        For the draw; None draws anew.

    Raises
    ------
    TypeError
        An argument of another kind; x of another dtype.
    ValueError
        A size below 1; x of another width than I.

    Examples
    --------
    >>> from nblstm import Linear
    >>> Linear(128, 10, seed=0)(np.zeros((28, 100, 128), "float32")).shape
    (28, 100, 10)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, dtype: str = "float32", seed: int | None = None
    ) -> None:
        self.in_features, self.out_features = as_size("in_features", in_features), as_size("out_features", out_features)
        self.bias = as_flag("bias", bias)
        I, O = self.in_features, self.out_features
        super().__init__({"weight": (O, I)} | ({"bias": (O,)} if self.bias else {}), dtype)
        bias_at = self._writable.starts["bias"] if self.bias else -1
        self.offsets = [0, I, 0, 0, bias_at, -1]  # see `kernels.products`
        self._packs: LinearPacks | None = None
        with self.editing() as p:
            p.flat[:] = np.random.default_rng(as_seed(seed)).uniform(-1, 1, p.flat.size) / np.sqrt(I)

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features}, bias={self.bias})"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y (..., O) for x (..., I): a view into fresh memory, in which rows are padded to whole vectors.

        Raises
        ------
        TypeError, ValueError
            x of another dtype or width.
        """
        return self._run(x, LinearTape(self, keep=False))

    def inference_packs(self, threads: int) -> LinearPacks:
        """Packed weights for calls that keep nothing; published whole, so that several threads may read them."""
        packs = self._packs
        if packs is None or packs.forward_version != self.version:
            packs = LinearPacks(self)
            packs.refresh_forward(threads)
            self._packs = packs
        return packs

    def forward(self, x: np.ndarray, tape: LinearTape | None = None) -> tuple[np.ndarray, LinearTape]:
        """As the call, but y is a read-only view into the tape, valid until its next forward.

        x is kept by reference and must not change before backward.
        """
        tape = LinearTape(self) if tape is None else tape
        check_tape(self, tape)
        tape.version, tape.awaits_backward = self.version, False  # until this forward has ended well
        y = self._run(x, tape)
        tape.awaits_backward = True
        return read_only(y), tape

    def _run(self, x: np.ndarray, tape: LinearTape) -> np.ndarray:
        x = check_array("x", x, self.dtype)
        if x.ndim < 1 or x.shape[-1] != self.in_features:
            raise ValueError(f"x must have shape (..., {self.in_features}), got {x.shape}")
        tape.shape = x.shape[:-1]
        x = in_whole_numbers(x)
        rows = (
            x.reshape(-1, self.in_features)
            if x.size
            else np.zeros((int(np.prod(tape.shape)), self.in_features), self.dtype)
        )
        tape.allocate(len(rows))
        tape.x = apart_from(rows, tape.given_out())
        packs = tape.packs
        row, feature = strides(tape.x)
        products.product(
            ANY, tape.threads, tape.rows, address(tape.x), tape.index, row, feature, packs.panels, self.in_features,
            packs.columns, packs.bias, tape.y.reshape(-1), tape.index, packs.columns,
        )  # fmt: skip
        return tape.y.reshape(*tape.shape, packs.columns)[..., : self.out_features]

    def backward(
        self, dy: np.ndarray, tape: LinearTape, need_dx: bool = True, grads: Block | None = None
    ) -> np.ndarray | None:
        """dx = dy weight; adds dy^T x to the weight's gradient and the sum of dy to the bias's.

        dy has the shape of y; dx is a read-only view into the tape, or None without `need_dx`.

        Raises
        ------
        RuntimeError
            A second backward on one forward, or parameters written since.
        TypeError, ValueError
            dy of another dtype or shape; a tape of another layer.
        """
        grads, need_dx = check_backward(self, tape, grads), as_flag("need_dx", need_dx)
        I, O, packs = self.in_features, self.out_features, tape.packs
        dy = check_array("dy", dy, self.dtype, (*tape.shape, O))
        tape.allocate_back()
        tape.awaits_backward = False
        tape.dy.reshape(*tape.shape, packs.columns)[..., :O] = dy
        threads, index = tape.threads, tape.index
        weight_gradients(self.dtype, threads, tape.plan(grads.flat))
        if not need_dx:
            return None
        packs.refresh_backward(threads)
        products.product(
            ANY, threads, tape.rows, address(tape.dy), index, packs.columns, 1, packs.panels_back, O,
            packs.columns_back, tape.zeros, tape.dx.reshape(-1), index, packs.columns_back,
        )  # fmt: skip
        return read_only(tape.dx.reshape(*tape.shape, packs.columns_back)[..., :I])
