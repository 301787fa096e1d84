# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sums of sines in weighted series: the strongest period, and least squares of all of them.

The fit is that of Levenberg and Marquardt with half steps; outliers count less by Tukey's biweight. It
ends when chi-square changes by less than TOLERANCE, in proportion to it where it is above 1.
"""

import numpy as np

from libc.math cimport M_PI, cos, fabs, sin, sqrt

cdef enum:
    DONE = 0
    ENDLESS = 1
    SINGULAR = 2
    TOO_FEW = 3

cdef double TOLERANCE = 1e-4
cdef double FIRST_DAMPING = 1e-3
cdef int MOST = 1000  # trials for each parameter


cdef struct Series:
    const double *x
    const double *y
    Py_ssize_t n
    Py_ssize_t sines
    bint fixed  # the frequencies are

cdef struct Work:
    double *cosines  # (sines, n), of the parameters
    double *sinuses
    double *trial_cosines
    double *trial_sinuses
    double *residuals
    double *trial_residuals
    double *gradients  # (free parameters, n)


def fit_sines(const double[::1] x, const double[::1] y, const double[::1] weights, double[::1] parameters, double[:, ::1] hessian, bint fixed, double domain):
    """Fit sines, and return (status, chi-square, sum of weights): 0 if that of the fit is DONE.

    `parameters` has for each sine its frequency, and the amplitudes of its cosine and its sine; they are
    where the fit begins, and filled with its result. With `fixed` the frequencies stay. Outliers of
    `domain` standard deviations count for nothing; 0: all count. `hessian` (all, all) is filled with
    that of the last step.
    """
    cdef Py_ssize_t n = x.shape[0], sines = parameters.shape[0] // 3
    cdef double[:, ::1] room = np.empty((4 * sines + 2 + 3 * sines, n))
    cdef double[::1] counted = np.array(weights)
    cdef double[::1] before = np.empty(parameters.shape[0])
    cdef double[::1] vector = np.empty(parameters.shape[0])
    cdef double[:, ::1] damped = np.empty((parameters.shape[0], parameters.shape[0]))
    cdef Series series
    cdef Work work
    cdef double chi = 0, total = 0
    cdef int status
    series.x, series.y, series.n, series.sines, series.fixed = &x[0], &y[0], n, sines, fixed
    work.cosines, work.sinuses = &room[0, 0], &room[sines, 0]
    work.trial_cosines, work.trial_sinuses = &room[2 * sines, 0], &room[3 * sines, 0]
    work.residuals, work.trial_residuals = &room[4 * sines, 0], &room[4 * sines + 1, 0]
    work.gradients = &room[4 * sines + 2, 0]
    with nogil:
        status = robust(&series, &work, &weights[0], &counted[0], parameters, before, hessian, damped, vector, domain, &chi, &total)
    return status, chi, total


cdef int robust(Series *series, Work *work, const double *weights, double *counted, double[::1] parameters, double[::1] trial, double[:, ::1] hessian, double[:, ::1] damped, double[::1] vector, double domain, double *chi, double *total) noexcept nogil:
    """Fit again with less weight of outliers until chi-square stays."""
    cdef Py_ssize_t i, count = series.sines * (2 if series.fixed else 3)
    cdef double last, spread, far
    cdef int status, turn
    model(series, &parameters[0], work.cosines, work.sinuses, work.residuals)
    status = levenberg_marquardt(series, work, counted, parameters, trial, hessian, damped, vector, chi)
    total[0] = summed(counted, series.n)
    if status != DONE or domain <= 0:
        return status
    for turn in range(MOST * 3 * <int> series.sines):
        last = chi[0]
        if total[0] - count <= 0:
            return TOO_FEW
        spread = sqrt(last / (total[0] - count)) * domain
        for i in range(series.n):
            far = work.residuals[i] / spread
            far = 1 - far * far
            counted[i] = weights[i] * far * far if far >= 0 else 0.0
        status = levenberg_marquardt(series, work, counted, parameters, trial, hessian, damped, vector, chi)
        total[0] = summed(counted, series.n)
        if status != DONE:
            return status
        if fabs(last - chi[0]) < (TOLERANCE if chi[0] < 1 else TOLERANCE * chi[0]):
            break
    normal_equations(series, work, counted, &parameters[0], hessian, vector)
    return DONE


cdef int levenberg_marquardt(Series *series, Work *work, const double *weights, double[::1] parameters, double[::1] trial, double[:, ::1] hessian, double[:, ::1] damped, double[::1] vector, double *chi) noexcept nogil:
    """Least squares from `parameters`, of which `work` has the sines and residuals."""
    cdef double damping = FIRST_DAMPING, found, tolerance
    cdef Py_ssize_t k
    cdef int trials = 0, most = MOST * 3 * <int> series.sines, status
    chi[0] = chi_square(work.residuals, weights, series.n) + 1  # the first step may be uphill
    while trials < most:
        normal_equations(series, work, weights, &parameters[0], hessian, vector)
        status = step(series, work, weights, parameters, trial, hessian, damped, vector, chi[0], &damping, &trials, most, &found)
        if status != DONE:
            return status
        for k in range(parameters.shape[0]):
            parameters[k] = trial[k]
        swap(&work.cosines, &work.trial_cosines)
        swap(&work.sinuses, &work.trial_sinuses)
        swap(&work.residuals, &work.trial_residuals)
        tolerance = TOLERANCE if chi[0] < 1 else TOLERANCE * chi[0]
        if fabs(chi[0] - found) < tolerance:
            chi[0] = found
            return DONE
        chi[0] = found
        if damping > 1e-100:
            damping *= 0.1
    return ENDLESS


cdef int step(Series *series, Work *work, const double *weights, double[::1] parameters, double[::1] trial, double[:, ::1] hessian, double[:, ::1] damped, double[::1] vector, double chi, double *damping, int *trials, int most, double *found) noexcept nogil:
    """Half a step that does not go uphill: `trial`, and its chi-square."""
    cdef Py_ssize_t count = series.sines * (2 if series.fixed else 3), k, j
    while trials[0] < most:
        for k in range(count):
            hessian[k, k] *= 1 + damping[0]
        for k in range(count):
            for j in range(count):
                damped[k, j] = hessian[k, j]
            trial[k] = vector[k]
        if not solve(damped, &trial[0], count):
            return SINGULAR
        spread_out(series, &parameters[0], &trial[0])
        model(series, &trial[0], work.trial_cosines, work.trial_sinuses, work.trial_residuals)
        found[0] = chi_square(work.trial_residuals, weights, series.n)
        trials[0] += 1
        if found[0] <= chi:
            return DONE if found[0] > 0 else TOO_FEW
        if damping[0] < 1e20:
            damping[0] *= 10
    return ENDLESS


cdef void spread_out(Series *series, const double *parameters, double *trial) noexcept nogil:
    """From the step of the free parameters, in the first places of `trial`, to all of them."""
    cdef Py_ssize_t k
    if series.fixed:
        for k in range(series.sines - 1, -1, -1):
            trial[3 * k + 2] = parameters[3 * k + 2] + 0.5 * trial[2 * k + 1]
            trial[3 * k + 1] = parameters[3 * k + 1] + 0.5 * trial[2 * k]
            trial[3 * k] = parameters[3 * k]
        return
    for k in range(3 * series.sines):
        trial[k] = parameters[k] + 0.5 * trial[k]


cdef void model(Series *series, const double *parameters, double *cosines, double *sinuses, double *residuals) noexcept nogil:
    """Cosines and sines of all frequencies, and what is left of the data."""
    cdef Py_ssize_t i, k
    cdef double phase, c, s
    for i in range(series.n):
        residuals[i] = series.y[i]
    for k in range(series.sines):
        for i in range(series.n):
            phase = 2 * M_PI * series.x[i] * parameters[3 * k]
            c, s = cos(phase), sin(phase)
            cosines[k * series.n + i], sinuses[k * series.n + i] = c, s
            residuals[i] -= parameters[3 * k + 1] * c + parameters[3 * k + 2] * s


cdef void normal_equations(Series *series, Work *work, const double *weights, const double *parameters, double[:, ::1] hessian, double[::1] vector) noexcept nogil:
    """The Hessian J' w J and the vector J' w r of the free parameters."""
    cdef Py_ssize_t i, j, k, n = series.n, count = 0
    cdef double *c
    cdef double *s
    cdef double total
    cdef double *g = work.gradients
    for k in range(series.sines):
        c, s = work.cosines + k * n, work.sinuses + k * n
        if not series.fixed:
            for i in range(n):
                g[count * n + i] = 2 * M_PI * series.x[i] * (parameters[3 * k + 2] * c[i] - parameters[3 * k + 1] * s[i])
            count += 1
        for i in range(n):
            g[count * n + i] = c[i]
            g[(count + 1) * n + i] = s[i]
        count += 2
    for k in range(count):
        total = 0
        for i in range(n):
            work.trial_residuals[i] = weights[i] * g[k * n + i]
            total += work.trial_residuals[i] * work.residuals[i]
        vector[k] = total
        for j in range(k + 1):
            total = dot(work.trial_residuals, g + j * n, n)
            hessian[k, j] = hessian[j, k] = total


cdef double dot(const double *a, const double *b, Py_ssize_t n) noexcept nogil:
    """Sum of products, in four parts that do not wait for each other."""
    cdef double first = 0, second = 0, third = 0, fourth = 0
    cdef Py_ssize_t i, whole = n - n % 4
    for i in range(0, whole, 4):
        first += a[i] * b[i]
        second += a[i + 1] * b[i + 1]
        third += a[i + 2] * b[i + 2]
        fourth += a[i + 3] * b[i + 3]
    for i in range(whole, n):
        first += a[i] * b[i]
    return (first + second) + (third + fourth)


cdef double chi_square(const double *residuals, const double *weights, Py_ssize_t n) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += weights[i] * residuals[i] * residuals[i]
    return total


cdef double summed(const double *weights, Py_ssize_t n) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += weights[i]
    return total


cdef inline void swap(double **one, double **other) noexcept nogil:
    cdef double *kept = one[0]
    one[0] = other[0]
    other[0] = kept


cdef bint solve(double[:, ::1] matrix, double *vector, Py_ssize_t count) noexcept nogil:
    """Gaussian elimination with pivots, in place; False if the matrix is singular."""
    cdef Py_ssize_t i, j, k, pivot
    cdef double factor, kept
    for k in range(count):
        pivot = k
        for i in range(k + 1, count):
            if fabs(matrix[i, k]) > fabs(matrix[pivot, k]):
                pivot = i
        if not fabs(matrix[pivot, k]) > 0:
            return False
        if pivot != k:
            for j in range(k, count):
                kept, matrix[k, j] = matrix[k, j], matrix[pivot, j]
                matrix[pivot, j] = kept
            kept, vector[k] = vector[k], vector[pivot]
            vector[pivot] = kept
        for i in range(k + 1, count):
            factor = matrix[i, k] / matrix[k, k]
            if factor != 0:
                for j in range(k + 1, count):
                    matrix[i, j] -= factor * matrix[k, j]
                vector[i] -= factor * vector[k]
    for k in range(count - 1, -1, -1):
        for j in range(k + 1, count):
            vector[k] -= matrix[k, j] * vector[j]
        vector[k] /= matrix[k, k]
    return True


def powers(const double[::1] x, const double[::1] y, const double[::1] frequencies, double[::1] out):
    """Fill `out` with the floating-mean Lomb-Scargle power of `y` (whose mean is 0) at frequencies."""
    cdef Py_ssize_t k, i
    cdef double phase, c, s
    cdef Sums sums
    with nogil:
        for k in range(frequencies.shape[0]):
            clear(&sums)
            for i in range(x.shape[0]):
                phase = 2 * M_PI * frequencies[k] * x[i]
                c, s = cos(phase), sin(phase)
                add(&sums, c, s, y[i])
            out[k] = power(&sums, x.shape[0])


def powers_on_grid(const double[::1] x, const double[::1] y, double first, double step, double[::1] out):
    """The same at frequencies `first` + k `step`, of which each sine follows from the last."""
    cdef Py_ssize_t k, i, n = x.shape[0]
    cdef double[:, ::1] room = np.empty((4, n))
    cdef double c
    cdef Sums sums
    with nogil:
        for i in range(n):
            room[0, i], room[1, i] = cos(2 * M_PI * first * x[i]), sin(2 * M_PI * first * x[i])
            room[2, i], room[3, i] = cos(2 * M_PI * step * x[i]), sin(2 * M_PI * step * x[i])
        for k in range(out.shape[0]):
            clear(&sums)
            for i in range(n):
                c = room[0, i]
                add(&sums, c, room[1, i], y[i])
                room[0, i] = c * room[2, i] - room[1, i] * room[3, i]
                room[1, i] = c * room[3, i] + room[1, i] * room[2, i]
            out[k] = power(&sums, n)


cdef struct Sums:
    double c
    double s
    double cc
    double cs
    double yc
    double ys


cdef inline void clear(Sums *sums) noexcept nogil:
    sums.c = sums.s = sums.cc = sums.cs = sums.yc = sums.ys = 0


cdef inline void add(Sums *sums, double c, double s, double y) noexcept nogil:
    sums.c += c
    sums.s += s
    sums.cc += c * c
    sums.cs += c * s
    sums.yc += y * c
    sums.ys += y * s


cdef double power(const Sums *sums, Py_ssize_t n) noexcept nogil:
    """How much the best sine with a constant takes of the sum of squares: y' A^-1 y of both sines."""
    cdef double cc = sums.cc - sums.c * sums.c / n
    cdef double ss = n - sums.cc - sums.s * sums.s / n
    cdef double cs = sums.cs - sums.c * sums.s / n
    cdef double determinant = cc * ss - cs * cs
    if not determinant > 0:
        return 0.0
    return (sums.yc * sums.yc * ss + sums.ys * sums.ys * cc - 2 * sums.yc * sums.ys * cs) / determinant
