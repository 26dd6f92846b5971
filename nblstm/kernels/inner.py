"""How kernels are made of functions: compiled into those that call them, or by themselves and called by address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.types.misc import CPointer
from numba.extending import intrinsic


def inner(function: Callable[..., Any]) -> Any:
    """A function that other compiled functions call, and nobody else: it gets no wrappers for calls from Python.

    It is compiled once for an integer, whatever the integer: Numba by itself compiles anew for each number that stands
    in the source of a call. Together that is a fifth of the time that all kernels take to compile.
    """
    if numba.config.DISABLE_JIT:
        return function
    compiled = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    template = compiled.get_call_template

    def template_for_any_number(args: tuple[types.Type, ...], kws: dict[str, types.Type]) -> Any:
        return template(
            tuple(types.unliteral(each) for each in args), {name: types.unliteral(each) for name, each in kws.items()}
        )

    compiled.get_call_template = template_for_any_number
    return compiled


def called_by_address(signature_for: Callable[[types.Float], types.Type]) -> Any:
    """A call, within compiled code, of a function with this signature for a dtype: call(address, (argument, ...)).

    The dtype is that of the first pointer to floating-point numbers among the arguments, which are cast as in any call.
    """

    @intrinsic
    def call(typing_context: Any, address: types.Integer, arguments: types.BaseTuple) -> Any:
        signature = signature_for(
            next(each.dtype for each in arguments if isinstance(each, CPointer) and isinstance(each.dtype, types.Float))
        )

        def codegen(context: Any, builder: ir.IRBuilder, _: Any, args: list[ir.Value]) -> ir.Value:
            values = cgutils.unpack_tuple(builder, args[1])
            cast = [
                context.cast(builder, value, given, wanted)
                for value, given, wanted in zip(values, arguments, signature.args, strict=True)
            ]
            silent = signature.return_type is types.void
            result = ir.VoidType() if silent else context.get_value_type(signature.return_type)
            function = ir.FunctionType(result, [value.type for value in cast])
            found = builder.call(builder.inttoptr(args[0], function.as_pointer()), cast)
            return context.get_dummy_value() if silent else found

        return signature.return_type(address, arguments), codegen

    return call
