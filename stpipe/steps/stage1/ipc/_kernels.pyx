# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Convolution of images with small kernels, row by row.

The few rows that a kernel reaches are copied into lines with zeros at both ends, so that no loop has
to ask where an image ends. Sums are in single precision, the central and largest element last. The GIL
is released.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset


cdef struct Lines:
    # Rows of an image that the kernel reaches; row `p`, counted with the margin, is in p % height.
    Py_ssize_t height  # of the kernel
    Py_ssize_t width
    Py_ssize_t length  # of a line: columns and margins
    Py_ssize_t columns
    float *values


def convolve(const float[:, :, :, :] data, float[:, :, :, :] out, const float[:, ::1] kernel):
    """Fill `out` with images (integrations, groups, rows, columns) convolved with one kernel.

    Columns of `data` and `out` are contiguous; beyond the images everything is 0.
    """
    cdef Py_ssize_t i, k, y
    cdef Lines lines
    make(&lines, kernel.shape[0], kernel.shape[1], data.shape[3])
    with nogil:
        for i in range(data.shape[0]):
            for k in range(data.shape[1]):
                start(&lines, data, i, k)
                for y in range(data.shape[2]):
                    load(&lines, data, i, k, y + lines.height - 1)
                    if lines.height == 3 and lines.width == 3:
                        fill_by_nine(&lines, y, &kernel[0, 0], &out[i, k, y, 0])
                    else:
                        fill_row(&lines, y, &kernel[0, 0], &out[i, k, y, 0])
    free(lines.values)


def convolve_each(const float[:, :, :, :] data, float[:, :, :, :] out, const float[:, :, :, :] kernels):
    """The same with a kernel for each pixel: (kernel rows, kernel columns, rows, columns)."""
    cdef Py_ssize_t i, k, y, j, n
    cdef Lines lines
    make(&lines, kernels.shape[0], kernels.shape[1], data.shape[3])
    cdef Py_ssize_t row = lines.height // 2, column = lines.width // 2
    with nogil:
        for i in range(data.shape[0]):
            for k in range(data.shape[1]):
                start(&lines, data, i, k)
                for y in range(data.shape[2]):
                    load(&lines, data, i, k, y + lines.height - 1)
                    memset(&out[i, k, y, 0], 0, lines.columns * sizeof(float))
                    for j in range(lines.height):
                        for n in range(lines.width):
                            if j != row or n != column:
                                add_each(source(&lines, y, j, n), &kernels[j, n, y, 0], lines.columns, &out[i, k, y, 0])
                    add_each(source(&lines, y, row, column), &kernels[row, column, y, 0], lines.columns, &out[i, k, y, 0])
    free(lines.values)


cdef int make(Lines *lines, Py_ssize_t height, Py_ssize_t width, Py_ssize_t columns) except -1:
    lines.height, lines.width, lines.columns = height, width, columns
    lines.length = columns + width - 1
    lines.values = <float *> calloc(height * lines.length, sizeof(float))
    if lines.values == NULL:
        raise MemoryError
    return 0


cdef void start(Lines *lines, const float[:, :, :, :] data, Py_ssize_t i, Py_ssize_t k) noexcept nogil:
    """Load what the first row needs, but for the last line."""
    cdef Py_ssize_t p
    for p in range(lines.height - 1):
        load(lines, data, i, k, p)


cdef void load(Lines *lines, const float[:, :, :, :] data, Py_ssize_t i, Py_ssize_t k, Py_ssize_t p) noexcept nogil:
    cdef Py_ssize_t y = p - lines.height // 2
    cdef float *line = lines.values + (p % lines.height) * lines.length + lines.width // 2
    if 0 <= y < data.shape[2]:
        memcpy(line, &data[i, k, y, 0], lines.columns * sizeof(float))
    else:
        memset(line, 0, lines.columns * sizeof(float))


cdef inline const float *source(const Lines *lines, Py_ssize_t y, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """The samples that element (j, n) of the kernel multiplies for row `y`."""
    cdef Py_ssize_t p = y + lines.height - j - 1
    return lines.values + (p % lines.height) * lines.length + lines.width - n - 1


cdef void fill_row(const Lines *lines, Py_ssize_t y, const float *kernel, float *out) noexcept nogil:
    cdef Py_ssize_t j, n, row = lines.height // 2, column = lines.width // 2
    memset(out, 0, lines.columns * sizeof(float))
    for j in range(lines.height):
        for n in range(lines.width):
            if j != row or n != column:
                add(source(lines, y, j, n), kernel[j * lines.width + n], lines.columns, out)
    add(source(lines, y, row, column), kernel[row * lines.width + column], lines.columns, out)


cdef void fill_by_nine(const Lines *lines, Py_ssize_t y, const float *k, float *out) noexcept nogil:
    """The same for the common 3 x 3 elements, in one pass."""
    cdef const float *above = source(lines, y, 0, 2)
    cdef const float *here = source(lines, y, 1, 2)
    cdef const float *below = source(lines, y, 2, 2)
    cdef float total
    cdef Py_ssize_t x
    for x in range(lines.columns):
        total = above[x + 2] * k[0] + above[x + 1] * k[1]
        total = total + above[x] * k[2]
        total = total + here[x + 2] * k[3]
        total = total + here[x] * k[5]
        total = total + below[x + 2] * k[6]
        total = total + below[x + 1] * k[7]
        total = total + below[x] * k[8]
        out[x] = total + here[x + 1] * k[4]


cdef inline void add(const float *samples, float weight, Py_ssize_t n, float *out) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(n):
        out[x] += samples[x] * weight


cdef inline void add_each(const float *samples, const float *weights, Py_ssize_t n, float *out) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(n):
        out[x] += samples[x] * weights[x]
