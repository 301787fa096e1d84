# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Optimally weighted straight lines through the usable segments of every ramp.

The slope of a segment is a dot product of its samples with weights that depend only on its length
and on one of six powers; they are computed once for each pair. Times are seconds and are rounded to
single precision first, as the reference implementation receives them; sums are in double precision.

All functions work on any band of rows and release the GIL.
"""

from libc.math cimport INFINITY, NAN, fabs, isnan, powf, sqrt
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from stpipe.models import dqflags
from stpipe.science.sorting_network cimport WIDTH, median_of_column, sort_rows

cdef enum:
    POWERS = 6

cdef unsigned char DO_NOT_USE = dqflags.DO_NOT_USE
cdef unsigned char SATURATED = dqflags.SATURATED
cdef unsigned char JUMP = dqflags.JUMP_DET
cdef unsigned char PERSISTENCE = dqflags.PERSISTENCE
cdef unsigned char CHARGELOSS = dqflags.CHARGELOSS
cdef unsigned int NO_GAIN = dqflags.NO_GAIN_VALUE

cdef double LARGE_VARIANCE = 1e6  # a variance this large means that nothing is known

# How the one sample of a ramp was taken.
cdef enum Mode:
    GROUPS
    FIRST_GROUP  # only the first group is good
    ZERO_FRAME  # no group is good, but the first frame is

cdef struct Timing:
    double group
    double first_group  # from reset to the mean of the first group's frames
    double frame
    double pedestal  # groups from reset to the mean of the first group's frames

cdef struct Segment:
    Py_ssize_t start
    Py_ssize_t end
    double slope
    double var_p
    double var_r

cdef struct Sums:
    double inv_p
    double inv_r
    double inv_e
    double slope

cdef struct Total:
    # What the integrations so far have for the exposure.
    Sums sums
    double inv_r  # the sum of inverse read noise as if no charge had been lost
    unsigned int dq
    int unusable
    int saturated
    bint partly_saturated
    bint chargeloss

cdef struct Fit:
    double slope
    double var_p
    double var_r
    double err
    unsigned int dq

cdef struct Integration:
    Mode mode
    unsigned char seen  # all flags together
    double median  # of all differences in DN; meant for integrations without flags
    Py_ssize_t good
    Py_ssize_t unusable
    Py_ssize_t saturated

cdef struct Pixel:
    double gain
    double noise  # of one group, in e-
    double dark
    double rate  # median count rate plus dark, for Poisson noise
    double known_rate  # the median count rate, if it was found beforehand
    unsigned int dq

cdef struct Work:
    # Everything that one pixel needs, allocated once.
    Py_ssize_t nints
    Py_ssize_t ngroups
    bint suppress_one_group  # else ramps of one good group have timings of their own
    bint knows_rate
    Timing timing
    Pixel pixel
    double *data  # (integrations, groups) in DN; NaN where saturated
    unsigned char *flags
    unsigned char *original  # the same before single groups were suppressed, when it matters
    Integration *integrations
    Fit *fits
    Segment *segments  # of one integration
    double *differences
    double **weights  # by power and length; NULL until needed

cdef struct Run:
    # Groups from `first` up to but without `end`.
    Py_ssize_t first
    Py_ssize_t end

cdef struct Block:
    # WIDTH neighbouring pixels side by side, so that planes of the cubes are read in long strides.
    float *data
    unsigned char *flags
    unsigned char *seen  # (integrations)
    double *medians  # of differences, (integrations); NaN without any
    float *ordered
    int *missing  # differences that are NaN, (integrations)
    Run *runs  # groups that are not DO_NOT_USE in all pixels, (integrations)
    unsigned char *clean  # pixels that `fit_clean` has done


cdef class Inputs:
    """What is fitted: views of the arrays of a band, and the times."""

    cdef const float[:, :, :, :] data
    cdef const unsigned char[:, :, :, :] flags
    cdef const unsigned char[:, :, :, :] original
    cdef const unsigned int[:, :] pixeldq
    cdef const float[:, :] gain
    cdef const float[:, :] readnoise
    cdef const float[:, :] dark
    cdef const float[:, :, :] zeroframe
    cdef bint has_zeroframe
    cdef const double[:, :] known_rates
    cdef double noise_scale
    cdef Work work
    cdef Block block

    def __cinit__(self, arrays, times, bint suppress_one_group, rates=None):
        """Arrays by attribute name (zeroframe may be None); times as in `Timing`, and nframes.

        `rates` (rows, columns) are the median count rates of all integrations, in DN/s, where the
        arrays have a part of them only.
        """
        self.data, self.flags, self.original = arrays["data"], arrays["groupdq"], arrays["original"]
        self.pixeldq, self.gain = arrays["pixeldq"], arrays["gain"]
        self.readnoise, self.dark = arrays["readnoise"], arrays["dark"]
        self.has_zeroframe = arrays["zeroframe"] is not None
        if self.has_zeroframe:
            self.zeroframe = arrays["zeroframe"]
        self.work.knows_rate = rates is not None
        if self.work.knows_rate:
            self.known_rates = rates
        self.noise_scale = sqrt(2.0 * times["nframes"])
        self.work.nints, self.work.ngroups = self.data.shape[0], self.data.shape[1]
        self.work.suppress_one_group = suppress_one_group
        self.work.timing.group, self.work.timing.frame = times["group"], times["frame"]
        self.work.timing.first_group = times["first_group"]
        self.work.timing.pedestal = times["pedestal"]
        allocate(&self.work)
        allocate_block(&self.block, &self.work)

    def __dealloc__(self):
        release(&self.work)
        release_block(&self.block)


cdef int allocate(Work *w) except -1:
    cdef Py_ssize_t samples = w.nints * w.ngroups
    w.data = <double *> malloc(samples * sizeof(double))
    w.flags = <unsigned char *> malloc(samples)
    w.original = <unsigned char *> malloc(samples)
    w.integrations = <Integration *> malloc(w.nints * sizeof(Integration))
    w.fits = <Fit *> malloc((w.nints + 1) * sizeof(Fit))
    w.segments = <Segment *> malloc((w.ngroups + 1) * sizeof(Segment))
    w.differences = <double *> malloc(w.ngroups * sizeof(double))
    w.weights = <double **> calloc(POWERS * (w.ngroups + 1), sizeof(double *))
    if (
        w.data == NULL or w.flags == NULL or w.original == NULL or w.integrations == NULL
        or w.fits == NULL or w.segments == NULL or w.differences == NULL or w.weights == NULL
    ):
        raise MemoryError
    return 0


cdef void release(Work *w) noexcept:
    cdef Py_ssize_t j
    if w.weights != NULL:
        for j in range(POWERS * (w.ngroups + 1)):
            free(w.weights[j])
    free(w.data)
    free(w.flags)
    free(w.original)
    free(w.integrations)
    free(w.fits)
    free(w.segments)
    free(w.differences)
    free(w.weights)


cdef int allocate_block(Block *b, const Work *w) except -1:
    cdef Py_ssize_t samples = w.nints * w.ngroups * WIDTH
    b.data = <float *> malloc(samples * sizeof(float))
    b.flags = <unsigned char *> malloc(samples)
    b.seen = <unsigned char *> malloc(w.nints * WIDTH)
    b.medians = <double *> malloc(w.nints * WIDTH * sizeof(double))
    b.ordered = <float *> malloc(w.ngroups * WIDTH * sizeof(float))
    b.missing = <int *> malloc(w.nints * WIDTH * sizeof(int))
    b.runs = <Run *> malloc(w.nints * sizeof(Run))
    b.clean = <unsigned char *> malloc(WIDTH)
    if (
        b.data == NULL or b.flags == NULL or b.seen == NULL or b.medians == NULL
        or b.ordered == NULL or b.missing == NULL or b.runs == NULL or b.clean == NULL
    ):
        raise MemoryError
    return 0


cdef void release_block(Block *b) noexcept:
    free(b.data)
    free(b.flags)
    free(b.seen)
    free(b.medians)
    free(b.ordered)
    free(b.missing)
    free(b.runs)
    free(b.clean)


cdef class Rates:
    """Arrays to fill, (integrations + 1, rows, columns); the last plane is for the exposure."""

    cdef float[:, :, ::1] slope
    cdef unsigned int[:, :, ::1] dq
    cdef float[:, :, ::1] var_p
    cdef float[:, :, ::1] var_r
    cdef float[:, :, ::1] err

    def __cinit__(self, slope, dq, var_poisson, var_rnoise, err):
        self.slope, self.dq, self.err = slope, dq, err
        self.var_p, self.var_r = var_poisson, var_rnoise


def fit(Inputs inputs, Rates rates):
    """Fill `rates`: what most pixels are, side by side; what has flags or gaps, one by one."""
    cdef Py_ssize_t y, b, x, c, n
    with nogil:
        for y in range(inputs.data.shape[2]):
            for b in range((inputs.data.shape[3] + WIDTH - 1) // WIDTH):
                x = b * WIDTH
                n = min(<Py_ssize_t> WIDTH, inputs.data.shape[3] - x)
                load_block(inputs, y, x)
                fit_clean(inputs, rates, y, x, n)
                for c in range(n):
                    if not inputs.block.clean[c]:
                        load(inputs, y, x + c)
                        fit_pixel(&inputs.work)
                        store(&inputs.work, rates, y, x + c)


cdef class Totals:
    """Arrays (rows, columns) in which integrations add up; zeros at first. See `Total`."""

    cdef double[:, :] inv_p
    cdef double[:, :] inv_r
    cdef double[:, :] slope
    cdef double[:, :] inv_r_kept
    cdef unsigned int[:, :] dq
    cdef int[:, :] unusable
    cdef int[:, :] saturated
    cdef unsigned char[:, :] partly_saturated
    cdef unsigned char[:, :] chargeloss

    def __cinit__(self, arrays):
        """Arrays by name; `inv_r_kept` is `inv_r` of `Total`."""
        self.inv_p, self.inv_r, self.slope = arrays["inv_p"], arrays["inv_r"], arrays["slope"]
        self.inv_r_kept, self.dq = arrays["inv_r_kept"], arrays["dq"]
        self.unusable, self.saturated = arrays["unusable"], arrays["saturated"]
        self.partly_saturated = arrays["partly_saturated"]
        self.chargeloss = arrays["chargeloss"]


def add_rates(Inputs inputs, double[:, :] totals):
    """Add to `totals` the median count rate of each integration of the pixels, in DN/s."""
    cdef Work *w = &inputs.work
    cdef Clean p
    cdef double time = inputs.work.timing.group
    cdef Py_ssize_t i, y, b, x, c, n
    with nogil:
        for y in range(inputs.data.shape[2]):
            for b in range((inputs.data.shape[3] + WIDTH - 1) // WIDTH):
                x = b * WIDTH
                n = min(<Py_ssize_t> WIDTH, inputs.data.shape[3] - x)
                load_block(inputs, y, x)
                find_clean(inputs, &p, y, x, n)
                if not has_runs(inputs):
                    memset(inputs.block.clean, 0, WIDTH)
                for c in range(n):
                    if inputs.block.clean[c]:
                        for i in range(w.nints):
                            totals[y, x + c] += inputs.block.medians[i * WIDTH + c] / time
                    else:
                        load(inputs, y, x + c)
                        for i in range(w.nints):
                            totals[y, x + c] += rate_of_integration(w, i)


def fit_part(Inputs inputs, Rates rates, Totals totals):
    """Fill `rates` with some integrations, whose median rates are known, and add them to `totals`."""
    cdef Py_ssize_t y, b, x, c, n
    with nogil:
        for y in range(inputs.data.shape[2]):
            for b in range((inputs.data.shape[3] + WIDTH - 1) // WIDTH):
                x = b * WIDTH
                n = min(<Py_ssize_t> WIDTH, inputs.data.shape[3] - x)
                load_block(inputs, y, x)
                fit_clean_part(inputs, rates, totals, y, x, n)
                for c in range(n):
                    if not inputs.block.clean[c]:
                        load(inputs, y, x + c)
                        fit_pixel_part(&inputs.work, rates, totals, y, x + c)


def combine_totals(Totals totals, Py_ssize_t nints, Rates rates):
    """Fill `rates`, of a single plane, with those of the exposure of so many integrations."""
    cdef Py_ssize_t y, x
    cdef Total total
    cdef Fit exposure
    with nogil:
        for y in range(rates.dq.shape[1]):
            for x in range(rates.dq.shape[2]):
                total = total_of(totals, y, x)
                combine_total(&exposure, &total, nints)
                store_fit(&exposure, rates, 0, y, x)


cdef Total total_of(Totals totals, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    cdef Total total
    total.sums.inv_p, total.sums.inv_r = totals.inv_p[y, x], totals.inv_r[y, x]
    total.sums.slope, total.sums.inv_e = totals.slope[y, x], 0
    total.inv_r, total.dq = totals.inv_r_kept[y, x], totals.dq[y, x]
    total.unusable, total.saturated = totals.unusable[y, x], totals.saturated[y, x]
    total.partly_saturated = totals.partly_saturated[y, x]
    total.chargeloss = totals.chargeloss[y, x]
    return total


cdef void keep_total(Totals totals, const Total *total, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    totals.inv_p[y, x], totals.inv_r[y, x] = total.sums.inv_p, total.sums.inv_r
    totals.slope[y, x] = total.sums.slope
    totals.inv_r_kept[y, x], totals.dq[y, x] = total.inv_r, total.dq
    totals.unusable[y, x], totals.saturated[y, x] = total.unusable, total.saturated
    totals.partly_saturated[y, x] = total.partly_saturated
    totals.chargeloss[y, x] = total.chargeloss


cdef void fit_clean_part(Inputs a, Rates to, Totals totals, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n) noexcept nogil:
    """As `fit_clean`, from the totals of the integrations before."""
    cdef Clean p
    cdef Py_ssize_t i, c
    cdef double var_r
    memset(&p, 0, sizeof(Clean))
    find_clean(a, &p, y, x, n)
    if not has_runs(a):
        memset(a.block.clean, 0, WIDTH)
        return
    for c in range(n):
        p.inv_p[c], p.inv_r[c] = totals.inv_p[y, x + c], totals.inv_r[y, x + c]
        p.slope[c] = totals.slope[y, x + c]
    rate_clean(a, &p, y, x, n)
    for i in range(a.work.nints):
        fit_clean_integration(a, &p, to, i, y, x, n)
        for c in range(n):
            var_r = p.var_r[c]
            totals.inv_r_kept[y, x + c] += 1 / var_r if a.block.clean[c] and var_r > 0 else 0
    for c in range(n):
        if a.block.clean[c]:
            totals.inv_p[y, x + c], totals.inv_r[y, x + c] = p.inv_p[c], p.inv_r[c]
            totals.slope[y, x + c] = p.slope[c]
            totals.dq[y, x + c] |= p.dq[c]


cdef void fit_pixel_part(Work *w, Rates to, Totals totals, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    """As `fit_pixel`, from the totals of the integrations before."""
    cdef Py_ssize_t i
    cdef Total total = total_of(totals, y, x)
    total.dq |= w.pixel.dq
    fit_integrations(w, &total)
    for i in range(w.nints):
        if w.integrations[i].seen & CHARGELOSS:
            w.fits[i].var_r = bounded(1 / inverse_read_variance(w, i))
        store_fit(&w.fits[i], to, i, y, x)
    keep_total(totals, &total, y, x)


cdef inline void store_fit(const Fit *fit, Rates to, Py_ssize_t i, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    to.slope[i, y, x], to.dq[i, y, x] = <float> fit.slope, fit.dq
    to.var_p[i, y, x], to.var_r[i, y, x] = <float> fit.var_p, <float> fit.var_r
    to.err[i, y, x] = <float> fit.err


cdef void store(const Work *w, Rates to, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(w.nints + 1):
        store_fit(&w.fits[i], to, i, y, x)


def count(Inputs inputs):
    """Most segments, and most jumps, of an integration of a pixel."""
    cdef Py_ssize_t i, k, y, x, jumps, most_segments = 0, most_jumps = 0
    cdef Work *w = &inputs.work
    with nogil:
        for y in range(inputs.data.shape[2]):
            for x in range(inputs.data.shape[3]):
                if x % WIDTH == 0:
                    load_block(inputs, y, x)
                load(inputs, y, x)
                for i in range(w.nints):
                    most_segments = max(most_segments, segments_of(w, i))
                    jumps = 0
                    for k in range(1, w.ngroups):
                        jumps += (inputs.flags[i, k, y, x] & JUMP) != 0
                    most_jumps = max(most_jumps, jumps)
    return most_segments, most_jumps


def describe(
    Inputs inputs, float[:, :, :, :, :] segments, float[:, :, :] pedestal,
    float[:, :, :, :] crmag,
):
    """Fill arrays of zeros with the segments, the intercepts at reset and the heights of jumps.

    `segments` is (7, integrations, segments, rows, columns): slope, its uncertainty, variances from
    Poisson and read noise, intercept, its uncertainty, weight.
    """
    cdef Py_ssize_t i, j, n, y, x
    cdef Work *w = &inputs.work
    cdef Extras extras
    with nogil:
        for y in range(inputs.data.shape[2]):
            for x in range(inputs.data.shape[3]):
                if x % WIDTH == 0:
                    load_block(inputs, y, x)
                load(inputs, y, x)
                fit_pixel(w)
                for i in range(w.nints):
                    pedestal[i, y, x] = <float> intercept_at_reset(w, i)
                    measure_jumps(inputs, crmag, i, y, x)
                    n = segments_of(w, i)
                    for j in range(n):
                        fit_segment(w, i, &w.segments[j])
                        describe_segment(w, i, &w.segments[j], &extras)
                        segments[0, i, j, y, x] = <float> w.segments[j].slope
                        segments[1, i, j, y, x] = <float> extras.sigslope
                        segments[2, i, j, y, x] = <float> w.segments[j].var_p
                        segments[3, i, j, y, x] = <float> w.segments[j].var_r
                        segments[4, i, j, y, x] = <float> extras.yint
                        segments[5, i, j, y, x] = <float> extras.sigyint
                        segments[6, i, j, y, x] = <float> (1 / w.segments[j].var_r)


# --- a block of pixels ----------------------------------------------------------------------------


cdef void load_block(Inputs a, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    """Copy the samples of the pixels from `x` on and find the medians of their differences."""
    cdef Py_ssize_t i, k, n = min(<Py_ssize_t> WIDTH, a.data.shape[3] - x)
    cdef float *data = a.block.data
    cdef unsigned char *flags = a.block.flags
    memset(a.block.seen, 0, a.work.nints * WIDTH)
    for i in range(a.work.nints):
        for k in range(a.work.ngroups):
            copy_row(&a.data[i, k, y, x], &a.flags[i, k, y, x], n, data, flags)
            collect(a.block.seen + i * WIDTH, flags)
            data += WIDTH
            flags += WIDTH
        a.block.runs[i] = find_run(a.block.flags + i * a.work.ngroups * WIDTH, a.work.ngroups, n)
        find_medians(&a.block, i, a.work.ngroups)


cdef Run find_run(const unsigned char *flags, Py_ssize_t ngroups, Py_ssize_t n) noexcept nogil:
    """The groups of an integration without those at both ends that no pixel of a block uses."""
    cdef Run run
    run.first, run.end = 0, ngroups
    while run.first < run.end and nobody_uses(flags + run.first * WIDTH, n):
        run.first += 1
    while run.end > run.first and nobody_uses(flags + (run.end - 1) * WIDTH, n):
        run.end -= 1
    return run


cdef inline bint nobody_uses(const unsigned char *flags, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        if flags[c] != DO_NOT_USE:
            return False
    return True


cdef inline void copy_row(
    const float *data, const unsigned char *flags, Py_ssize_t n, float *to, unsigned char *flags_to
) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        to[c] = data[c]
        flags_to[c] = flags[c]
    for c in range(n, WIDTH):
        to[c] = flags_to[c] = 0


cdef inline void collect(unsigned char *seen, const unsigned char *flags) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(WIDTH):
        seen[c] |= flags[c]


cdef void find_medians(Block *b, Py_ssize_t i, Py_ssize_t ngroups) noexcept nogil:
    """Medians of the differences in the run of an integration, flagged or not, but without NaN."""
    cdef const float *y = b.data + (i * ngroups + b.runs[i].first) * WIDTH
    cdef float *difference = b.ordered
    cdef double *medians = b.medians + i * WIDTH
    cdef int *missing = b.missing + i * WIDTH
    cdef Py_ssize_t k, c, there, n = max(b.runs[i].end - b.runs[i].first - 1, <Py_ssize_t> 0)
    memset(missing, 0, WIDTH * sizeof(int))
    for k in range(n):
        for c in range(WIDTH):
            difference[c] = y[c + WIDTH] - y[c]
        for c in range(WIDTH):
            missing[c] += difference[c] != difference[c]
            difference[c] = difference[c] if difference[c] == difference[c] else <float> INFINITY
        y += WIDTH
        difference += WIDTH
    sort_rows(b.ordered, n)
    for c in range(WIDTH):
        there = n - missing[c]
        medians[c] = median_of_column(b.ordered + c, there) if there else NAN


# --- pixels side by side --------------------------------------------------------------------------


cdef struct Clean:
    # Pixels without flags or gaps in the runs of their block: one segment in each integration. The
    # members are those of `Pixel` and `Sums`.
    double[WIDTH] gain
    double[WIDTH] noise
    double[WIDTH] rate
    double[WIDTH] inv_p
    double[WIDTH] inv_r
    double[WIDTH] slope
    double[WIDTH] var_r  # of the last integration
    unsigned int[WIDTH] dq


cdef struct Row:
    # Where results of neighbouring pixels go.
    float *slope
    unsigned int *dq
    float *var_p
    float *var_r
    float *err


cdef inline Row row_of(Rates to, Py_ssize_t i, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    cdef Row row
    row.slope, row.dq, row.err = &to.slope[i, y, x], &to.dq[i, y, x], &to.err[i, y, x]
    row.var_p, row.var_r = &to.var_p[i, y, x], &to.var_r[i, y, x]
    return row


cdef void fit_clean(Inputs a, Rates to, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n) noexcept nogil:
    """Do what `fit_pixel` does for all pixels of a block, and say for which ones it is right."""
    cdef Work *w = &a.work
    cdef Clean p
    cdef Py_ssize_t i
    memset(&p, 0, sizeof(Clean))
    find_clean(a, &p, y, x, n)
    if not has_runs(a):
        memset(a.block.clean, 0, WIDTH)
        return
    rate_clean(a, &p, y, x, n)
    for i in range(w.nints):
        fit_clean_integration(a, &p, to, i, y, x, n)
    combine_clean(&p, to, w.nints, y, x, n)


cdef bint has_runs(Inputs a) noexcept nogil:
    """Whether every integration of a block has groups for a weighted slope."""
    cdef Py_ssize_t i
    for i in range(a.work.nints):
        if a.block.runs[i].end - a.block.runs[i].first < 3:
            return False
    return True


cdef void find_clean(Inputs a, Clean *p, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n) noexcept nogil:
    cdef unsigned char *clean = a.block.clean
    cdef const unsigned char *flags
    cdef const float *gain = &a.gain[y, x]
    cdef const float *readnoise = &a.readnoise[y, x]
    cdef const unsigned int *dq = &a.pixeldq[y, x]
    cdef double inverse
    cdef Py_ssize_t i, k, c
    for c in range(n):
        p.gain[c] = gain[c]
        p.noise[c] = <float> (readnoise[c] * (p.gain[c] / a.noise_scale))
    for c in range(n):
        inverse = 1 / (p.noise[c] * p.noise[c])
        clean[c] = (p.gain[c] > 0) & (inverse > 0) & (inverse < INFINITY)
    for c in range(n):
        p.dq[c] = dq[c]
        clean[c] &= (dq[c] & (DO_NOT_USE | SATURATED)) == 0
    for i in range(a.work.nints):
        for c in range(n):
            clean[c] &= a.block.missing[i * WIDTH + c] == 0
        for k in range(a.block.runs[i].first, a.block.runs[i].end):
            flags = a.block.flags + (i * a.work.ngroups + k) * WIDTH
            for c in range(n):
                clean[c] &= flags[c] == 0


cdef void rate_clean(Inputs a, Clean *p, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n) noexcept nogil:
    """The rate for Poisson noise: mean median of the integrations plus dark."""
    cdef double time = a.work.timing.group
    cdef const double *medians = a.block.medians
    cdef const float *dark = &a.dark[y, x]
    cdef Py_ssize_t i, c
    for i in range(0 if a.work.knows_rate else a.work.nints):
        for c in range(WIDTH):
            p.rate[c] += medians[c] / time
        medians += WIDTH
    for c in range(n):
        p.rate[c] = a.known_rates[y, x + c] if a.work.knows_rate else p.rate[c] / a.work.nints
        p.rate[c] = (p.rate[c] if p.rate[c] > 0 else 0) + dark[c]


cdef void fit_clean_integration(Inputs a, Clean *p, Rates to, Py_ssize_t i, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n) noexcept nogil:
    """One segment of all groups in the run for each pixel: `fit_segments` without choices."""
    cdef Py_ssize_t c, size = a.block.runs[i].end - a.block.runs[i].first
    cdef double time = a.work.timing.group
    cdef double cube = <double> size * size * size - size
    cdef double noise, inverse, var_p, var_r, inv_p, inv_r, inv_e
    cdef double[WIDTH] slope
    cdef Row out = row_of(to, i, y, x)
    weigh_clean(a, p, i, slope)
    for c in range(n):
        noise = p.noise[c] / time
        var_p = p.rate[c] / (time * p.gain[c] * (size - 1))
        var_r = 12 * noise * noise / (cube * (p.gain[c] * p.gain[c]))
        inv_r = 1 / var_r
        inv_p = 1 / var_p if var_p > 0 else 0
        inv_e = 1 / (1 / (var_p + var_r))
        inverse = slope[c] / time / var_r
        p.inv_r[c] += inv_r
        p.inv_p[c] += inv_p
        p.slope[c] += inverse
        var_p = bounded(1 / inv_p) if inv_p > 0 else 0
        var_r = bounded(1 / inv_r)
        out.slope[c] = <float> (inverse * var_r)
        out.var_p[c] = <float> var_p
        out.var_r[c] = <float> var_r
        out.err[c] = <float> (0 if inv_e > LARGE_VARIANCE else sqrt(inv_e))
        out.dq[c] = p.dq[c]
        p.var_r[c] = var_r


cdef void weigh_clean(Inputs a, const Clean *p, Py_ssize_t i, double *slope) noexcept nogil:
    """Slopes in DN for a group of a block, each with the weights of its own power."""
    cdef const Run *run = &a.block.runs[i]
    cdef Py_ssize_t k, c, j, size = run.end - run.first
    cdef const float *data = a.block.data + (i * a.work.ngroups + run.first) * WIDTH
    cdef const float *last = data + (size - 1) * WIDTH
    cdef const double *weights[POWERS]
    cdef double[POWERS] now
    cdef int[WIDTH] power
    cdef double electrons, variance
    for j in range(POWERS):
        weights[j] = weights_for(&a.work, <int> j, size)
    for c in range(WIDTH):
        electrons = (<double> last[c] - <double> data[c]) * p.gain[c]
        variance = p.noise[c] * p.noise[c] + electrons
        power[c] = power_of_snr(0 if variance <= 0 else electrons / sqrt(variance))
        slope[c] = 0
    for k in range(size):
        for j in range(POWERS):
            now[j] = weights[j][k]
        for c in range(WIDTH):
            slope[c] += now[power[c]] * data[k * WIDTH + c]
    for c in range(WIDTH):
        slope[c] = slope[c] / weights[power[c]][size]


cdef void combine_clean(const Clean *p, Rates to, Py_ssize_t last, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n) noexcept nogil:
    """Slope and variances of the exposure: `combine` side by side."""
    cdef Py_ssize_t c
    cdef double var_p, var_r
    cdef Row out = row_of(to, last, y, x)
    for c in range(n):
        var_p = bounded(1 / p.inv_p[c] if p.inv_p[c] > 0 else p.inv_p[c])
        var_r = bounded(1 / p.inv_r[c] if p.inv_r[c] > 0 else p.inv_r[c])
        out.slope[c] = <float> (p.slope[c] * var_r)
        out.var_p[c] = <float> var_p
        out.var_r[c] = <float> var_r
        out.err[c] = <float> sqrt(var_p + var_r)
        out.dq[c] = p.dq[c]


# --- one pixel ------------------------------------------------------------------------------------


cdef void load(Inputs a, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    cdef Work *w = &a.work
    cdef Py_ssize_t i, k, c = x % WIDTH, j = 0
    load_pixel(a, y, x)
    for i in range(w.nints):
        for k in range(w.ngroups):
            w.flags[j] = a.block.flags[j * WIDTH + c]
            w.data[j] = NAN if w.flags[j] & SATURATED else a.block.data[j * WIDTH + c]
            j += 1
        w.integrations[i].median = a.block.medians[i * WIDTH + c]
        w.integrations[i].seen = a.block.seen[i * WIDTH + c]
        examine(w, i)
        if w.integrations[i].seen & CHARGELOSS:
            for k in range(w.ngroups):
                w.original[i * w.ngroups + k] = a.original[i, k, y, x]
        if not w.suppress_one_group:
            choose_mode(w, i, a.zeroframe[i, y, x] if a.has_zeroframe else 0)


cdef void load_pixel(Inputs a, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    cdef Pixel *p = &a.work.pixel
    p.gain = a.gain[y, x]
    p.noise = <float> (a.readnoise[y, x] * (p.gain / a.noise_scale))
    p.dark = a.dark[y, x]
    p.dq = a.pixeldq[y, x]
    p.known_rate = a.known_rates[y, x] if a.work.knows_rate else 0
    if not p.gain > 0:
        p.dq |= DO_NOT_USE | NO_GAIN


cdef void examine(Work *w, Py_ssize_t i) noexcept nogil:
    """Count what the flags of an integration say."""
    cdef Integration *n = &w.integrations[i]
    cdef const unsigned char *flags = w.flags + i * w.ngroups
    cdef Py_ssize_t k
    n.mode, n.good, n.unusable, n.saturated = GROUPS, 0, 0, 0
    if n.seen == 0:
        n.good = w.ngroups
        return
    for k in range(w.ngroups):
        n.good += flags[k] == 0
        n.unusable += (flags[k] & (DO_NOT_USE | SATURATED)) != 0
        n.saturated += (flags[k] & SATURATED) != 0


cdef void choose_mode(Work *w, Py_ssize_t i, double zeroframe) noexcept nogil:
    """Find what a ramp without two good groups has to offer."""
    cdef Integration *n = &w.integrations[i]
    cdef Py_ssize_t first = i * w.ngroups
    if n.good == 1 and w.flags[first] == 0:
        n.mode = FIRST_GROUP
    elif n.good == 0 and zeroframe != 0:
        n.mode = ZERO_FRAME
        w.data[first], w.flags[first] = zeroframe, 0
        n.unusable -= 1
        if n.saturated == w.ngroups:
            n.saturated -= 1


cdef void fit_pixel(Work *w) noexcept nogil:
    """Fit all integrations, then combine them; results are in `w.fits`, the exposure's last."""
    cdef Total total
    cdef Py_ssize_t i
    memset(&total, 0, sizeof(Total))
    total.dq = w.pixel.dq
    fit_integrations(w, &total)
    for i in range(w.nints if total.chargeloss else 0):
        if w.integrations[i].seen & CHARGELOSS:
            w.fits[i].var_r = bounded(1 / inverse_read_variance(w, i))
    combine_total(&w.fits[w.nints], &total, w.nints)


