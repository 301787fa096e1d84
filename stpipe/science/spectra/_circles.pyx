# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""How much of every pixel lies in a circle, for circles that differ from plane to plane."""

from libc.math cimport asin, fabs, fmax, fmin, sqrt


def fractions(double x, double y, const double[::1] radii, int subpixels, double[:, :, ::1] out):
    """Fill `out` (planes, rows, columns) with the part of each pixel in the circle of its plane.

    The middle of the circles is (x, y) in pixels from 0, `radii` is (planes), in pixels. Of each pixel
    on the edge `subpixels` squared points are looked at; with 0 the area is exact. Circles without a
    positive radius are empty.
    """
    cdef Py_ssize_t plane, row, column
    with nogil:
        for plane in range(out.shape[0]):
            for row in range(out.shape[1]):
                for column in range(out.shape[2]):
                    out[plane, row, column] = part(column - x, row - y, radii[plane], subpixels)


cdef inline double part(double x, double y, double radius, int subpixels) noexcept nogil:
    """The part of the pixel with the middle (x, y) in the circle around 0."""
    cdef double far_x = fabs(x) + 0.5, far_y = fabs(y) + 0.5
    cdef double near_x = fmax(fabs(x) - 0.5, 0), near_y = fmax(fabs(y) - 0.5, 0)
    if not radius > 0 or near_x * near_x + near_y * near_y >= radius * radius:
        return 0.0
    if far_x * far_x + far_y * far_y < radius * radius:
        return 1.0
    if subpixels:
        return counted(x, y, radius, subpixels)
    return (
        quadrant(x + 0.5, y + 0.5, radius) - quadrant(x - 0.5, y + 0.5, radius)
        - quadrant(x + 0.5, y - 0.5, radius) + quadrant(x - 0.5, y - 0.5, radius)
    )


cdef double counted(double x, double y, double radius, int subpixels) noexcept nogil:
    """How many of the points of a pixel are in the circle."""
    cdef double step = 1.0 / subpixels, u, v = y - 0.5 - 0.5 * step
    cdef int i, j, inside = 0
    for i in range(subpixels):
        v += step
        u = x - 0.5 - 0.5 * step
        for j in range(subpixels):
            u += step
            inside += u * u + v * v < radius * radius
    return <double> inside / (subpixels * subpixels)


cdef double quadrant(double x, double y, double radius) noexcept nogil:
    """Area of the circle where the first coordinate is below x and the second below y."""
    cdef double chord
    x = fmin(fmax(x, -radius), radius)
    y = fmin(fmax(y, -radius), radius)
    chord = sqrt(radius * radius - y * y)
    if y < 0:
        x = fmin(fmax(x, -chord), chord)
        return segment(x, radius) - segment(-chord, radius) + y * (x + chord)
    return (
        segment(x, radius) - segment(-radius, radius)
        + segment(fmin(x, -chord), radius) - segment(-radius, radius)
        + y * (fmin(fmax(x, -chord), chord) + chord)
        + segment(fmax(x, chord), radius) - segment(chord, radius)
    )


cdef inline double segment(double x, double radius) noexcept nogil:
    """Area between the axis and the upper half of the circle, from the middle to x."""
    return 0.5 * (x * sqrt(fmax(radius * radius - x * x, 0)) + radius * radius * asin(fmin(fmax(x / radius, -1), 1)))
