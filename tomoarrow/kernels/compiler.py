"""How Numba compiles kernels here, several times faster than by itself and to code that is no slower.

By itself Numba takes a function that others call for one that might be called from Python: it is compiled anew for
every constant among its arguments, optimised, made machine code, wrapped for Python and for C; then its code is taken
into each caller and optimised again. Here it is a draft. Only the kernel that takes it in is optimised, as one
module, in which all but the kernel itself is known to be called from nowhere else.
"""

from __future__ import annotations

from types import BuiltinFunctionType

from llvmlite.binding import Linkage
from numba.core import typed_passes as typed
from numba.core import types
from numba.core import untyped_passes as untyped
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.registry import CPUDispatcher

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


class _Typing:
    """Numba's typing context, but what an operator does with some types it is asked only once.

    Each time it would try dozens of implementations, of which all but a few are for sets, texts and dates.
    """

    _signatures = {}

    def __init__(self, context):
        self._context = context

    def __getattr__(self, name):
        return getattr(self._context, name)

    def resolve_function_type(self, function, args, kws):
        if kws or not isinstance(function, (types.Function, BuiltinFunctionType)):
            return self._context.resolve_function_type(function, args, kws)
        if not all(isinstance(type_, types.Literal) for type_ in args):
            # What a constant is matters only to operators on nothing but constants.
            args = tuple(map(types.unliteral, args))
        if (function, args) not in self._signatures:
            self._signatures[function, args] = self._context.resolve_function_type(function, args, kws)
        return self._signatures[function, args]


class _Compiler(CompilerBase):
    def __init__(self, typingctx, *rest):
        super().__init__(_Typing(typingctx), *rest)

    def define_pipelines(self):
        passes = PassManager("kernels")
        for each in _PASSES:
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class KernelCompiler(_Compiler):
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