cdef void fit_integrations(Work *w, Total *total) noexcept nogil:
    """Fit all integrations at hand and add them to the total."""
    cdef Py_ssize_t i
    cdef double rate = median_rate(w)
    w.pixel.rate = (rate if rate > 0 else 0) + w.pixel.dark
    for i in range(w.nints):
        start_fit(&w.fits[i], w.pixel.dq | (w.integrations[i].seen & (JUMP | PERSISTENCE)))
        total.dq |= w.integrations[i].seen & (JUMP | PERSISTENCE)
        fit_integration(w, i, &total.sums)
        total.unusable += (w.fits[i].dq & DO_NOT_USE) != 0
        total.saturated += (w.fits[i].dq & SATURATED) != 0
        if w.integrations[i].saturated:
            w.fits[i].dq |= SATURATED
            total.partly_saturated = True
        if w.integrations[i].seen & CHARGELOSS:
            total.chargeloss = True
            total.inv_r += inverse_read_variance(w, i)
        elif w.fits[i].var_r > 0:
            total.inv_r += 1 / w.fits[i].var_r


cdef void combine_total(Fit *exposure, const Total *total, Py_ssize_t nints) noexcept nogil:
    """The fit of an exposure of so many integrations.

    Read noise is that of all groups, those that were lost to charge migration, too; slopes and errors
    are not.
    """
    exposure.dq = total.dq
    if total.unusable == nints:
        exposure.dq |= DO_NOT_USE
    if total.saturated == nints:
        exposure.dq |= SATURATED
    combine(exposure, &total.sums)
    if total.partly_saturated:
        exposure.dq |= SATURATED
    if total.chargeloss:
        exposure.var_r = bounded(1 / total.inv_r if total.inv_r > 0 else exposure.var_r)


