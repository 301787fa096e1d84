# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Loops over pixels that fall on a cube. The GIL is released; sums are in double precision.

The planes that a pixel reaches are found by its wavelength, the spaxels by its place: nothing is
searched. What a pixel covers of a spaxel is the area of its quadrilateral, clipped by the columns and
then by the rows of the grid (Sutherland & Hodgman 1974).
"""

from libc.math cimport ceil, exp, fabs, floor, pow, sqrt

cdef enum:
    TERMS = 64  # of polynomials in one variable


def evaluate(const double[:, ::1] coefficients, const double[::1] u, const double[::1] v, double[::1] out):
    """Fill `out` (points,) with sums of products of Chebyshev polynomials in u and v, in -1 to 1."""
    cdef Py_ssize_t k, i, j, n = coefficients.shape[0], m = coefficients.shape[1]
    cdef double row, total, first, second, later
    cdef double[TERMS] in_v
    if m > TERMS:
        raise ValueError("too many terms")
    with nogil:
        for k in range(u.shape[0]):
            in_v[0] = 1
            if m > 1:
                in_v[1] = v[k]
            for j in range(2, m):
                in_v[j] = 2 * v[k] * in_v[j - 1] - in_v[j - 2]
            total, first, second = 0, 1, u[k]
            for i in range(n):
                row = 0
                for j in range(m):
                    row = row + coefficients[i, j] * in_v[j]
                total = total + row * first
                later = 2 * u[k] * second - first
                first, second = second, later
            out[k] = total


cdef struct Grid:
    # Spaxels are `step` apart from x0, y0, the middle of the first; planes are at z, of depth dz.
    double x0
    double y0
    double step_x
    double step_y
    Py_ssize_t nx
    Py_ssize_t ny
    Py_ssize_t nz
    double deepest


cdef Grid grid_of(const double[::1] x, const double[::1] y, const double[::1] z, const double[::1] dz,
                  double step_x, double step_y):
    cdef Grid grid
    cdef Py_ssize_t k
    grid.x0, grid.y0, grid.step_x, grid.step_y = x[0], y[0], step_x, step_y
    grid.nx, grid.ny, grid.nz = x.shape[0], y.shape[0], z.shape[0]
    grid.deepest = 0
    for k in range(grid.nz):
        grid.deepest = max(grid.deepest, dz[k])
    return grid


cdef inline Py_ssize_t plane_from(const double[::1] z, double wave) noexcept nogil:
    """The first plane at `wave` or above."""
    cdef Py_ssize_t low = 0, high = z.shape[0], middle
    while low < high:
        middle = (low + high) // 2
        if z[middle] < wave:
            low = middle + 1
        else:
            high = middle
    return low


# --- drizzling ------------------------------------------------------------------------------------


cdef int clip(const double *x, const double *y, int n, double *out_x, double *out_y,
              double limit, double sign) noexcept nogil:
    """The part of a polygon where sign * x <= sign * limit; how many corners it has."""
    cdef int i, k = 0
    cdef double here, there, part
    cdef int j = n - 1
    for i in range(n):
        there = sign * (limit - x[j])
        here = sign * (limit - x[i])
        if (here >= 0) != (there >= 0):
            part = there / (there - here)
            out_x[k] = limit
            out_y[k] = y[j] + part * (y[i] - y[j])
            k = k + 1
        if here >= 0:
            out_x[k] = x[i]
            out_y[k] = y[i]
            k = k + 1
        j = i
    return k


cdef double area_of(const double *x, const double *y, int n) noexcept nogil:
    cdef double total = 0
    cdef int i, j = n - 1
    for i in range(n):
        total = total + (x[j] - x[0]) * (y[i] - y[0]) - (x[i] - x[0]) * (y[j] - y[0])
        j = i
    return fabs(total) / 2


cdef inline Py_ssize_t first_cell(double low, double start, double step) noexcept nogil:
    """The first spaxel that reaches beyond `low`; 0 at least."""
    cdef double cell = floor((low - start) / step + 0.5)
    return <Py_ssize_t> cell if cell > 0 else 0


cdef inline Py_ssize_t last_cell(double high, double start, double step, Py_ssize_t count) noexcept nogil:
    """One after the last spaxel that begins before `high`; `count` at most."""
    cdef double cell = ceil((high - start) / step + 0.5)
    if cell < 0:
        return 0
    return <Py_ssize_t> cell if cell < count else count


def drizzle(tuple axes, const double[::1] dz, tuple steps, const double[:, :, ::1] corners,
            tuple pixels, tuple sums):
    """Spread pixels, each by the area and the depth that it has in common with spaxels.

    `axes` are the middles of spaxels and planes (x, y, z), `steps` the sizes of spaxels in x and y,
    `corners` (pixels, 4, 2), `pixels` (wavelength, depth, flux, error) of each, and `sums` the arrays
    (z, y, x) that are added to: weighted flux, weights, weighted variance, counts.
    """
    cdef const double[::1] x = axes[0], y = axes[1], z = axes[2]
    cdef const double[::1] wave = pixels[0], depth = pixels[1], flux = pixels[2], error = pixels[3]
    cdef double[:, :, ::1] fluxes = sums[0], weights = sums[1], variances = sums[2]
    cdef float[:, :, ::1] counts = sums[3]
    cdef Grid grid = grid_of(x, y, z, dz, steps[0], steps[1])
    cdef Py_ssize_t k, ix, iy, iz, ix1, ix2, iy1, iy2, iz1, iz2
    cdef double[4] qx, qy
    cdef double[8] ax, ay, bx, by
    cdef double[16] cx, cy
    cdef int n, m, c
    cdef double low, high, area, weight, reach, overlap, scatter
    with nogil:
        for k in range(wave.shape[0]):
            reach = (depth[k] + grid.deepest) / 2
            iz1 = plane_from(z, wave[k] - reach)
            iz2 = plane_from(z, wave[k] + reach)
            if iz1 >= iz2:
                continue
            low = high = corners[k, 0, 0]
            for c in range(4):
                qx[c], qy[c] = corners[k, c, 0], corners[k, c, 1]
                low, high = min(low, qx[c]), max(high, qx[c])
            ix1 = first_cell(low, grid.x0, grid.step_x)
            ix2 = last_cell(high, grid.x0, grid.step_x, grid.nx)
            for ix in range(ix1, ix2):
                n = clip(qx, qy, 4, ax, ay, x[ix] - grid.step_x / 2, -1)
                n = clip(ax, ay, n, bx, by, x[ix] + grid.step_x / 2, 1)
                if n < 3:
                    continue
                low = high = by[0]
                for c in range(n):
                    low, high = min(low, by[c]), max(high, by[c])
                iy1 = first_cell(low, grid.y0, grid.step_y)
                iy2 = last_cell(high, grid.y0, grid.step_y, grid.ny)
                for iy in range(iy1, iy2):
                    m = clip(by, bx, n, cy, cx, y[iy] - grid.step_y / 2, -1)
                    m = clip(cy, cx, m, cy + 8, cx + 8, y[iy] + grid.step_y / 2, 1)
                    if m < 3:
                        continue
                    area = area_of(cx + 8, cy + 8, m)
                    for iz in range(iz1, iz2):
                        overlap = (min(wave[k] + depth[k] / 2, z[iz] + dz[iz] / 2)
                                   - max(wave[k] - depth[k] / 2, z[iz] - dz[iz] / 2))
                        weight = area * overlap
                        if overlap > 0 and weight > 0:
                            scatter = error[k] * weight
                            fluxes[iz, iy, ix] += flux[k] * weight
                            weights[iz, iy, ix] += weight
                            variances[iz, iy, ix] += scatter * scatter
                            counts[iz, iy, ix] += 1


# --- weights by distance --------------------------------------------------------------------------


def gather(tuple axes, const double[::1] dz, tuple steps, tuple pixels, tuple rules, tuple sums):
    """Let pixels count in all spaxels near them, by a weight that falls with their distance.

    `axes`, `steps` and `sums` as of `drizzle`; `pixels` (x, y, wavelength, flux, error) of each;
    `rules` of each: radius, depth, and the scale of an exponential, or power and the least distance.
    """
    cdef const double[::1] x = axes[0], y = axes[1], z = axes[2]
    cdef const double[::1] px = pixels[0], py = pixels[1], wave = pixels[2], flux = pixels[3], error = pixels[4]
    cdef const double[::1] radius = rules[0], depth = rules[1], scale = rules[2], softest = rules[len(rules) - 1]
    cdef bint exponential = len(rules) == 3
    cdef double[:, :, ::1] fluxes = sums[0], weights = sums[1], variances = sums[2]
    cdef float[:, :, ::1] counts = sums[3]
    cdef Grid grid = grid_of(x, y, z, dz, steps[0], steps[1])
    cdef Py_ssize_t k, ix, iy, iz, ix1, ix2, iy1, iy2, iz1
    cdef double dx, dy, d, off, weight, scatter
    with nogil:
        for k in range(wave.shape[0]):
            iz1 = plane_from(z, wave[k] - depth[k] - 1e-12)
            if iz1 >= grid.nz or z[iz1] - wave[k] > depth[k]:
                continue
            ix1 = first_cell(px[k] - radius[k], grid.x0, grid.step_x)
            ix2 = last_cell(px[k] + radius[k], grid.x0, grid.step_x, grid.nx)
            iy1 = first_cell(py[k] - radius[k], grid.y0, grid.step_y)
            iy2 = last_cell(py[k] + radius[k], grid.y0, grid.step_y, grid.ny)
            for iy in range(iy1, iy2):
                dy = y[iy] - py[k]
                for ix in range(ix1, ix2):
                    dx = x[ix] - px[k]
                    if sqrt(dx * dx + dy * dy) > radius[k]:
                        continue
                    d = (dx / grid.step_x) * (dx / grid.step_x) + (dy / grid.step_y) * (dy / grid.step_y)
                    iz = iz1
                    while iz < grid.nz and z[iz] - wave[k] <= depth[k]:
                        if fabs(z[iz] - wave[k]) <= depth[k]:
                            off = (z[iz] - wave[k]) / dz[iz]
                            if exponential:
                                weight = exp(-(d + off * off) / (scale[k] / grid.step_x))
                            else:
                                weight = pow(d + off * off, scale[k] / 2)
                                weight = 1 / max(weight, softest[k])
                            scatter = error[k] * weight
                            fluxes[iz, iy, ix] += flux[k] * weight
                            weights[iz, iy, ix] += weight
                            variances[iz, iy, ix] += scatter * scatter
                            counts[iz, iy, ix] += 1
                        iz = iz + 1


# --- what slices cover ----------------------------------------------------------------------------


def extent(const double[::1] z, const double[::1] dz, tuple pixels, tuple ends):
    """Fill `ends` (planes,) with the least and the largest place along a slice that pixels have there.

    `pixels` (lower end, upper end, wavelength, depth) of each; planes without pixels keep what they had.
    """
    cdef const double[::1] low = pixels[0], high = pixels[1], wave = pixels[2], depth = pixels[3]
    cdef double[::1] least = ends[0], largest = ends[1]
    cdef Py_ssize_t k, iz
    cdef double deepest = 0, reach
    for k in range(z.shape[0]):
        deepest = max(deepest, dz[k])
    with nogil:
        for k in range(wave.shape[0]):
            reach = (depth[k] + deepest) / 2
            iz = plane_from(z, wave[k] - reach)
            while iz < z.shape[0] and z[iz] <= wave[k] + reach:
                if fabs(z[iz] - wave[k]) < (depth[k] + dz[iz]) / 2:
                    if not least[iz] <= low[k]:
                        least[iz] = low[k]
                    if not largest[iz] >= high[k]:
                        largest[iz] = high[k]
                iz = iz + 1


def cover(tuple axes, tuple steps, const Py_ssize_t[::1] planes, const double[:, :, ::1] corners,
          unsigned char[:, :, ::1] covered):
    """Mark spaxels of which a quadrilateral (`corners`, for each of `planes`) covers a twentieth."""
    cdef const double[::1] x = axes[0], y = axes[1]
    cdef double dx = steps[0], dy = steps[1]
    cdef Py_ssize_t k, ix, iy, ix2, iy2
    cdef double[4] qx, qy
    cdef double[8] ax, ay, bx, by
    cdef double[16] cx, cy
    cdef int n, m, c
    cdef double low, high
    with nogil:
        for k in range(planes.shape[0]):
            low = high = corners[k, 0, 0]
            for c in range(4):
                qx[c], qy[c] = corners[k, c, 0], corners[k, c, 1]
                low, high = min(low, qx[c]), max(high, qx[c])
            ix2 = last_cell(high, x[0], dx, x.shape[0])
            for ix in range(first_cell(low, x[0], dx), ix2):
                n = clip(qx, qy, 4, ax, ay, x[ix] - dx / 2, -1)
                n = clip(ax, ay, n, bx, by, x[ix] + dx / 2, 1)
                if n < 3:
                    continue
                low = high = by[0]
                for c in range(n):
                    low, high = min(low, by[c]), max(high, by[c])
                iy2 = last_cell(high, y[0], dy, y.shape[0])
                for iy in range(first_cell(low, y[0], dy), iy2):
                    m = clip(by, bx, n, cy, cx, y[iy] - dy / 2, -1)
                    m = clip(cy, cx, m, cy + 8, cx + 8, y[iy] + dy / 2, 1)
                    if m > 2 and area_of(cx + 8, cy + 8, m) > 0.05 * dx * dy:
                        covered[planes[k], iy, ix] = 1
