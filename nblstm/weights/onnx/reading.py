"""Reading: the LSTM, GRU and RNN nodes of an ONNX file, in its subgraphs too, as layers."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nblstm.arguments import as_path, as_size
from nblstm.files import check_file
from nblstm.layers.recurrent import GRU, LSTM, RNN
from nblstm.weights.onnx.form import (
    ACTIVATIONS,
    BACK,
    LARGEST,
    OPERATORS,
    PEEPHOLES,
    ROUNDED,
    STANDARD,
    operator_of,
    require_onnx,
)
from nblstm.weights.onnx.functions import inlined
from nblstm.weights.onnx.rounded import PLACES, unrounded
from nblstm.weights.onnx.stored import WORK, Scope, Stored
from nblstm.weights.tracks import Track, as_array, gates_apart, layer_of


def from_onnx(path: str | Path) -> dict[str, LSTM | GRU | RNN]:
    """Every LSTM, GRU and RNN node of an ONNX file as a layer, by the name of the node, in the order of the graph.

    Each is a layer of its own: ONNX stacks layers by nodes that follow one another, and
    ``Sequential(*layers.values())`` joins those of a plain stack. Nodes in the branches and bodies of If, Loop and Scan
    are among them, and those in functions that the file defines, once for each call. Weights may lie in the file or in
    one beside it, as the exporter of PyTorch 2.9 and newer writes them (``m.onnx`` and ``m.onnx.data``), and behind
    nodes that rearrange them. ONNX Runtime's DynamicQuantizeLSTM, with weights of 8 bits, is an LSTM too. Lengths and
    initial states are not read: a layer gets them when it is called.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to LSTM, GRU or RNN

    Examples
    --------
    >>> from nblstm import LSTM, weights
    >>> weights.to_onnx(LSTM(3, 4, num_layers=2, seed=0), "net.onnx")  # doctest: +SKIP
    >>> weights.from_onnx("net.onnx")  # doctest: +SKIP
    {'LSTM.l0': LSTM(3, 4), 'LSTM.l1': LSTM(4, 4)}

    Warns
    -----
    UserWarning
        A node begins with a state, stored in the file, that is not zeros; the layer begins with zeros. Or a node has
        weights rounded to 8 bits: ONNX Runtime rounds what it multiplies them with as well, and the layer does not.

    Raises
    ------
    ImportError
        The package onnx is missing; the error says how to install it.
    ValueError
        No ONNX file, no such node, weights that depend on the model's inputs, or a node that does what nblstm does not:
        direction "reverse", clip, input_forget, other activations, projections. The node is named.
    TypeError
        Weights that are neither float32 nor float64.

    Notes
    -----
    ``torch.onnx.export`` writes an RNN step by step, without a node RNN, unless it is told ``dynamo=False``.
    """
    onnx, path = require_onnx(), as_path("path", path)
    check_file(path, "an ONNX file")
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path} is damaged or no ONNX file: {size:,} bytes, where at most {LARGEST:,} are possible")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors, which are of no common type
        raise ValueError(f"{path} is damaged or no ONNX file: {error}") from error
    try:
        model = inlined(model, min(WORK * size, LARGEST))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    stored, kinds = Stored(onnx, model, path), Counter[str]()
    found: dict[str, LSTM | GRU | RNN] = {}
    for node, scope in stored.nodes(model.graph):
        kinds[node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"] += 1
        if operator_of(node):
            name = node.name or next(filter(None, node.output), node.op_type)
            if name in found:
                raise ValueError(
                    f"{path} must have a name of its own for each LSTM, GRU and RNN node, got {name} twice"
                )
            try:
                found[name] = _layer_of_node(stored, node, name, scope)
            except (AttributeError, KeyError) as error:  # of an attribute or a tensor of a kind that ONNX has not there
                raise ValueError(f"{path} is damaged: node {name} cannot be read: {error}") from error
            except RecursionError:
                raise ValueError(f"{path} is damaged: the weights of node {name} depend on themselves") from None
    if not found:
        raise ValueError(f"{path} must have at least one LSTM, GRU or RNN node, got {_listed(kinds)}")
    return found


def _listed(kinds: Counter[str]) -> str:
    """Kinds of nodes and how many of each, recurrent ones first."""
    recurrent = [kind for kind in kinds if any(word in kind.upper() for word in ("LSTM", "GRU", "RNN"))]
    shown = recurrent or [kind for kind, _ in kinds.most_common(5)]
    return ", ".join(f"{kind}: {kinds[kind]}" for kind in shown) or "none at all"


def _layer_of_node(stored: Stored, node: Any, name: str, scope: Scope) -> LSTM | GRU | RNN:
    """The layer that a node of the type LSTM, GRU or RNN is, or one of rounded weights."""
    operator, rounded = operator_of(node), (node.domain, node.op_type) == ROUNDED
    attributes = {attribute.name: stored.onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    direction = attributes.pop("direction", b"forward").decode()
    hidden_size, batch_first = attributes.pop("hidden_size", None), bool(attributes.pop("layout", 0))
    if direction not in ("forward", "bidirectional"):
        raise ValueError(f"node {name} must have direction forward or bidirectional, got {direction}")
    D = 1 + (direction == "bidirectional")
    known = [each * D for each in ACTIVATIONS[operator]]
    activations = [text.decode() for text in attributes.pop("activations", None) or []] or known[0]
    if activations not in known:
        raise ValueError(f"node {name} has the activations {', '.join(activations)}, which nblstm does not have")
    reset_after = operator != "GRU" or bool(attributes.pop("linear_before_reset", 0))
    if attributes.pop("input_forget", 0) or attributes:
        raise ValueError(
            f"node {name} has {', '.join(map(str, attributes)) or 'input_forget'}, which nblstm does not have"
        )

    def kept(place: int, letter: str) -> np.ndarray | None:
        if not (operand := _operand(node, place)):
            return None
        with _damage_named(letter, name):
            array = stored.array(operand, scope)
        if array is None:
            cause = stored.cause(operand, scope)
            raise ValueError(f"node {name} must have its {letter} stored in the file, got {operand!r}, by {cause}")
        return array

    def constant(place: int, letter: str, dimensions: int) -> np.ndarray | None:
        if (array := kept(place, letter)) is None:
            return None
        if rounded and letter in PLACES:
            scale, zero = (kept(n, f"{letter}, its scale or zero point") for n in PLACES[letter])
            array = unrounded(f"{letter} of node {name}", array, scale, zero)
        array = as_array(f"{letter} of node {name}", array, dimensions)
        if len(array) != D:
            raise ValueError(f"{letter} of node {name} must have {D} directions, got shape {array.shape}")
        return array

    W, R, B, P = constant(1, "W", 3), constant(2, "R", 3), constant(3, "B", 2), constant(7, "P", 2)
    if W is None or R is None:
        raise ValueError(f"node {name} must have W and R")
    H = as_size(f"hidden_size of node {name}", hidden_size or R.shape[2])
    if P is not None and P.shape[1] != 3 * H:
        raise ValueError(f"P of node {name} must have 3 blocks of {H}, got shape {P.shape}")
    gates = next(gates for gates, known in OPERATORS.items() if known == operator)
    order, tracks = BACK[gates], []
    for d in range(D):
        ih, hh = (gates_apart(f"{letter} of node {name}", array[d], H, 0) for letter, array in (("W", W), ("R", R)))
        if len(ih) != gates or len(hh) != gates:
            raise ValueError(
                f"W and R of node {name} must have {gates} blocks of {H} rows, got {W.shape} and {R.shape}"
            )
        bias_ih = bias_hh = None
        if B is not None:
            both = gates_apart(f"B of node {name}", B[d], H, 0)
            if len(both) != 2 * gates:
                raise ValueError(f"B of node {name} must have {2 * gates} blocks of {H}, got shape {B.shape}")
            bias_ih, bias_hh = both[:gates][order], both[gates:][order]
        peephole = None if P is None else gates_apart(f"P of node {name}", P[d], H, 0)[PEEPHOLES]
        tracks.append(Track(ih[order], hh[order], bias_ih, bias_hh, peephole))
    _check_states(stored, node, name, scope, H)
    if rounded:
        warnings.warn(
            f"node {name} has weights rounded to 8 bits, which the layer has as they are; ONNX Runtime also rounds x "
            "and h at every step, which the layer does not",
            stacklevel=3,
        )
    return layer_of(
        f"node {name}", tracks, bidirectional=D == 2, batch_first=batch_first,
        nonlinearity="relu" if activations[0] == "Relu" else "tanh", reset_after=reset_after,
    )  # fmt: skip


def _check_states(stored: Stored, node: Any, name: str, scope: Scope, H: int) -> None:
    """The states that a node begins with are those that a layer can have, and zeros if the file has them."""
    lost = []
    for place, state in ((5, "initial_h"), (6, "initial_c")):
        if not (operand := _operand(node, place)):
            continue
        with _damage_named(state, name):
            values = stored.spread(operand, scope)
        width = stored.width(operand, scope) or (values.shape[-1] if values is not None and values.ndim else H)
        if width not in (1, H):  # 1: spread over all units
            raise ValueError(
                f"node {name} must have an {state} as wide as its hidden_size {H}, got width {width}: nblstm does not "
                "have projections (proj_size)"
            )
        if values is not None and np.any(values):
            lost.append(state)
    if lost:
        warnings.warn(
            f"node {name} begins with an {' and an '.join(lost)} stored in the file that is not zeros; the layer "
            "begins with zeros unless it is called with a state",
            stacklevel=4,
        )


@contextmanager
def _damage_named(operand: str, name: str) -> Iterator[None]:
    """What cannot be read of an operand of a node is told with both their names."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{operand} of node {name} is damaged: {error}") from error


def _operand(node: Any, place: int) -> str:
    """The name of an input of a node, empty if it has none there."""
    return node.input[place] if place < len(node.input) else ""