cdef inline void start_fit(Fit *fit, unsigned int dq) noexcept nogil:
    fit.slope, fit.var_p, fit.var_r, fit.err, fit.dq = 0, 0, 0, 0, dq


cdef void combine(Fit *exposure, const Sums *sums) noexcept nogil:
    """Slope and variances of the exposure from the sums over all segments."""
    exposure.var_p = bounded(1 / sums.inv_p if sums.inv_p > 0 else sums.inv_p)
    exposure.var_r = bounded(1 / sums.inv_r if sums.inv_r > 0 else sums.inv_r)
    exposure.slope = sums.slope * exposure.var_r
    exposure.err = sqrt(exposure.var_p + exposure.var_r)
    if exposure.dq & (DO_NOT_USE | SATURATED):
        exposure.slope, exposure.var_p, exposure.var_r, exposure.err = NAN, 0, 0, 0


cdef inline double bounded(double variance) noexcept nogil:
    return 0 if variance >= LARGE_VARIANCE else variance


# --- median rate ----------------------------------------------------------------------------------


cdef double median_rate(Work *w) noexcept nogil:
    """Mean over integrations of their median count rate, in DN/s."""
    cdef double total = 0
    cdef Py_ssize_t i
    if w.knows_rate:
        return w.pixel.known_rate
    for i in range(w.nints):
        total += rate_of_integration(w, i)
    return total / w.nints


