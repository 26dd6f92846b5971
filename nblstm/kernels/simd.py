"""A vector of numbers as a first-class Numba type: load, store, + - * / and fma.

Only this file, `tile.py` and `team.py` know LLVM. A `Vector` fills one register of the processor that compiles (`LANES`
numbers), the operators work lane by lane, and a plain number beside a vector is spread over all lanes. No flag allows
LLVM to reorder or to fuse: `fma` is written where it is wanted, so a result does not depend on the code around it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_process_triple
from numba.core import cgutils, config, types
from numba.core.codegen import get_host_cpu_features
from numba.core.types.misc import CPointer
from numba.extending import intrinsic, models, overload, register_model

_FEATURES = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
BYTES = 64 if "+avx512f" in _FEATURES else 32 if "+avx2" in _FEATURES else 16
"""Width of a vector register of the processor compiled for."""

REGISTERS = 32 if BYTES == 64 or get_process_triple().startswith(("aarch64", "arm64")) else 16
"""Vector registers it has: 32 with AVX-512 and on ARM, whose NEON is part of every 64-bit one; 16 on x86 before."""

LANES: dict[types.Float, int] = {types.float32: BYTES // 4, types.float64: BYTES // 8}
MANTISSA: dict[types.Float, int] = {types.float32: 23, types.float64: 52}
I32, I64 = ir.IntType(32), ir.IntType(64)


class Vector(types.Type):
    """Numba type of `LANES[dtype]` numbers in one register."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(f"Vector({dtype} x {LANES[dtype]})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, llvm_vector(vector.dtype))


class Mask(types.Type):
    """Numba type of one truth value for each lane of a `Vector` of `dtype`."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(f"Mask({dtype} x {LANES[dtype]})")


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, mask: Mask) -> None:
        super().__init__(manager, mask, ir.VectorType(ir.IntType(1), LANES[mask.dtype]))


def llvm_vector(dtype: types.Float) -> ir.VectorType:
    """LLVM's type for a `Vector` of `dtype`."""
    return ir.VectorType(ir.FloatType() if dtype is types.float32 else ir.DoubleType(), LANES[dtype])


def call_llvm(builder: ir.IRBuilder, name: str, result: ir.Type, args: list[ir.Value], suffix: str) -> ir.Value:
    """Call the LLVM intrinsic ``llvm.name.suffix``."""
    function_type = ir.FunctionType(result, [value.type for value in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}"), args)


def suffix(dtype: types.Float) -> str:
    """The suffix of LLVM's intrinsics for a vector of `dtype`, such as v16f32."""
    return f"v{LANES[dtype]}f{dtype.bitwidth}"


def splat(builder: ir.IRBuilder, scalar: ir.Value, vector: ir.VectorType) -> ir.Value:
    """`scalar` in every lane."""
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, I32(0))
    lanes = ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), lanes)


def constant(dtype: types.Float, number: float) -> ir.Constant:
    """The same constant in every lane."""
    vector = llvm_vector(dtype)
    return ir.Constant(vector, [float(number)] * vector.count)


def vector_at(builder: ir.IRBuilder, pointer: ir.Value, offset: ir.Value, dtype: types.Float) -> ir.Value:
    """Address of the vector that starts `offset` numbers after `pointer`."""
    return builder.bitcast(builder.gep(pointer, [offset]), llvm_vector(dtype).as_pointer())


# ------------------------------------------------------------------------------------------------------------- memory


@intrinsic
def pointer(typing_context: Any, array: types.Array) -> Any:
    """Typed pointer to the first number of an array; indexing it costs no wrap-around check.

    It does not keep the array: one that a kernel makes itself is let go after the last use of its name.
    """
    signature = CPointer(array.dtype)(array)
    return (
        signature,
        lambda context, builder, sig, args: context.make_array(sig.args[0])(context, builder, args[0]).data,
    )


@intrinsic
def pointer_at(typing_context: Any, address: types.Integer, like: CPointer) -> Any:
    """Pointer of the type of `like` to `address`: memory whose Python object Numba need not know."""
    return like(address, like), lambda context, builder, sig, args: builder.inttoptr(args[0], args[1].type)


@intrinsic
def shift(typing_context: Any, p: CPointer, n: types.Integer) -> Any:
    """Pointer `n` numbers further on."""
    return p(p, n), lambda context, builder, sig, args: builder.gep(args[0], [args[1]])


@intrinsic
def lanes_of(typing_context: Any, p: CPointer) -> Any:
    """Lanes of a vector of the numbers that `p` points to, a constant of the compiled code."""
    return types.int64(p), lambda context, builder, sig, args: I64(LANES[sig.args[0].dtype])


@intrinsic
def load(typing_context: Any, p: CPointer, n: types.Integer) -> Any:
    """The vector `n` numbers after `p`, aligned or not."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        value = builder.load(vector_at(builder, args[0], args[1], p.dtype))
        value.align = p.dtype.bitwidth // 8
        return value

    return Vector(p.dtype)(p, n), codegen


@intrinsic
def store(typing_context: Any, p: CPointer, n: types.Integer, value: Vector) -> Any:
    """Write a vector `n` numbers after `p`, aligned or not."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        builder.store(args[2], vector_at(builder, args[0], args[1], p.dtype)).align = p.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(p, n, value), codegen


