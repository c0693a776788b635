"""The benchmark's posterior for nutpie: compiled by JAX and called through Python, or written by hand in C."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


def jax_density(runs: Any, model: Any, data: Any, priors: Any, initial_point: Callable[..., Any]) -> Any:
    """Give nutpie the model's own density, compiled by JAX and called through Python."""
    import jax
    import jax.numpy as jnp
    import nutpie

    @jax.jit
    def value_and_gradient(u: Any) -> Any:
        value, gradient = jax.value_and_grad(lambda u: -model.potential(u, data, priors))(u)
        return jnp.concatenate([value[None], gradient])  # one transfer instead of two

    def density(u: np.ndarray) -> tuple[float, np.ndarray]:
        both = np.asarray(value_and_gradient(u))
        return float(both[0]), both[1:]

    size = len(model.sites)
    density(np.zeros(size))
    return nutpie.compiled_pyfunc.from_pyfunc(
        size,
        make_logp_fn=lambda: density,
        make_expand_fn=lambda *_: lambda u: {"u": np.array(u)},
        expanded_dtypes=[np.dtype(float)],
        expanded_shapes=[(size,)],
        expanded_names=["u"],
        make_initial_point_fn=initial_point,
    )


C_SOURCE = r"""
#include <math.h>
#include <stdint.h>
#include <string.h>

static double digamma(double x) {
    double r = 0;
    while (x < 10) { r -= 1 / x; x += 1; }
    double f = 1 / (x * x);
    return r + log(x) - 0.5 / x
        - f * (1. / 12 - f * (1. / 120 - f * (1. / 252 - f * (1. / 240 - f * (1. / 132 - f * 691. / 32760)))));
}

/* user: n; two numbers per prior; log N, log D, log loss, each less its centre, n numbers each */
int64_t density(uint64_t dim, const double *restrict u, double *restrict g, double *restrict out, const double *user) {
    const long n = (long)user[0];
    const double *restrict p = user + 1, *restrict x = p + 14, *restrict y = x + n, *restrict l = y + n;
    const double e = 1 / (1 + exp(-u[1])), s = 1 / (1 + exp(-u[4]));
    const double alpha = exp(u[2]), beta = exp(u[2] + u[3]), inverse = exp(-u[5]), nu = exp(u[6]);
    double logs = 0, ratio = 0, d_mu = 0, d_e = 0, d_s = 0, d_alpha = 0, d_beta = 0, d_sigma = 0;
    for (long i = 0; i < n; i++) {
        const double px = exp(-alpha * x[i]), py = exp(-beta * y[i]);
        const double reducible = s * px + (1 - s) * py, h = e + (1 - e) * reducible;
        const double z = (l[i] - u[0] - log(h)) * inverse, t = z * z, scale = 1 / (nu + t);
        const double w = (nu + 1) * scale * z * inverse, k = w / h;
        logs += log(nu + t);
        ratio += t * scale;
        d_sigma += (nu + 1) * scale * t;
        d_mu += w;
        d_e += k * (1 - reducible);
        d_s += k * (px - py);
        d_alpha += k * px * x[i];
        d_beta += k * py * y[i];
    }
    const double half = (nu + 1) / 2, tails = logs - n * log(nu);
    const double d_nu = half * ratio / nu - 0.5 * tails + 0.5 * n * (digamma(half) - digamma(nu / 2) - 1 / nu);
    double value = -half * tails + n * (lgamma(half) - lgamma(nu / 2) - 0.5 * log(nu) - u[5]);
    g[0] = d_mu;
    g[1] = d_e * e * (1 - e);
    g[3] = -beta * (1 - e) * (1 - s) * d_beta;
    g[2] = g[3] - alpha * (1 - e) * s * d_alpha;
    g[4] = d_s * (1 - e) * s * (1 - s);
    g[5] = d_sigma - n;
    g[6] = d_nu * nu;
    for (int j = 0; j < 7; j++) {
        const double *q = p + 2 * j;
        if (j == 1 || j == 4) { /* Beta */
            const double share = j == 1 ? e : s;
            value += q[0] * log(share) + q[1] * log1p(-share);
            g[j] += q[0] * (1 - share) - q[1] * share;
        } else if (j == 6) { /* Gamma */
            value += q[0] * u[j] - q[1] * nu;
            g[j] += q[0] - q[1] * nu;
        } else { /* LogNormal */
            const double r = (u[j] - q[0]) / q[1];
            value -= 0.5 * r * r;
            g[j] -= r / q[1];
        }
    }
    *out = value;
    return isfinite(value) ? 0 : 4;
}

int64_t expand(uint64_t dim, uint64_t expanded, const double *u, double *out, const void *user) {
    memcpy(out, u, dim * sizeof(double));
    return 0;
}
"""
"""The posterior of `LAW` with its default priors and Student-t noise, by hand; checked against the model's own."""