cdef inline double rate_of_integration(Work *w, Py_ssize_t i) noexcept nogil:
    """Median count rate of an integration in DN/s; 0 where there is none."""
    cdef double rate
    if w.ngroups == 1:
        return w.data[i] / w.timing.first_group
    rate = median_of_integration(w, i)
    return 0 if isnan(rate) else rate


cdef double median_of_integration(Work *w, Py_ssize_t i) noexcept nogil:
    cdef const double *y = w.data + i * w.ngroups
    cdef const unsigned char *flags = w.flags + i * w.ngroups
    cdef Py_ssize_t n
    if w.integrations[i].mode == FIRST_GROUP:
        return y[0] / w.timing.first_group
    if w.integrations[i].mode == ZERO_FRAME:
        return y[0] / w.timing.frame
    if w.integrations[i].seen == 0 and not isnan(w.integrations[i].median):
        return w.integrations[i].median / w.timing.group
    n = usable_differences(w, y, flags)
    if n == 0:
        return NAN if flags[0] & DO_NOT_USE else y[0] / w.timing.group
    return median(w.differences, n) / w.timing.group


cdef Py_ssize_t usable_differences(
    Work *w, const double *y, const unsigned char *flags
) noexcept nogil:
    """Sorted differences of usable groups that do not span a jump, in `w.differences`."""
    cdef Py_ssize_t k, j, n = 0
    cdef double value
    for k in range(1, w.ngroups):
        value = <float> (y[k] - y[k - 1])  # as the medians of blocks
        if (flags[k - 1] | flags[k]) & DO_NOT_USE or flags[k] & JUMP or isnan(value):
            continue
        j = n
        while j > 0 and w.differences[j - 1] > value:
            w.differences[j] = w.differences[j - 1]
            j -= 1
        w.differences[j] = value
        n += 1
    return n


