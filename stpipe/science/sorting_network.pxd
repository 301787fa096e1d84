"""Sorting of many short lists at once.

Batcher's merge exchange (Knuth, The Art of Computer Programming, 5.2.2 M) compares the same places
in every list whatever their values are, so the compiler can work on several lists in one
instruction. Missing values are +inf and end up last.
"""

cdef enum:
    WIDTH = 64  # lists sorted together: a few vectors, small enough for the first cache

ctypedef fused real:
    float
    double


cdef inline void sort_rows(real *rows, Py_ssize_t n) noexcept nogil:
    """Sort each column of an array of `n` rows and WIDTH columns."""
    cdef Py_ssize_t top = 1, p, q, r, d, i
    while top * 2 < n:
        top *= 2
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            for i in range(n - d):
                if i & p == r:
                    exchange(rows + i * WIDTH, rows + (i + d) * WIDTH)
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2


cdef inline void exchange(real *a, real *b) noexcept nogil:
    cdef Py_ssize_t c
    cdef real low, high
    for c in range(WIDTH):
        low = a[c] if a[c] < b[c] else b[c]
        high = b[c] if a[c] < b[c] else a[c]
        a[c] = low
        b[c] = high


cdef inline double median_of_column(const real *column, Py_ssize_t n) noexcept nogil:
    """Median of the first `n` > 0 values of a sorted column."""
    cdef Py_ssize_t half = n // 2
    if n % 2:
        return column[half * WIDTH]
    return (<double> column[(half - 1) * WIDTH] + <double> column[half * WIDTH]) / 2
