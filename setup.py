"""Find the packages and build the compiled kernels; everything else is in pyproject.toml."""

from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext


class BuildKernels(build_ext):
    """Compile the kernels, or say in one line what is missing."""

    def build_extensions(self) -> None:
        """Replace the compiler's traceback by what to install."""
        compiler = self.compiler.compiler[0] if self.compiler.compiler else "cc"
        try:
            self.compiler.spawn([compiler, "--version"])
        except Exception:  # noqa: BLE001 - distutils raises what the platform raises
            raise SystemExit(
                f"stpipe-flow needs a C compiler to build from source; {compiler!r} does not run. "
                "Install one (Debian: apt-get install gcc; macOS: xcode-select --install)."
            ) from None
        super().build_extensions()


def kernels() -> list[Extension]:
    """One extension for each _*.pyx below stpipe."""
    return [
        Extension(
            ".".join(source.with_suffix("").parts),
            [source.as_posix()],
            include_dirs=[np.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            # No -ffast-math: results must not depend on how the compiler reorders sums. Nobody asks
            # for errno or floating-point traps, which only keep loops from being vectorised.
            extra_compile_args=[
                "-O3",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fno-trapping-math",
            ],
        )
        for source in sorted(Path("stpipe").rglob("_*.pyx"))
    ]


# The folders at the top of the checkout that travel in the wheel.
SHARED = [f"stpipe.share.{name}" for name in ("config", "schemas", "workflow")]

setup(
    packages=[*find_packages(include=["stpipe", "stpipe.*"]), *SHARED],
    ext_modules=cythonize(kernels(), language_level=3),
    cmdclass={"build_ext": BuildKernels},
)
