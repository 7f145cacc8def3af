"""How Numba compiles kernels here, several times faster than by itself and to code that is no slower.

By itself Numba takes a function that others call for one that might be called from Python: it is compiled anew for
every constant among its arguments, optimised, made machine code, wrapped for Python and for C; then its code is taken
into each caller and optimised again. Here it is a draft. Only the kernel that takes it in is optimised, as one
module, in which all but the kernel itself is known to be called from nowhere else.
"""

from __future__ import annotations

import functools

from llvmlite.binding import Linkage
from numba.core import typed_passes as typed
from numba.core import types
from numba.core import untyped_passes as untyped
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.datamodel.models import OpaqueModel
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys
from numba.core.typing import Context
from numba.extending import register_model

#: Numba's own, without those for what kernels do not have: closures, generators, array expressions, arguments that
#: are None. Each looks through the whole function.
_PASSES = (
    untyped.TranslateByteCode,
    untyped.FixupArgs,
    untyped.IRProcessing,
    untyped.ReconstructSSA,
    typed.NopythonTypeInference,
    typed.PreLowerStripPhis,
    typed.NoPythonSupportedFeatureValidation,
    typed.IRLegalization,
    typed.AnnotateTypes,
    typed.NativeLowering,
    typed.NoPythonBackend,
)


class _DraftCode(JITCodeLibrary):
    """Code for kernels to take in, neither optimised nor made machine code."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self):
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


class _KernelCode(JITCodeLibrary):
    """The code of a kernel and of all that it calls."""

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()


class _Operator(types.Function):
    """An operator that is asked only once what it does with some types.

    Each time it would try dozens of implementations, of which all but a few are for sets, texts and dates.
    """

    def __init__(self, templates):
        super().__init__(templates)
        self._signatures = {}

    def get_call_type(self, context, args, kws):
        if kws:
            return super().get_call_type(context, args, kws)
        if not all(isinstance(type_, types.Literal) for type_ in args):
            # What a constant is matters only to operators on nothing but constants.
            args = tuple(map(types.unliteral, args))
        if args not in self._signatures:
            self._signatures[args] = super().get_call_type(context, args, kws)
        return self._signatures[args]


register_model(_Operator)(OpaqueModel)
_operator = functools.cache(_Operator)


class _Typing(Context):
    """A typing context that is the same as another, but for its operators."""

    def __init__(self, context):
        # New operators go to the other; where it keeps them, which is here too.
        vars(self).update(vars(context), refresh=context.refresh)

    def _lookup_global(self, value):
        found = super()._lookup_global(value)
        return _operator(found.templates) if type(found) is types.Function else found


_typing = functools.cache(_Typing)


class _Compiler(CompilerBase):
    def __init__(self, typingctx, targetctx, *rest):
        typing = _typing(typingctx)
        super().__init__(typing, targetctx.subtarget(typing_context=typing), *rest)

    def define_pipelines(self):
        passes = PassManager("kernels")
        for each in _PASSES:
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class _KernelCompiler(_Compiler):
    """Compiles what Python calls."""

    def __init__(self, typingctx, targetctx, _, *rest):
        code = _KernelCode(targetctx.codegen(), "kernel")
        code.enable_object_caching()
        super().__init__(typingctx, targetctx, code, *rest)


class _DraftCompiler(_Compiler):
    """Compiles what kernels call."""

    def __init__(self, typingctx, targetctx, _, args, return_type, flags, *rest):
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        code = _DraftCode(targetctx.codegen(), "draft")
        super().__init__(typingctx, targetctx, code, args, return_type, flags, *rest)


class Draft(CPUDispatcher):
    """A function for kernels to call, not Python; compiled for each combination of types that it is called with."""

    def __init__(self, function, **options):
        options |= {"nopython": True, "boundscheck": None}
        super().__init__(function, targetoptions=options, pipeline_class=_DraftCompiler)

    def get_call_template(self, args, kws):
        return super().get_call_template([types.unliteral(type_) for type_ in args], kws)

    def add_overload(self, cres):
        # Its callers know a function by its address, which this one has not.
        cres = cres._replace(entry_point=object())
        self.targetctx.insert_user_function(cres.entry_point, cres.fndesc, [cres.library])
        self.overloads[tuple(cres.signature.args)] = cres


class _Cache(FunctionCache):
    def load_overload(self, sig, target_context):
        # Numba's own first loads how to compile all that Python and NumPy have, which takes longer than all kernels.
        # Of that, compiled code calls only what counts references.
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


class _Kernel(CPUDispatcher):
    def enable_caching(self):
        self._cache = _Cache(self.py_func)


def compile_kernel(function, signature, *, cache, **options):
    """Compile a function for Python to call, or load it from the cache."""
    options |= {"nopython": True, "boundscheck": None}
    kernel = _Kernel(function, targetoptions=options, pipeline_class=_KernelCompiler)
    if cache:
        kernel.enable_caching()
    kernel.compile(signature)
    kernel.disable_compile()
    return kernel