def prefetch_at(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Ask for the cache line at `address`, to be written soon."""
    arguments = [builder.bitcast(address, ir.IntType(8).as_pointer()), I32(1), I32(3), I32(1)]  # write, keep, data
    call_llvm(builder, "prefetch", ir.VoidType(), arguments, "p0")


@intrinsic
def prefetch(typing_context: Any, p: CPointer, n: types.Integer) -> Any:
    """Ask for the cache line `n` numbers after `p`, to be written soon."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        prefetch_at(builder, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(p, n), codegen


def _first_lanes(builder: ir.IRBuilder, count: ir.Value, lanes: int) -> ir.Value:
    numbers = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, splat(builder, count, ir.VectorType(I64, lanes)))


@intrinsic
def load_part(typing_context: Any, p: CPointer, n: types.Integer, count: types.Integer) -> Any:
    """The first `count` lanes of the vector `n` numbers after `p`, then zeros; no memory past them is touched."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        address = vector_at(builder, args[0], args[1], p.dtype)
        mask = _first_lanes(builder, context.cast(builder, args[2], sig.args[2], types.int64), LANES[p.dtype])
        return call_llvm(
            builder, "masked.load", llvm_vector(p.dtype),
            [address, I32(p.dtype.bitwidth // 8), mask, constant(p.dtype, 0.0)], f"{suffix(p.dtype)}.p0",
        )  # fmt: skip

    return Vector(p.dtype)(p, n, count), codegen


@intrinsic
def store_part(typing_context: Any, p: CPointer, n: types.Integer, value: Vector, count: types.Integer) -> Any:
    """Write the first `count` lanes only."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        address = vector_at(builder, args[0], args[1], p.dtype)
        mask = _first_lanes(builder, context.cast(builder, args[3], sig.args[3], types.int64), LANES[p.dtype])
        call_llvm(
            builder, "masked.store", ir.VoidType(),
            [args[2], address, I32(p.dtype.bitwidth // 8), mask], f"{suffix(p.dtype)}.p0",
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(p, n, value, count), codegen


# --------------------------------------------------------------------------------------------------------- arithmetic


@intrinsic
def full(typing_context: Any, like: Vector, scalar: types.Number) -> Any:
    """`scalar`, cast to the dtype of the vector `like`, in every lane."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        return splat(builder, context.cast(builder, args[1], sig.args[1], like.dtype), llvm_vector(like.dtype))

    return like(like, scalar), codegen


Emit = Callable[..., ir.Value]
"""Writes one instruction: (builder, dtype, *operands) -> result."""


def _unary(emit: Emit) -> Callable[..., Any]:
    @intrinsic
    def operation(typing_context: Any, x: Vector) -> Any:
        return x(x), lambda context, builder, sig, args: emit(builder, x.dtype, *args)

    return operation


def _binary(emit: Emit) -> Callable[..., Any]:
    @intrinsic
    def operation(typing_context: Any, x: Vector, y: Vector) -> Any:
        return x(x, y), lambda context, builder, sig, args: emit(builder, x.dtype, *args)

    return operation


def _overload_operator(python: Callable[..., Any], emit: Emit) -> None:
    lanewise = _binary(emit)

    @overload(python)
    def implementation(x, y):
        if isinstance(x, Vector) and isinstance(y, Vector):
            return lambda x, y: lanewise(x, y)
        if isinstance(x, Vector) and isinstance(y, types.Number):
            return lambda x, y: lanewise(x, full(x, y))
        if isinstance(y, Vector) and isinstance(x, types.Number):
            return lambda x, y: lanewise(full(y, x), y)
        return None


_negative = _unary(lambda builder, dtype, x: builder.fneg(x))
_overload_operator(operator.add, lambda builder, dtype, x, y: builder.fadd(x, y))
_overload_operator(operator.sub, lambda builder, dtype, x, y: builder.fsub(x, y))
_overload_operator(operator.mul, lambda builder, dtype, x, y: builder.fmul(x, y))
_overload_operator(operator.truediv, lambda builder, dtype, x, y: builder.fdiv(x, y))


@overload(operator.neg)
def _overload_negative(x):
    return (lambda x: _negative(x)) if isinstance(x, Vector) else None


def _overload_comparison(python: Callable[..., Any], comparison: str) -> None:
    """Lane by lane; false where either is NaN."""

    @intrinsic
    def lanewise(typing_context: Any, x: Vector, y: Vector) -> Any:
        return Mask(x.dtype)(x, y), lambda context, builder, sig, args: builder.fcmp_ordered(comparison, *args)

    @overload(python)
    def implementation(x, y):
        if isinstance(x, Vector) and isinstance(y, Vector):
            return lambda x, y: lanewise(x, y)
        if isinstance(x, Vector) and isinstance(y, types.Number):
            return lambda x, y: lanewise(x, full(x, y))
        if isinstance(y, Vector) and isinstance(x, types.Number):
            return lambda x, y: lanewise(full(y, x), y)
        return None


_overload_comparison(operator.lt, "<")
_overload_comparison(operator.le, "<=")
_overload_comparison(operator.gt, ">")
_overload_comparison(operator.ge, ">=")


@intrinsic
def choose(typing_context: Any, mask: Mask, x: types.Type, y: types.Type) -> Any:
    """x where the mask is true, else y, lane by lane; either may be a plain number."""
    vector = Vector(mask.dtype)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        sides = [
            value
            if numba_type == vector
            else splat(builder, context.cast(builder, value, numba_type, mask.dtype), llvm_vector(mask.dtype))
            for value, numba_type in zip(args[1:], sig.args[1:], strict=True)
        ]
        return builder.select(args[0], *sides)

    return vector(mask, x, y), codegen


@intrinsic
def fma(typing_context: Any, x: Vector, y: Vector, z: Vector) -> Any:
    """x * y + z, rounded once where the processor can (`llvm.fma` would be a call to libm where it cannot)."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        return call_llvm(builder, "fmuladd", llvm_vector(x.dtype), args, suffix(x.dtype))

    return x(x, y, z), codegen


def _select(comparison: str) -> Emit:
    return lambda builder, dtype, x, y: builder.select(builder.fcmp_ordered(comparison, x, y), x, y)


def _call(name: str) -> Emit:
    return lambda builder, dtype, *operands: call_llvm(builder, name, llvm_vector(dtype), list(operands), suffix(dtype))


at_most = _binary(_select("<"))
"""(limit, x): the smaller of both, lane by lane; NaN in `x` stays NaN."""

at_least = _binary(_select(">"))
"""(limit, x): the larger of both, lane by lane; NaN in `x` stays NaN."""

absolute = _unary(_call("fabs"))
"""|x|."""

square_root = _unary(_call("sqrt"))
"""The root of each lane."""

copysign = _binary(_call("copysign"))
"""(x, y): x with the sign of y."""


def _nan_stays(comparison: str) -> Emit:
    def emit(builder: ir.IRBuilder, dtype: types.Float, x: ir.Value, y: ir.Value) -> ir.Value:
        found = builder.select(builder.fcmp_ordered(comparison, x, y), x, y)
        return builder.select(builder.fcmp_unordered("uno", x, x), x, found)

    return emit


smaller = _binary(_nan_stays("<"))
"""(x, y): the smaller of both, lane by lane, or NaN where either is."""

larger = _binary(_nan_stays(">"))
"""(x, y): the larger of both, lane by lane, or NaN where either is."""


def _where_positive(builder: ir.IRBuilder, dtype: types.Float, x: ir.Value, y: ir.Value) -> ir.Value:
    zero = constant(dtype, 0.0)
    return builder.select(builder.fcmp_unordered(">", x, zero), y, zero)


where_positive = _binary(_where_positive)
"""(x, y): y where x > 0 or NaN, else 0."""


def _power_of_two(builder: ir.IRBuilder, dtype: types.Float, rounded: ir.Value) -> ir.Value:
    width, mantissa = dtype.bitwidth, MANTISSA[dtype]
    integer = ir.IntType(width)
    integers = ir.VectorType(integer, LANES[dtype])
    bias = (1 << (width - mantissa - 2)) - 1
    bits = builder.shl(builder.bitcast(rounded, integers), ir.Constant(integers, [mantissa] * LANES[dtype]))
    return builder.bitcast(
        builder.add(bits, ir.Constant(integers, [bias << mantissa] * LANES[dtype])), llvm_vector(dtype)
    )


power_of_two = _unary(_power_of_two)
"""2^n, given n + 1.5 * 2^MANTISSA: adding that rounds to the whole n and leaves n in the low bits, which become the
exponent. n = -bias gives 0 and n = bias + 1 infinity (bias 127 in float32, 1023 in float64)."""


@intrinsic
def total(typing_context: Any, x: Vector) -> Any:
    """Sum of the lanes, always as the same tree: the upper half is added to the lower until one number is left."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        return _reduce(builder, args[0], builder.fadd)

    return x.dtype(x), codegen


@intrinsic
def largest(typing_context: Any, x: Vector) -> Any:
    """The largest lane; unspecified if one is NaN."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: list[ir.Value]) -> ir.Value:
        return _reduce(builder, args[0], lambda a, b: _select(">")(builder, x.dtype, a, b))

    return x.dtype(x), codegen


def _reduce(builder: ir.IRBuilder, value: ir.Value, combine: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
    lanes = value.type.count
    undefined = ir.Constant(value.type, ir.Undefined)
    half = lanes // 2
    while half:
        order = ir.Constant(ir.VectorType(I32, lanes), [(half + i) % lanes for i in range(lanes)])
        value = combine(value, builder.shuffle_vector(value, undefined, order))
        half //= 2
    return builder.extract_element(value, I32(0))
