# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Running medians of an image with pixels that have no value. The GIL is released."""

import numpy as np

from libc.math cimport NAN, isnan
from libc.stdlib cimport free, malloc


def median_filter(double[:, ::1] image, int rows, int columns):
    """Median in a window around each pixel, of the values that there are; NaN without any.

    Parameters
    ----------
    image : (rows, columns) float64
        NaN where there is no value. Beyond its edges it is 0.
    rows, columns : int
        Of the window, odd.

    Returns
    -------
    (rows, columns) float64
    """
    made = np.empty((image.shape[0], image.shape[1]))
    cdef double[:, ::1] into = made
    cdef double *values = <double *> malloc(rows * columns * sizeof(double))
    if values == NULL:
        raise MemoryError
    cdef Py_ssize_t y, x
    with nogil:
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                into[y, x] = _median(values, _gather(image, y, x, rows // 2, columns // 2, values))
    free(values)
    return made


cdef int _gather(
    double[:, ::1] image, Py_ssize_t y, Py_ssize_t x, int up, int aside, double *values
) noexcept nogil:
    """Collect the known values of a window; how many."""
    cdef Py_ssize_t j, i
    cdef int count = 0
    cdef double value
    for j in range(y - up, y + up + 1):
        for i in range(x - aside, x + aside + 1):
            if j < 0 or i < 0 or j >= image.shape[0] or i >= image.shape[1]:
                value = 0
            else:
                value = image[j, i]
            if not isnan(value):
                values[count] = value
                count += 1
    return count


cdef double _median(double *values, int count) noexcept nogil:
    """The middle value, or the mean of both."""
    cdef int middle = count // 2, i
    cdef double upper, lower
    if count == 0:
        return NAN
    upper = _select(values, count, middle)
    if count % 2:
        return upper
    lower = values[0]
    for i in range(1, middle):
        if values[i] > lower:
            lower = values[i]
    return (lower + upper) / 2


cdef double _select(double *values, int count, int rank) noexcept nogil:
    """The value of a rank; those before it in memory are none greater (quickselect, Hoare 1961)."""
    cdef int low = 0, high = count - 1, i, j
    cdef double pivot, swap
    while low < high:
        pivot = values[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                swap = values[i]
                values[i] = values[j]
                values[j] = swap
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return values[rank]
