"""Optimisers: SGD, RMSprop, Adam and AdamW, each one kernel over the flat arrays of the layers."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numba import prange

from nblstm.arguments import as_flag, as_number, as_rate, as_size
from nblstm.kernels.driver import Driver, threads_for
from nblstm.kernels.tag import ANY, Tag
from nblstm.layers import parameters
from nblstm.layers.parameters import fit_for_kernels
from nblstm.optim.clipping import Trained, check_layers

# Every number a kernel gets has the dtype of the arrays, and 1 - beta and the like are taken beforehand in float64: so
# a float32 kernel stays in float32, with PyTorch's own scalars.


@Driver
def _sgd(
    tag: Tag,
    threads: int,
    p: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    for i in prange(p.size):
        gradient = g[i] + weight_decay * p[i]
        velocity[i] = momentum * velocity[i] + gradient
        p[i] -= lr * (gradient + momentum * velocity[i] if nesterov else velocity[i])


@Driver
def _rmsprop(
    tag: Tag, threads: int, p: np.ndarray, g: np.ndarray, square: np.ndarray, lr: float, alpha: float, one_minus_alpha:
    float, eps: float, weight_decay: float,
) -> None:  # fmt: skip
    for i in prange(p.size):
        gradient = g[i] + weight_decay * p[i]
        square[i] = alpha * square[i] + one_minus_alpha * gradient * gradient
        p[i] -= lr * gradient / (np.sqrt(square[i]) + eps)


@Driver
def _adam(
    tag: Tag, threads: int, p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, lr: float, one_minus_beta1:
    float, beta2: float, one_minus_beta2: float, correction: float, eps: float, weight_decay: float, shrink: float,
) -> None:  # fmt: skip
    for i in prange(p.size):
        gradient = g[i] + weight_decay * p[i]
        m[i] += one_minus_beta1 * (gradient - m[i])
        v[i] = beta2 * v[i] + one_minus_beta2 * gradient * gradient
        p[i] = shrink * p[i] - lr * m[i] / (np.sqrt(v[i]) / correction + eps)


class Optimizer:
    r"""What the optimisers share: the layers, the moments (flat arrays in each layer's dtype), and their saving.

    A subclass names its moments in `moments` and writes `_update`.

    Parameters
    ----------
    layers : Layer, Composed (a `Sequential` or a model, say), or sequence of them
        Each layer once; their dtypes may differ. Those without parameters are passed over.
    lr : float
        The learning rate :math:`\eta > 0`, which `step` may override.

    Raises
    ------
    TypeError
        An argument of a wrong type.
    ValueError
        No layers, the same one twice, or a number out of its range.

    Examples
    --------
    >>> import nblstm
    >>> net = nblstm.Sequential(nblstm.Linear(2, 3), nblstm.Tanh(), nblstm.Linear(3, 1))
    >>> nblstm.SGD(net, lr=0.1, momentum=0.9)
    SGD([Linear(2, 3, bias=True), Linear(3, 1, bias=True)], lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=False)
    """

    moments: ClassVar[tuple[str, ...]]

    def __init__(self, layers: Trained, lr: float) -> None:
        self.layers = check_layers(layers)
        self.lr = as_number("lr", lr, positive=True)
        self.steps = 0
        self._state = [{name: np.zeros_like(layer.grads.flat) for name in self.moments} for layer in self.layers]

    def __repr__(self) -> str:
        settings = {name: value for name, value in vars(self).items() if name not in ("layers", "steps", "_state")}
        return f"{type(self).__name__}({self.layers}, {', '.join(f'{name}={it!r}' for name, it in settings.items())})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        """For copies and pickles: moments that come as views into memory that cannot be written get their own."""
        self.__dict__.update(state)
        self._state = [
            {name: array if array.flags.carray else np.array(array) for name, array in moments.items()}
            for moments in self._state
        ]

    def __copy__(self) -> Self:
        """Another optimiser of the same layers, with moments of its own."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _state=copy.deepcopy(self._state))
        return other

    def step(self, lr: float | None = None) -> None:
        """Move the parameters of every layer by its gradients.

        Parameters
        ----------
        lr : float, optional
            The learning rate of this step alone, from a schedule say; by default the one given at the start. Zero is
            allowed: the moments move, the parameters do not.

        Raises
        ------
        ValueError
            A layer whose parameters cannot be written, see `Layer.editing`, or whose gradients or moments are not those
            of its parameters; nothing has moved then.
        """
        self._step([slice(None)] * len(self.layers), lr)

    def _step(self, slices: Sequence[slice], lr: float | None) -> None:
        """As `step`, of a slice of each layer's flat arrays alone: what else there is, somebody else moves."""
        rate = self.lr if lr is None else as_number("lr", lr)
        self._check()
        self.steps += 1
        for layer, state, part in zip(self.layers, self._state, slices, strict=True):
            with layer.editing() as p, np.errstate(over="ignore"):  # a rate too large for the dtype is infinite there
                self._update(
                    threads_for(10 * p.flat[part].size),
                    p.flat[part],
                    layer.flat_grads[part],
                    *(moment[part] for moment in state.values()),
                    scalar=layer.dtype.type,
                    lr=rate,
                )

    def zero_grad(self) -> None:
        """Set the gradients of all layers to zero; `backward` adds to them."""
        for layer in self.layers:
            layer.zero_grad()

    def _check(self) -> None:
        """Every array that a kernel will read or write has a number for each parameter."""
        for i, (layer, state) in enumerate(zip(self.layers, self._state, strict=True)):
            layer.check_editable()
            for name, array in {"gradients": layer.flat_grads, **state}.items():
                if not fit_for_kernels(array, layer.num_parameters, layer.dtype):
                    raise ValueError(
                        f"layers[{i}] must have {name} of {layer.num_parameters} {layer.dtype}, writable and in one "
                        f"piece, got {array.dtype} {array.shape}"
                    )

    def _update(self, threads: int, p: np.ndarray, g: np.ndarray, *moments: np.ndarray, scalar: Any, lr: float) -> None:
        """One step for one layer; `scalar` makes a number of the layer's dtype."""
        raise NotImplementedError

    def tensors(self) -> dict[str, np.ndarray]:
        """What `state_dict` copies: the moments themselves, and the number of steps."""
        kind = type(self).__name__
        moments = {f"{kind}.{i}.{name}": array for i, state in enumerate(self._state) for name, array in state.items()}
        return {f"{kind}.steps": np.array(self.steps, np.int64)} | moments

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of all that steps have changed: the moments, and the number of steps as an array without dimensions.

        The names begin with the optimiser's own ("Adam.steps", "Adam.0.m" for the first layer). What the constructor
        was given, such as `lr`, is not among them.
        """
        return {name: array.copy() for name, array in self.tensors().items()}

    def load_state_dict(self, mapping: Mapping[str, np.ndarray]) -> None:
        """Copy all that `state_dict` gave, or, if anything does not fit, nothing.

        Raises
        ------
        ValueError
            The state of another optimiser, of other layers, of another dtype; every name that does not fit is listed.
        """
        kind, expected = type(self).__name__, self.tensors()
        if not isinstance(mapping, Mapping):
            raise TypeError(f"{kind}: a state dict must be a mapping of names to arrays, got {type(mapping).__name__}")
        problems = [f"missing: {name}" for name in expected if name not in mapping]
        problems += [f"unexpected: {name}" for name in mapping if name not in expected]
        for name, array in expected.items():
            found = parameters.as_found(mapping.get(name, array))
            masked = isinstance(mapping.get(name), np.ma.MaskedArray)
            if masked or (found.shape, found.dtype) != (array.shape, array.dtype):
                problems.append(f"{name}: expected {array.dtype} {array.shape}, got {found.dtype} {found.shape}")
        if problems:
            raise ValueError(f"{kind}: the state dict does not fit: " + "; ".join(problems))
        self.steps = as_size(f"{kind}.steps", int(mapping[f"{kind}.steps"]), least=0)
        for name, array in expected.items():
            array[...] = mapping[name]


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum, Nesterov's too.

    .. math::
        g \leftarrow g + \lambda p, \qquad u \leftarrow \mu u + g, \qquad
        p \leftarrow p - \eta u \quad \text{or, by Nesterov,} \quad p \leftarrow p - \eta (g + \mu u)

    Parameters
    ----------
    layers, lr
        As in `Optimizer`.
    momentum : float
        :math:`\mu` in [0, 1). (PyTorch's `dampening` is left out: it is 0.)
    weight_decay : float
        :math:`\lambda \ge 0`, the weight of the penalty :math:`\lambda |p|^2 / 2`.
    nesterov : bool
        Look ahead by one step of momentum, which must not be zero then.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and momentum in deep learning",
    ICML 2013.

    Examples
    --------
    >>> from nblstm.layers.layer import Layer
    >>> layer = Layer({"weight": (2,)}, "float64")
    >>> layer.flat_grads[:] = [1, -2]
    >>> SGD([layer], lr=0.1).step()
    >>> layer.params["weight"]
    array([-0.1,  0.2])
    """

    moments = ("velocity",)

    def __init__(
        self, layers: Trained, lr: float = 1e-3, *, momentum: float = 0.0, weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(layers, lr)
        self.momentum = as_rate("momentum", momentum)
        self.weight_decay = as_number("weight_decay", weight_decay)
        self.nesterov = as_flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, got momentum=0")

    def _update(self, threads: int, p: np.ndarray, g: np.ndarray, *moments: np.ndarray, scalar: Any, lr: float) -> None:
        _sgd(ANY, threads, p, g, *moments, scalar(lr), scalar(self.momentum), scalar(self.weight_decay), self.nesterov)


class RMSprop(Optimizer):
    r"""Steps divided by a running root mean square of the gradient.

    .. math::
        g \leftarrow g + \lambda p, \qquad s \leftarrow \alpha s + (1 - \alpha) g^2, \qquad
        p \leftarrow p - \eta \frac{g}{\sqrt{s} + \epsilon}

    Parameters
    ----------
    layers, lr
        As in `Optimizer`.
    alpha : float
        :math:`\alpha` in [0, 1), how much of the mean is kept.
    eps : float
        :math:`\epsilon \ge 0`.
    weight_decay : float
        :math:`\lambda \ge 0`, the weight of the penalty :math:`\lambda |p|^2 / 2`.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    References
    ----------
    T. Tieleman, G. Hinton, *Neural Networks for Machine Learning*, lecture 6.5, 2012.

    Examples
    --------
    >>> from nblstm.layers.layer import Layer
    >>> layer = Layer({"weight": (2,)}, "float64")
    >>> layer.flat_grads[:] = [1, -2]
    >>> RMSprop([layer], lr=0.1, alpha=0.75).step()
    >>> layer.params["weight"].round(6)
    array([-0.2,  0.2])
    """

    moments = ("square",)

    def __init__(
        self, layers: Trained, lr: float = 1e-2, *, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(layers, lr)
        self.alpha = as_rate("alpha", alpha)
        self.eps = as_number("eps", eps)
        self.weight_decay = as_number("weight_decay", weight_decay)

    def _update(self, threads: int, p: np.ndarray, g: np.ndarray, *moments: np.ndarray, scalar: Any, lr: float) -> None:
        _rmsprop(
            ANY, threads, p, g, *moments, scalar(lr), scalar(self.alpha), scalar(1 - self.alpha), scalar(self.eps),
            scalar(self.weight_decay),
        )  # fmt: skip


class Adam(Optimizer):
    r"""Running means of the gradient and of its square, both freed of their start at zero.

    .. math::
        g \leftarrow g + \lambda p, \qquad
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        p \leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    at the t-th step, counted from 1.

    Parameters
    ----------
    layers, lr
        As in `Optimizer`.
    betas : tuple of two floats
        :math:`\beta_1, \beta_2` in [0, 1).
    eps : float
        :math:`\epsilon \ge 0`.
    weight_decay : float
        :math:`\lambda \ge 0`, the weight of the penalty :math:`\lambda |p|^2 / 2`.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    References
    ----------
    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> from nblstm.layers.layer import Layer
    >>> layer = Layer({"weight": (2,)}, "float64")
    >>> layer.flat_grads[:] = [1, -2]
    >>> Adam([layer], lr=0.1).step()
    >>> layer.params["weight"].round(6)
    array([-0.1,  0.1])
    """

    moments = ("m", "v")

    def __init__(
        self, layers: Trained, lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(layers, lr)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas must be a pair of numbers, got {betas!r}")
        self.betas = as_rate("betas[0]", betas[0]), as_rate("betas[1]", betas[1])
        self.eps = as_number("eps", eps)
        self.weight_decay = as_number("weight_decay", weight_decay)

    def _penalty_and_shrink(self, lr: float) -> tuple[float, float]:
        """What the gradient gets of the parameters, and what the parameters are multiplied by."""
        return self.weight_decay, 1.0

    def _update(self, threads: int, p: np.ndarray, g: np.ndarray, *moments: np.ndarray, scalar: Any, lr: float) -> None:
        beta1, beta2 = self.betas
        penalty, shrink = self._penalty_and_shrink(lr)
        _adam(
            ANY, threads, p, g, *moments, scalar(lr / (1 - beta1**self.steps)), scalar(1 - beta1), scalar(beta2),
            scalar(1 - beta2), scalar(math.sqrt(1 - beta2**self.steps)), scalar(self.eps), scalar(penalty),
            scalar(shrink),
        )  # fmt: skip


class AdamW(Adam):
    r"""Adam with the decay kept out of the means: first :math:`p \leftarrow (1 - \eta\lambda) p`, then Adam's step.

    Parameters
    ----------
    layers, lr, betas, eps
        As in `Adam`.
    weight_decay : float
        :math:`\lambda \ge 0`.

    Raises
    ------
    TypeError, ValueError
        As for `Optimizer`.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Examples
    --------
    >>> from nblstm.layers.layer import Layer
    >>> layer = Layer({"weight": (2,)}, "float64")
    >>> with layer.editing() as p:
    ...     p.flat[:] = 1
    >>> AdamW([layer], lr=0.1, weight_decay=0.5).step()
    >>> layer.params["weight"]
    array([0.95, 0.95])
    """

    def __init__(
        self, layers: Trained, lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2,
    ) -> None:  # fmt: skip
        super().__init__(layers, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _penalty_and_shrink(self, lr: float) -> tuple[float, float]:
        return 0.0, 1 - lr * self.weight_decay
