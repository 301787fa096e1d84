# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Arithmetic on one sample after the other, in one pass where numpy would take several.

A piece of a row stays in the first cache while all groups go through it. The GIL is released.
"""

from stpipe.models import dqflags

cdef unsigned char SATURATED = dqflags.SATURATED

cdef enum:
    PIECE = 256  # columns


def correct_groups(const float[:, :, :, :] data, const unsigned char[:, :, :, :] flags, const float[:, :, :] coeffs, float[:, :, :, ::1] out):
    """Fill `out` with polynomials of `data`, but with the data themselves where SATURATED.

    `data`, `flags` and `out` are (integrations, groups, rows, columns), `coeffs` (terms, rows,
    columns), all with contiguous columns; Horner's rule in single precision.
    """
    cdef Py_ssize_t i, k, y, x, n, piece
    with nogil:
        for y in range(data.shape[2]):
            for piece in range((data.shape[3] + PIECE - 1) // PIECE):
                x = piece * PIECE
                n = min(<Py_ssize_t> PIECE, data.shape[3] - x)
                for i in range(data.shape[0]):
                    for k in range(data.shape[1]):
                        apply(coeffs, &data[i, k, y, x], y, x, n, &out[i, k, y, x])
                        keep_saturated(&data[i, k, y, x], &flags[i, k, y, x], n, &out[i, k, y, x])


cdef void apply(const float[:, :, :] coeffs, const float *samples, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n, float *out) noexcept nogil:
    cdef Py_ssize_t term, last = coeffs.shape[0] - 1
    multiply(&coeffs[last, y, x], samples, n, out)
    for term in range(last - 1, 0, -1):
        add_and_multiply(&coeffs[term, y, x], samples, n, out)
    add(&coeffs[0, y, x], n, out)


cdef inline void multiply(const float *coeffs, const float *samples, Py_ssize_t n, float *out) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        out[c] = coeffs[c] * samples[c]


cdef inline void add_and_multiply(const float *coeffs, const float *samples, Py_ssize_t n, float *out) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        out[c] = (out[c] + coeffs[c]) * samples[c]


cdef inline void add(const float *coeffs, Py_ssize_t n, float *out) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        out[c] += coeffs[c]


cdef inline void keep_saturated(const float *samples, const unsigned char *flags, Py_ssize_t n, float *out) noexcept nogil:
    cdef Py_ssize_t c
    cdef unsigned char all_flags = 0
    for c in range(n):
        all_flags |= flags[c]
    if all_flags & SATURATED:
        for c in range(n):
            out[c] = samples[c] if flags[c] & SATURATED else out[c]


def subtract_drift(const float[:, :, :, :] data, const double[:, :, :] rows, const double[:, :, :] columns, float[:, :, :, ::1] out):
    """Fill `out` with `data` minus the drift of columns, minus that of rows, in double precision.

    `rows` is (integrations, groups, rows), `columns` (integrations, groups, columns); `data` has
    contiguous columns.
    """
    cdef Py_ssize_t i, k, y
    with nogil:
        for i in range(data.shape[0]):
            for k in range(data.shape[1]):
                for y in range(data.shape[2]):
                    subtract(&data[i, k, y, 0], columns[i, k], rows[i, k, y], &out[i, k, y, 0])


cdef inline void subtract(const float *samples, const double[:] columns, double row, float *out) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(columns.shape[0]):
        out[x] = <float> (samples[x] - columns[x] - row)


def subtract_output_drift(const float[:, :, :, :] data, const double[:, :, :, :] drift, Py_ssize_t first_row, float[:, :, :, ::1] out):
    """Fill `out` with `data` minus the drift of the output that reads a column, in double precision.

    `drift` is (integrations, groups, row parities, outputs); outputs read columns in turn, and `data`,
    with contiguous columns, starts with `first_row` of the detector.
    """
    cdef Py_ssize_t i, k, y, x, outputs = drift.shape[3]
    cdef const double *levels
    with nogil:
        for i in range(data.shape[0]):
            for k in range(data.shape[1]):
                for y in range(data.shape[2]):
                    levels = &drift[i, k, (first_row + y) % 2, 0]
                    for x in range(data.shape[3]):
                        out[i, k, y, x] = <float> (data[i, k, y, x] - levels[x % outputs])
