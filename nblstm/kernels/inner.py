"""How kernels are made of functions: compiled into those that call them, or by themselves and called by address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import CPUDispatcher
from numba.core.types.misc import CPointer
from numba.extending import intrinsic


class Inner(CPUDispatcher):
    """A function that other compiled functions call; called from Python it is the plain function.

    It has no wrappers for calls from Python, and is compiled once for an integer, whatever the integer: Numba by itself
    compiles anew for each number that stands in the source of a call. Together that is a fifth of the time that all
    kernels take to compile.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        without = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        super().__init__(function, targetoptions={"nopython": True, "error_model": "numpy", **without})

    def __call__(self, *arguments: Any) -> Any:
        """What the function itself returns."""
        return self.py_func(*arguments)

    def get_call_template(self, args: tuple[types.Type, ...], kws: dict[str, types.Type]) -> Any:
        """Numba's question for the machine code for a call; numbers in it are integers like any other."""
        return super().get_call_template(
            tuple(types.unliteral(each) for each in args), {name: types.unliteral(each) for name, each in kws.items()}
        )


def inner(function: Callable[..., Any]) -> Any:
    """Decorator for an `Inner` function; where nothing is to be compiled it stays as it is."""
    return function if numba.config.DISABLE_JIT else Inner(function)


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