C_SITES = {
    "L_0.quantity": "LogNormal",
    "E.quantity": "Beta",
    "alpha": "LogNormal",
    "beta.quantity": "LogNormal",
    "A.quantity": "Beta",
    "sigma": "LogNormal",
    "nu": "Gamma",
}


class CFunction(NamedTuple):
    """A C function in the form that nutpie takes."""

    address: int


def c_library(source: str) -> ctypes.CDLL:
    """Compile C with the machine's compiler, vectorised, and load it."""
    folder = Path(tempfile.mkdtemp(prefix="speed_"))
    (folder / "density.c").write_text(source)
    flags = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-fPIC"]
    # Linked apart, because linking with -ffast-math changes how the whole process treats denormal numbers.
    subprocess.run(["cc", *flags, "-c", "density.c", "-o", "density.o"], cwd=folder, check=True)
    subprocess.run(["cc", "-shared", "density.o", "-o", "density.so", "-lmvec", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "density.so"))


def native_density(runs: Any, model: Any, data: Any, priors: Any, initial_point: Callable[..., Any]) -> Any:
    """Give nutpie the density as a C function, which it calls without Python."""
    from nutpie.compile_pymc import CompiledPyMCModel

    from bayes_scaling.laws.priors import as_distribution, prior_to_spec

    specs = {site: prior_to_spec(as_distribution(priors[site])) for site in model.sites}
    if {site: spec.pop("distribution") for site, spec in specs.items()} != C_SITES or tuple(specs) != tuple(C_SITES):
        raise NotImplementedError("the density written in C is of another model")
    numbers = [value for spec in specs.values() for value in spec.values()]
    at = data.at
    columns = [
        np.log(runs.column("params") / float(at.params)),
        np.log(runs.column("tokens") / float(at.tokens)),
        np.log(runs.loss / float(at.loss)),
    ]
    user = np.concatenate([[len(runs)], numbers, *columns])
    library = c_library(C_SOURCE)
    check_density(library.density, user, model, data, priors)
    address = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in ("density", "expand")}
    size = len(model.sites)
    return CompiledPyMCModel(
        _n_dim=size,
        dims={},
        _coords={},
        _shapes={"u": (size,)},
        compiled_logp_func=CFunction(address["density"]),
        compiled_expand_func=CFunction(address["expand"]),
        initial_point_func=initial_point,
        shared_data={"library": library},
        shared_var_keys={},
        user_data=user,
        n_expanded=size,
        shape_info=(["u"], [slice(0, size)], [(size,)]),
        logp_func=None,
        expand_func=None,
    )


def check_density(function: Any, user: np.ndarray, model: Any, data: Any, priors: Any) -> None:
    """Compare the C density, up to its constant, and its gradient with the model's own, to 1e-8."""
    import jax

    reference = jax.jit(jax.value_and_grad(lambda u: -model.potential(u, data, priors)))
    rng = np.random.default_rng(0)
    centre = np.array([0.0, 0.5, -1.0, 0.05, 0.0, -5.0, 1.0])
    offset = None
    for _ in range(20):
        u = centre + 0.3 * rng.standard_normal(len(centre))
        gradient, value = np.zeros(len(u)), np.zeros(1)
        pointer = [ctypes.c_void_p(array.ctypes.data) for array in (u, gradient, value, user)]
        function(ctypes.c_uint64(len(u)), *pointer)
        theirs, their_gradient = reference(u)
        offset = float(theirs) - value[0] if offset is None else offset
        np.testing.assert_allclose(value[0] + offset, float(theirs), rtol=1e-8)
        np.testing.assert_allclose(gradient, their_gradient, rtol=1e-8, atol=1e-8 * np.abs(their_gradient).max())