cdef inline double median(const double *s, Py_ssize_t n) noexcept nogil:
    return s[n // 2] if n % 2 else (s[n // 2 - 1] + s[n // 2]) / 2


# --- one integration ------------------------------------------------------------------------------


cdef void fit_integration(Work *w, Py_ssize_t i, Sums *exposure) noexcept nogil:
    cdef Integration *n = &w.integrations[i]
    cdef Fit *fit = &w.fits[i]
    cdef Py_ssize_t nsegments = segments_of(w, i)
    if w.flags[i * w.ngroups] & SATURATED:
        fit.dq |= DO_NOT_USE | SATURATED
    if n.unusable == w.ngroups:
        fit.dq |= DO_NOT_USE | (SATURATED if n.saturated == w.ngroups else 0)
    elif nsegments > 0:
        fit_segments(w, i, nsegments, exposure)
    if fit.dq & (DO_NOT_USE | SATURATED):
        fit.slope = NAN


cdef void fit_segments(
    Work *w, Py_ssize_t i, Py_ssize_t nsegments, Sums *exposure
) noexcept nogil:
    cdef Fit *fit = &w.fits[i]
    cdef Segment *s
    cdef Sums sums
    cdef Py_ssize_t j
    sums.inv_p, sums.inv_r, sums.inv_e, sums.slope = 0, 0, 0, 0
    for j in range(nsegments):
        s = &w.segments[j]
        fit_segment(w, i, s)
        sums.inv_r += 1 / s.var_r
        sums.inv_p += 1 / s.var_p if s.var_p > 0 else 0
        sums.inv_e += 1 / (s.var_p + s.var_r)
        sums.slope += s.slope / s.var_r
    if not fit.dq & (DO_NOT_USE | SATURATED):
        fit.var_p = bounded(1 / sums.inv_p) if sums.inv_p > 0 else 0
        fit.var_r = bounded(1 / sums.inv_r)
        fit.slope = sums.slope * fit.var_r
        fit.err = 0 if 1 / sums.inv_e > LARGE_VARIANCE else sqrt(1 / sums.inv_e)
    exposure.inv_p += sums.inv_p
    exposure.inv_r += sums.inv_r
    exposure.slope += sums.slope


cdef inline Py_ssize_t segments_of(Work *w, Py_ssize_t i) noexcept nogil:
    """Find the segments to fit; none once the first group is saturated, or all are unusable."""
    cdef const unsigned char *flags = w.flags + i * w.ngroups
    if flags[0] & SATURATED or w.integrations[i].unusable == w.ngroups:
        return 0
    return find_segments(flags, w.ngroups, w.segments)


cdef Py_ssize_t find_segments(
    const unsigned char *flags, Py_ssize_t ngroups, Segment *segments
) noexcept nogil:
    """Runs of good groups, each with the jump that it starts from; how many there are.

    Runs of one group count only when there is no longer one, and then only the first.
    """
    cdef Py_ssize_t k, start = -1, n = 0, longest = 0
    cdef unsigned char before = DO_NOT_USE, now
    for k in range(ngroups + 1):
        now = flags[k] & ~PERSISTENCE if k < ngroups else DO_NOT_USE
        if now == 0 and start < 0:
            start = k - 1 if before == JUMP else k
        elif now != 0 and start >= 0:
            segments[n].start, segments[n].end = start, k
            longest = max(longest, k - start)
            n, start = n + 1, -1
        before = now
    return keep_long(segments, n) if longest > 1 else min(n, <Py_ssize_t> 1)


cdef Py_ssize_t keep_long(Segment *segments, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j, kept = 0
    for j in range(n):
        if segments[j].end - segments[j].start > 1:
            segments[kept] = segments[j]
            kept += 1
    return kept


# --- one segment ----------------------------------------------------------------------------------


cdef void fit_segment(Work *w, Py_ssize_t i, Segment *s) noexcept nogil:
    """Slope in DN/s and its variances from Poisson and read noise."""
    cdef const double *y = w.data + i * w.ngroups + s.start
    cdef Py_ssize_t n = s.end - s.start
    cdef double time = sample_time(w, i, n)
    if n == 1:
        s.slope = y[0] / time
    elif n == 2:
        s.slope = (y[1] - y[0]) / time
    else:
        s.slope = weighted_slope(w, y, n) / time
    s.var_p = w.pixel.rate / (time * w.pixel.gain * max(n - 1, 1))
    s.var_r = read_variance(w, n, time)


cdef inline double sample_time(const Work *w, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Time between samples, or from reset to the only one."""
    if n == 1 and w.integrations[i].mode == FIRST_GROUP:
        return w.timing.first_group
    if n == 1 and w.integrations[i].mode == ZERO_FRAME:
        return w.timing.frame
    return w.timing.group


cdef inline double read_variance(const Work *w, Py_ssize_t n, double time) noexcept nogil:
    cdef double noise = w.pixel.noise / time
    cdef double gain2 = w.pixel.gain * w.pixel.gain
    if n < 3:
        return 2 * noise * noise / gain2
    if not w.pixel.gain > 0:
        return 0
    return 12 * noise * noise / ((<double> n * n * n - n) * gain2)


cdef double weighted_slope(Work *w, const double *y, Py_ssize_t n) noexcept nogil:
    """Slope in DN for a group, by least squares weighted for the signal to noise of the segment."""
    cdef const double *weights = weights_for(w, power_index(w, y[n - 1] - y[0]), n)
    cdef double total = 0
    cdef double inverse = 1 / (w.pixel.noise * w.pixel.noise)
    cdef Py_ssize_t k
    if not 0 < inverse < INFINITY:
        return NAN
    for k in range(n):
        if not isnan(y[k]):
            total += weights[k] * y[k]
    return total / weights[n]


cdef int power_index(const Work *w, double rise) noexcept nogil:
    """Which of the powers suits the signal to noise (Fixsen et al. 2000, PASP 112, 1350)."""
    cdef double electrons = rise * w.pixel.gain
    cdef double variance = w.pixel.noise * w.pixel.noise + electrons
    return power_of_snr(0 if variance <= 0 or w.pixel.gain == 0 else electrons / sqrt(variance))


cdef inline int power_of_snr(double snr) noexcept nogil:
    # NaN is not below anything.
    return (
        (not snr < 5) + (not snr < 10) + (not snr < 20) + (not snr < 50) + (not snr < 100)
    )


cdef float power_of(int index) noexcept nogil:
    cdef float[POWERS] powers = [0, <float> 0.4, 1, 3, 6, 10]
    return powers[index]


cdef const double *weights_for(Work *w, int power, Py_ssize_t n) noexcept nogil:
    """Weights whose dot product with `n` samples is their slope, times the number behind them."""
    cdef double **cached = &w.weights[power * (w.ngroups + 1) + n]
    if cached[0] == NULL:
        cached[0] = <double *> malloc((n + 1) * sizeof(double))
        slope_weights(cached[0], power_of(power), n)
    return cached[0]


cdef inline double sample_weight(Py_ssize_t k, Py_ssize_t n, float power) noexcept nogil:
    cdef double mid = (n - 1) / 2.0
    return powf(<float> fabs((k - mid) * (1 / mid)), power)


cdef void slope_weights(double *weights, float power, Py_ssize_t n) noexcept nogil:
    # Weights are symmetric, so the weighted mean of the times is the middle.
    cdef double mid = (n - 1) / 2.0
    cdef Py_ssize_t k
    weights[n] = 0
    for k in range(n):
        weights[k] = sample_weight(k, n, power) * (k - mid)
        weights[n] += weights[k] * (k - mid)


# --- what else there is to tell about a segment ---------------------------------------------------


cdef struct Extras:
    double sigslope
    double yint
    double sigyint


cdef void describe_segment(Work *w, Py_ssize_t i, const Segment *s, Extras *e) noexcept nogil:
    """Intercept in DN and uncertainties, with groups counted from the start of the integration."""
    cdef const double *y = w.data + i * w.ngroups + s.start
    cdef Py_ssize_t n = s.end - s.start
    e.sigslope, e.yint, e.sigyint = 0, 0, 0
    if n == 2:
        # The reference implementation has this many digits of the root of 2.
        e.sigslope = e.sigyint = 1.41421356 * w.pixel.noise
        e.yint = y[0] * (s.start + 1) - y[1] * s.start
    elif n > 2:
        describe_long_segment(w, y, s, e)


cdef void describe_long_segment(
    Work *w, const double *y, const Segment *s, Extras *e
) noexcept nogil:
    cdef Py_ssize_t k, n = s.end - s.start
    cdef float power = power_of(power_index(w, y[n - 1] - y[0]))
    cdef double weight, x, sample, determinant
    cdef double sum_w = 0, sum_x = 0, sum_xx = 0, sum_y = 0, sum_xy = 0
    for k in range(n):
        weight = sample_weight(k, n, power) / (w.pixel.noise * w.pixel.noise)
        x = s.start + k
        sample = 0 if isnan(y[k]) else y[k]
        sum_w += weight
        sum_x += weight * x
        sum_xx += weight * x * x
        sum_y += weight * sample
        sum_xy += weight * x * sample
    determinant = sum_w * sum_xx - sum_x * sum_x
    e.sigslope = sqrt(sum_w / determinant)
    e.yint = (sum_xx * sum_y - sum_x * sum_xy) / determinant
    e.sigyint = sqrt(sum_xx / determinant)


cdef double intercept_at_reset(const Work *w, Py_ssize_t i) noexcept nogil:
    """Signal in DN that was there at reset; 0 when it is not known."""
    cdef double pedestal = w.data[i * w.ngroups] - w.fits[i].slope * w.timing.pedestal
    return 0 if isnan(pedestal) else pedestal


cdef void measure_jumps(
    Inputs a, float[:, :, :, :] crmag, Py_ssize_t i, Py_ssize_t y, Py_ssize_t x
) noexcept nogil:
    """Heights in DN of the jumps of an integration; NaN next to saturation."""
    cdef Py_ssize_t k, j = 0
    for k in range(1, a.work.ngroups):
        if a.flags[i, k, y, x] & JUMP:
            crmag[i, j, y, x] = a.data[i, k, y, x] - a.data[i, k - 1, y, x]
            if (a.flags[i, k, y, x] | a.flags[i, k - 1, y, x]) & SATURATED:
                crmag[i, j, y, x] = NAN
            j += 1


# --- charge migration -----------------------------------------------------------------------------


cdef double inverse_read_variance(Work *w, Py_ssize_t i) noexcept nogil:
    cdef unsigned char *flags = w.original + i * w.ngroups
    cdef Py_ssize_t k, n, nsegments
    cdef double variance, total = 0
    for k in range(w.ngroups):
        if flags[k] & CHARGELOSS:
            flags[k] ^= DO_NOT_USE | CHARGELOSS
    nsegments = find_segments(flags, w.ngroups, w.segments)
    for k in range(nsegments):
        n = w.segments[k].end - w.segments[k].start
        variance = read_variance(w, n, sample_time(w, i, n))
        total += 1 / variance if variance > 0 else 0
    return total
