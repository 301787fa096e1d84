# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Most likely straight lines through ramps, with the full covariance of their differences.

Brandt 2024, PASP 136, 045004 (the fit, "paper 1") and 045005 (jumps, "paper 2"). Neighbouring
differences of a ramp share a resultant, so their covariance matrix is tridiagonal and recursions
along the ramp invert it. LANES neighbouring pixels go through the recursions side by side.

Sums are taken in the order of the reference implementation: where a ramp has two good differences
left, and dropping either leaves a perfect fit, rounding decides which one is called a jump.

All functions work on any band of rows and release the GIL.
"""

from libc.math cimport INFINITY, NAN, isnan, pow, sqrt
from libc.stdlib cimport free, malloc

from stpipe.models import dqflags

cdef enum:
    LANES = 16
    RESCALE_EVERY = 10  # differences between rescalings of the determinant
    FEWEST = 3  # differences that are left when the search for jumps ends

cdef unsigned char UNUSABLE = dqflags.DO_NOT_USE | dqflags.SATURATED
cdef unsigned char SATURATED = dqflags.SATURATED
cdef unsigned char JUMP = dqflags.JUMP_DET
cdef unsigned char DO_NOT_USE = dqflags.DO_NOT_USE

cdef double ONE_OMITTED = 20.25  # gain in chi squared from which a difference is a jump: 4.5 sigma
cdef double TWO_OMITTED = 23.8  # the same for a pair of neighbouring differences

cdef struct Rows:
    # Rows of LANES values, one for each difference (or one more), of one integration.
    double *difference
    double *use  # 1 or 0
    double *photons  # covariance from photons and from reading: diagonals, then off-diagonals
    double *reads
    double *photons_off
    double *reads_off
    double *diagonal  # their sums, scaled
    double *off
    double *theta
    double *phi
    double *from_left  # Theta of the paper, and with data
    double *from_left_d
    double *from_right  # Phi of the paper, and with data
    double *from_right_d
    double *db  # B' and C' of the paper: row sums of the inverse, with data and without
    double *dc
    double *rate_one  # count rates and chi squared without one difference, without a pair
    double *chi_one
    double *rate_two
    double *chi_two

cdef enum:
    ROWS = 20

cdef struct Lanes:
    double[LANES] guess
    double[LANES] rate  # found by the search for jumps
    double[LANES] slope
    double[LANES] chi
    double[LANES] scale
    double[LANES] a  # the scalars of the paper
    double[LANES] b
    double[LANES] c
    double[LANES] gain
    double[LANES] noise
    double[LANES] dark
    bint[LANES] searching


cdef class Views:
    """Arrays of an integration, by name: (resultants, rows, columns) or (rows, columns).

    `data` in DN; `flags`, which get JUMP_DET where jumps are found; `gain`; `readnoise` of a single
    read in DN; average `dark`. Results are `slope`, its uncertainty `err`, `var_poisson`,
    `var_rnoise`, `chisq`, and bits added to `dq`.
    """

    cdef const float[:, :, :] data
    cdef unsigned char[:, :, :] flags
    cdef const float[:, :] gain
    cdef const double[:, :] readnoise
    cdef const float[:, :] dark
    cdef float[:, :] slope
    cdef float[:, :] err
    cdef float[:, :] var_poisson
    cdef float[:, :] var_rnoise
    cdef float[:, :] chisq
    cdef unsigned int[:, :] dq

    def __cinit__(self, arrays):
        self.data, self.flags, self.gain = arrays["data"], arrays["flags"], arrays["gain"]
        self.readnoise, self.dark = arrays["readnoise"], arrays["dark"]
        self.slope, self.err, self.dq = arrays["slope"], arrays["err"], arrays["dq"]
        self.var_poisson, self.var_rnoise = arrays["var_poisson"], arrays["var_rnoise"]
        self.chisq = arrays["chisq"]


cdef class Fitter:
    """Resultants of a readout, and the workspace of one thread."""

    cdef const double[:, :] times  # see `Resultants.matrix`
    cdef const unsigned char[:] pairs
    cdef Py_ssize_t n  # differences
    cdef double *memory
    cdef Rows rows
    cdef Lanes lanes

    def __cinit__(self, matrix, pairs):
        """Rows of `matrix`: step in time, covariances of photons and reads, then off-diagonals.

        `pairs` says behind which difference a pair with the next one may be omitted.
        """
        cdef double **row = <double **> &self.rows
        cdef Py_ssize_t k
        self.times, self.pairs = matrix, pairs
        self.n = self.times.shape[1]
        self.memory = <double *> malloc(ROWS * (self.n + 2) * LANES * sizeof(double))
        if self.memory == NULL:
            raise MemoryError
        for k in range(ROWS):
            row[k] = self.memory + k * (self.n + 2) * LANES

    def __dealloc__(self):
        free(self.memory)

    def fit(self, arrays):
        """Fit the ramps of an integration in place of the results that `arrays` hold; see `Views`."""
        cdef Views a = Views(arrays)
        cdef Py_ssize_t y, block
        with nogil:
            for y in range(a.data.shape[1]):
                for block in range((a.data.shape[2] + LANES - 1) // LANES):
                    self.fit_block(a, y, block * LANES)

    cdef void fit_block(self, Views a, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
        cdef Py_ssize_t c, width = min(<Py_ssize_t> LANES, a.data.shape[2] - x)
        cdef Lanes *l = &self.lanes
        self.load(a, y, x, width)
        self.search()
        for c in range(LANES):
            l.guess[c] = l.rate[c] * (l.rate[c] > 0) + l.dark[c]
        self.solve()
        for c in range(width):
            self.mark(a, y, x, c)
            self.store(a, y, x, c)

    cdef void load(self, Views a, Py_ssize_t y, Py_ssize_t x, Py_ssize_t width) noexcept nogil:
        """Differences per second, those that are usable, and their medians as first guesses."""
        cdef Py_ssize_t k, c, j
        cdef Rows *r = &self.rows
        cdef Lanes *l = &self.lanes
        for c in range(LANES):
            l.gain[c] = a.gain[y, x + c] if c < width else 1
            l.noise[c] = a.readnoise[y, x + c] if c < width else 1
            l.dark[c] = a.dark[y, x + c] if c < width else 0
            l.searching[c] = c < width
        for k in range(self.n):
            for c in range(LANES):
                r.difference[k * LANES + c] = r.use[k * LANES + c] = 1
            for c in range(width):
                j = k * LANES + c
                # The step is rounded to single precision, as it is in the reference implementation.
                r.difference[j] = <float> (a.data[k + 1, y, x + c] - a.data[k, y, x + c])
                r.difference[j] /= self.times[0, k]
                r.use[j] = (a.flags[k, y, x + c] | a.flags[k + 1, y, x + c]) == 0
        for c in range(LANES):
            l.guess[c] = median(r.difference + c, self.n, r.theta)
            l.guess[c] *= l.guess[c] > 0

    cdef void mark(self, Views a, Py_ssize_t y, Py_ssize_t x, Py_ssize_t c) noexcept nogil:
        """Flag differences that were usable and have been dropped."""
        cdef Py_ssize_t k
        cdef unsigned char here, before = a.flags[0, y, x + c]
        for k in range(self.n):
            here = a.flags[k + 1, y, x + c]
            if (before | here) == 0 and self.rows.use[k * LANES + c] == 0:
                a.flags[k + 1, y, x + c] = JUMP
            before = here

    cdef void store(self, Views a, Py_ssize_t y, Py_ssize_t x, Py_ssize_t c) noexcept nogil:
        cdef Rows *r = &self.rows
        cdef Lanes *l = &self.lanes
        a.slope[y, x + c] = <float> l.slope[c]
        a.err[y, x + c] = <float> sqrt(l.scale[c] / l.c[c])
        a.var_poisson[y, x + c] = <float> self.variance(r.photons, r.photons_off, c)
        a.var_rnoise[y, x + c] = <float> self.variance(r.reads, r.reads_off, c)
        a.chisq[y, x + c] = <float> l.chi[c]
        a.dq[y, x + c] |= summary(a.flags, y, x + c)

    cdef double variance(
        self, const double *diagonal, const double *off, Py_ssize_t c
    ) noexcept nogil:
        """Variance of the slope from one kind of noise."""
        cdef Py_ssize_t k
        cdef double total = 0, between = 0, before = 0, weight
        for k in range(self.n):
            weight = self.rows.dc[k * LANES + c] / self.lanes.c[c]
            total += weight * weight * diagonal[k * LANES + c]
            if k:
                between += weight * before * off[(k - 1) * LANES + c]
            before = weight
        return total + 2 * between

    # --- the fit --------------------------------------------------------------------------------------

    cdef void solve(self) noexcept nogil:
        """Slopes and chi squared of all lanes, for the covariance that their guesses imply."""
        self.covariance()
        self.rescale()
        self.recurse()
        self.sums()

    cdef void covariance(self) noexcept nogil:
        cdef Py_ssize_t k, c, j
        cdef Rows *r = &self.rows
        cdef Lanes *l = &self.lanes
        for k in range(self.n):
            for c in range(LANES):
                j = k * LANES + c
                r.photons[j] = l.guess[c] / l.gain[c] * self.times[1, k]
                r.reads[j] = l.noise[c] * l.noise[c] * self.times[2, k]
                r.diagonal[j] = r.photons[j] + r.reads[j]
        for k in range(self.n - 1):
            for c in range(LANES):
                j = k * LANES + c
                r.photons_off[j] = l.guess[c] / l.gain[c] * self.times[3, k]
                r.reads_off[j] = l.noise[c] * l.noise[c] * self.times[4, k]
                r.off[j] = r.photons_off[j] + r.reads_off[j]

    cdef void rescale(self) noexcept nogil:
        """Divide by a scale that makes the determinant 1, so that long ramps do not overflow.

        Multiplying the matrix by f multiplies theta[k] by f**k; the running product is kept.
        """
        cdef Py_ssize_t k, c
        cdef double factor, theta, before, last, scale, ratio
        cdef Rows *r = &self.rows
        for c in range(LANES):
            before, last, scale = 1, r.diagonal[c], 1
            for k in range(2, self.n + 1):
                theta = (
                    r.diagonal[(k - 1) * LANES + c] / scale * last
                    - r.off[(k - 2) * LANES + c] * r.off[(k - 2) * LANES + c]
                    / (scale * scale) * before
                )
                before, last = last, theta
                if k % RESCALE_EVERY == 0 or k == self.n:
                    factor = pow(theta, 1.0 / k)
                    scale *= factor
                    ratio = theta / factor
                    before, last = before / ratio, 1
            self.lanes.scale[c] = scale
        for k in range(self.n):
            for c in range(LANES):
                r.diagonal[k * LANES + c] /= self.lanes.scale[c]
        for k in range(self.n - 1):
            for c in range(LANES):
                r.off[k * LANES + c] /= self.lanes.scale[c]
                r.off[k * LANES + c] *= r.use[(k + 1) * LANES + c]
                r.off[k * LANES + c] *= r.use[k * LANES + c]

    cdef void recurse(self) noexcept nogil:
        """Paper 1, equations 38-48: from the first difference on, and from the last one back."""
        cdef Py_ssize_t k, n = self.n
        cdef Rows *r = &self.rows
        start_recursions(r, n)
        for k in range(1, n):
            go_right(r, k)
        for k in range(n - 2, -1, -1):
            go_left(r, k)

    cdef void sums(self) noexcept nogil:
        """Paper 1, equations 61-75: row sums of the inverse, and what follows from them."""
        cdef Py_ssize_t k, c, n = self.n
        cdef Rows *r = &self.rows
        cdef Lanes *l = &self.lanes
        cdef double[LANES] cross, square
        for c in range(LANES):
            cross[c] = square[c] = l.b[c] = l.c[c] = 0
        for k in range(n):
            add_row(r, l, k, r.theta + n * LANES, cross, square)
        for c in range(LANES):
            l.a[c] = 2 * cross[c] + square[c]
            l.slope[c] = l.b[c] * (1 / l.c[c])
            l.chi[c] = (l.a[c] - l.b[c] * l.b[c] / l.c[c]) / l.scale[c]

    # --- jumps ----------------------------------------------------------------------------------------

    cdef void search(self) noexcept nogil:
        """Drop the difference, or pair, that improves the fit most, until nothing stands out."""
        cdef Py_ssize_t j, c
        cdef bint more
        for j in range(self.n):
            self.solve()
            self.omit()
            more = False
            for c in range(LANES):
                if j == 0:
                    self.lanes.rate[c] = self.lanes.slope[c]
                if self.lanes.searching[c]:
                    self.lanes.searching[c] = self.drop(c)
                    more |= self.lanes.searching[c]
            if not more:
                return

    cdef void omit(self) noexcept nogil:
        """Paper 2, sections 3.1 and 3.2: fits without one difference and without two neighbours."""
        cdef Py_ssize_t k
        cdef Rows *r = &self.rows
        cdef const double *last = r.theta + self.n * LANES
        for k in range(self.n):
            omit_one(r, &self.lanes, k, last)
        for k in range(self.n - 1):
            omit_two(r, &self.lanes, k, last)
        for k in range(self.n):
            restore_one(r, &self.lanes, k)
        for k in range(self.n - 1):
            restore_two(r, k)

    cdef bint drop(self, Py_ssize_t c) noexcept nogil:
        """Drop what improves the fit of a lane most; say whether to search it once more."""
        cdef Py_ssize_t k
        cdef double chi = self.lanes.chi[c], left = 0
        cdef double one = self.largest_one(c), two = self.largest_two(c)
        cdef bint single = one - ONE_OMITTED > two - TWO_OMITTED
        cdef double best = one if single else two
        cdef double rate = 0
        cdef bint found = False
        # What is not a number is no reason to drop anything.
        if isnan(one) or isnan(two) or not best > (ONE_OMITTED if single else TWO_OMITTED):
            return False
        for k in range(self.n if single else self.n - 1):
            if single and chi - self.rows.chi_one[k * LANES + c] == best:
                rate, found = rate + self.rows.rate_one[k * LANES + c], True
                self.rows.use[k * LANES + c] = 0
            elif not single and chi - self.rows.chi_two[k * LANES + c] == best:
                rate, found = rate + self.rows.rate_two[k * LANES + c], True
                self.rows.use[k * LANES + c] = self.rows.use[(k + 1) * LANES + c] = 0
        if not found:
            return False
        self.lanes.rate[c] = rate
        for k in range(self.n):
            left += self.rows.use[k * LANES + c]
        return left > FEWEST

    cdef double largest_one(self, Py_ssize_t c) noexcept nogil:
        """Most that chi squared falls without one difference; NaN when any is."""
        cdef double best = self.lanes.chi[c] - self.rows.chi_one[c], now
        cdef Py_ssize_t k
        for k in range(1, self.n):
            now = self.lanes.chi[c] - self.rows.chi_one[k * LANES + c]
            best = NAN if isnan(now) or isnan(best) else max(best, now)
        return best

    cdef double largest_two(self, Py_ssize_t c) noexcept nogil:
        """Most that chi squared falls without two neighbours around an averaged resultant."""
        cdef double best = -INFINITY, now
        cdef Py_ssize_t k
        for k in range(self.n - 1):
            now = (self.lanes.chi[c] - self.rows.chi_two[k * LANES + c]) * self.pairs[k]
            best = NAN if isnan(now) or isnan(best) else max(best, now)
        return best


cdef inline double sign(Py_ssize_t k) noexcept nogil:
    return 1 if k % 2 else -1


cdef void start_recursions(Rows *r, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t c, last = (n - 1) * LANES
    for c in range(LANES):
        r.theta[c] = 1
        r.theta[LANES + c] = r.diagonal[c]
        r.from_left[c] = -1
        r.from_left_d[c] = 0
        r.from_left_d[LANES + c] = -(r.difference[c] * r.use[c])
        r.phi[n * LANES + c] = 1
        r.phi[last + c] = r.diagonal[last + c]
        r.from_right[last + c] = r.from_right_d[last + c] = 0


cdef void go_right(Rows *r, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t c, j, before
    cdef double s = sign(k), off, signal
    for c in range(LANES):
        j = k * LANES + c
        before = j - LANES
        off, signal = r.off[before], r.difference[j] * r.use[j]
        r.theta[j + LANES] = r.diagonal[j] * r.theta[j] - off * off * r.theta[before]
        r.from_left[j] = r.from_left[before] * off + s * r.theta[j]
        r.from_left_d[j + LANES] = off * r.from_left_d[j] + s * signal * r.theta[j]


cdef void go_left(Rows *r, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t c, j, after
    cdef double s = sign(k + 1), off, signal, beyond
    for c in range(LANES):
        j = k * LANES + c
        after = j + LANES
        off, beyond = r.off[j], r.phi[after + LANES]
        signal = r.difference[after] * r.use[after]
        r.phi[j] = r.diagonal[j] * r.phi[after] - off * off * beyond
        r.from_right[j] = r.from_right[after] * off + s * off * beyond
        r.from_right_d[j] = (r.from_right_d[after] + s * signal * beyond) * off


cdef void add_row(
    Rows *r, Lanes *l, Py_ssize_t k, const double *last, double *cross, double *square
) noexcept nogil:
    cdef Py_ssize_t c, j
    cdef double s = sign(k), signal, off, phi
    for c in range(LANES):
        j = k * LANES + c
        signal, phi = r.difference[j] * r.use[j], r.phi[j + LANES]
        off = r.off[j - LANES] if k else 1
        r.dc[j] = s / last[c] * (phi * r.from_left[j] + r.theta[j] * r.from_right[j]) * r.use[j]
        r.db[j] = s / last[c] * (
            phi * r.from_left_d[j + LANES] + r.theta[j] * r.from_right_d[j]
        )
        cross[c] += signal * s / last[c] * off * phi * r.from_left_d[j]
        square[c] += signal * signal * r.theta[j] * phi / last[c]
        l.b[c] += signal * r.dc[j]
        l.c[c] += r.dc[j]


cdef void omit_one(Rows *r, const Lanes *l, Py_ssize_t k, const double *last) noexcept nogil:
    """Count rate and chi squared when difference `k` has a step of its own."""
    cdef Py_ssize_t c, j
    cdef double inverse, rate, step, db, dc
    for c in range(LANES):
        j = k * LANES + c
        db, dc = r.db[j], r.dc[j]
        inverse = r.theta[j] * r.phi[j + LANES] / last[c] * r.use[j]
        rate = (inverse * l.b[c] - db * dc) / (l.c[c] * inverse - dc * dc)
        step = (db - rate * dc) / inverse
        r.rate_one[j] = rate
        r.chi_one[j] = (
            l.a[c] + rate * rate * l.c[c] - 2 * rate * l.b[c] + step * step * inverse
            - 2 * step * db + 2 * rate * step * dc
        ) / l.scale[c]


cdef void omit_two(Rows *r, const Lanes *l, Py_ssize_t k, const double *last) noexcept nogil:
    """The same when differences `k` and `k` + 1 have steps of their own."""
    cdef Py_ssize_t c, i, j
    cdef double first, second, between, own, shared, mixed, rate, one, two
    for c in range(LANES):
        i = k * LANES + c
        j = i + LANES
        first = r.theta[i] * r.phi[j] / last[c] * r.use[i]
        second = r.theta[j] * r.phi[j + LANES] / last[c] * r.use[j]
        between = -r.off[i] * r.theta[i] * r.phi[j + LANES] / last[c]
        own = r.dc[i] * r.dc[i] - l.c[c] * first
        shared = r.dc[i] * r.dc[j] - l.c[c] * between
        mixed = l.b[c] * r.dc[i] - r.db[i] * l.c[c]
        two = mixed / own - (l.b[c] * r.dc[j] - r.db[j] * l.c[c]) / shared
        two /= shared / own - (r.dc[j] * r.dc[j] - l.c[c] * second) / shared
        one = (mixed - two * shared) / own
        rate = (l.b[c] - one * r.dc[i] - two * r.dc[j]) / l.c[c]
        r.rate_two[i] = rate
        r.chi_two[i] = l.a[c] + rate * rate * l.c[c] + one * one * first + two * two * second
        r.chi_two[i] -= 2 * rate * l.b[c] + 2 * one * r.db[i] + 2 * two * r.db[j]
        r.chi_two[i] += (
            2 * rate * one * r.dc[i] + 2 * rate * two * r.dc[j] + 2 * one * two * between
        )
        r.chi_two[i] /= l.scale[c]


cdef void restore_one(Rows *r, const Lanes *l, Py_ssize_t k) noexcept nogil:
    """Nothing changes when a difference is omitted that is not used anyway."""
    cdef Py_ssize_t c, j
    for c in range(LANES):
        j = k * LANES + c
        if r.use[j] == 0:
            r.rate_one[j], r.chi_one[j] = l.slope[c], l.chi[c]


cdef void restore_two(Rows *r, Py_ssize_t k) noexcept nogil:
    """Of a pair of which one is not used, the other alone is omitted."""
    cdef Py_ssize_t c, i, j
    for c in range(LANES):
        i = k * LANES + c
        j = i + LANES
        if r.use[j] == 0:
            r.rate_two[i], r.chi_two[i] = r.rate_one[i], r.chi_one[i]
        if r.use[i] == 0:
            r.rate_two[i], r.chi_two[i] = r.rate_one[j], r.chi_one[j]


cdef double median(const double *column, Py_ssize_t n, double *ordered) noexcept nogil:
    """Median of every LANES-th value; NaN when one is. `ordered` is scratch space."""
    cdef Py_ssize_t k, j
    cdef double value
    for k in range(n):
        value = column[k * LANES]
        if isnan(value):
            return NAN
        j = k
        while j > 0 and ordered[j - 1] > value:
            ordered[j] = ordered[j - 1]
            j -= 1
        ordered[j] = value
    return ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2


cdef unsigned int summary(
    const unsigned char[:, :, :] flags, Py_ssize_t y, Py_ssize_t x
) noexcept nogil:
    """Flags of a whole ramp: SATURATED and JUMP_DET of any group; DO_NOT_USE without a usable one."""
    cdef Py_ssize_t k, unusable = 0
    cdef unsigned int seen = 0
    for k in range(flags.shape[0]):
        seen |= flags[k, y, x]
        unusable += (flags[k, y, x] & UNUSABLE) != 0
    seen &= SATURATED | JUMP
    return seen | DO_NOT_USE if unusable == flags.shape[0] else seen
