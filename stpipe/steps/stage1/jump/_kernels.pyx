# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Two-point difference jump detection, pixel by pixel.

Differences of a block of neighbouring columns are sorted together. Everything after that touches
only the ends of each sorted list, so that most pixels, which have no jump, cost little more than
the sorting.

All functions work on any band of rows and release the GIL.
"""

from libc.math cimport INFINITY, NAN, fabs, fabsf, isnan, sqrt
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from stpipe.models import dqflags
from stpipe.science.sorting_network cimport WIDTH, sort_rows

cdef unsigned char JUMP = dqflags.JUMP_DET
cdef unsigned char UNUSABLE = dqflags.DO_NOT_USE | dqflags.SATURATED

cdef enum:
    CLIPPING_ROUNDS = 5

cdef struct Rules:
    double rejection_threshold  # sigma, of four or more differences
    double four_group_rejection_threshold  # of three
    double three_group_rejection_threshold  # of two
    double nframes
    bint single_pass
    bint found  # the flags hold the jumps already: only count them and flag their neighbours
    double min_jump_to_flag_neighbors  # sigma of jumps that reach their neighbours, from here
    double max_jump_to_flag_neighbors  # to here; none when inverted

cdef struct Shape:
    Py_ssize_t nints
    Py_ssize_t ngroups
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t blocks  # of WIDTH columns, the last perhaps incomplete
    Py_ssize_t ndiffs  # of a pixel, over all integrations

cdef struct Span:
    # Some of the differences of a pixel.
    Py_ssize_t start
    Py_ssize_t step
    Py_ssize_t count

cdef struct Block:
    # Differences of WIDTH columns: rows of WIDTH values, one for each difference of the pixel.
    float *differences
    float *ordered  # the same without signs (or with, in a single pass), sorted; +inf is missing
    float *before  # one group, in electrons
    float *after
    int *count  # differences that are there
    unsigned char *seen  # all flags of the pixel together
    unsigned char *quiet  # whether a glance tells that the pixel has no jump
    float *values  # of one pixel
    const double *median  # of the differences of each pixel of the row, if known beforehand


def detect(const float[:, :, :, :] data, unsigned char[:, :, :, :] flags, const float[:, :] gain, const float[:, :] noise2, rules, int[:, :] counts, const double[:, :] medians=None):
    """Set JUMP_DET in `flags`, in place, and count the groups that have it, without neighbours.

    Parameters
    ----------
    data
        Counts in DN, (integrations, groups, rows, columns), columns contiguous.
    flags
        Flags of the same shape, columns contiguous.
    gain
        e-/DN, (rows, columns), columns contiguous.
    noise2
        Square of the noise of a difference of two reads, in e-, (rows, columns).
    rules
        Mapping of the members of `Rules`.
    counts
        Filled with the number of flagged groups of each pixel, (rows, columns).
    medians
        Of the signed differences of each pixel in e-, (rows, columns), where the arrays have a part
        of them only.
    """
    cdef Rules r = rules
    cdef Shape shape = shape_of(data)
    cdef bint known = medians is not None
    cdef Block block
    cdef Py_ssize_t y
    cdef Py_ssize_t row_size = shape.nints * shape.ngroups * shape.columns
    cdef unsigned char *sources = <unsigned char *> calloc(2 * row_size, 1)
    cdef unsigned char *here
    cdef unsigned char *below
    if allocate(&block, shape.ndiffs, 1 if r.found else shape.ndiffs) or sources == NULL:
        release(&block)
        free(sources)
        raise MemoryError
    block.median = NULL
    with nogil:
        for y in range(shape.rows):
            if known:
                block.median = &medians[y, 0]
            # Neighbours are flagged only when the row they are in has been searched itself.
            here = sources + (y % 2) * row_size
            below = sources + ((y + 1) % 2) * row_size
            memset(here, 0, row_size)
            search_row(data, flags, gain, noise2, y, &r, &shape, &block, here, counts)
            if r.min_jump_to_flag_neighbors < r.max_jump_to_flag_neighbors:
                spread_row(flags, y, &shape, here, below)
    release(&block)
    free(sources)


def clip(const float[:, :, :, :] data, unsigned char[:, :, :, :] flags, const float[:, :] gain, double rejection_threshold, bint only_use_ints):
    """Set JUMP_DET in `flags`, in place, at differences that clipping leaves out.

    Clipping is at `rejection_threshold` standard deviations. A difference is compared with the same
    one in all integrations, or without `only_use_ints` with all differences of the pixel. The arrays
    are those of `detect`.
    """
    cdef Shape shape = shape_of(data)
    cdef Block block
    cdef Span span
    cdef Py_ssize_t y, b, x, n, j
    cdef Py_ssize_t intervals = shape.ngroups - 1
    if allocate(&block, shape.ndiffs, shape.nints if only_use_ints else shape.ndiffs):
        release(&block)
        raise MemoryError
    with nogil:
        for y in range(shape.rows):
            for b in range(shape.blocks):
                x = b * WIDTH
                n = min(<Py_ssize_t> WIDTH, shape.columns - x)
                load(data, flags, gain, y, x, n, &shape, &block)
                for j in range(intervals if only_use_ints else 1):
                    span.start, span.step, span.count = j, intervals, shape.nints
                    if not only_use_ints:
                        span.step, span.count = 1, shape.ndiffs
                    clip_block(flags, y, x, n, &span, rejection_threshold, &shape, &block)
    release(&block)


def find_quiet(const float[:, :, :, :] data, unsigned char[:, :, :, :] flags, const float[:, :] gain, const float[:, :] noise2, rules, clipping, double[:, :, :] lower, double[:, :, :] upper, double[:, :] medians):
    """Find the range of the differences of each pixel that are no jumps, and their median.

    Parameters
    ----------
    data, flags, gain, noise2, rules
        As those of `detect`, with all integrations.
    clipping
        None, or the arguments of `clip` after `gain`.
    lower, upper
        Filled with the ranges in e-, (1, rows, columns), of differences without sign unless in a
        single pass or by clipping; with one for each difference of an integration where those of
        all integrations are clipped by themselves.
    medians
        Filled with the medians of all signed differences, (rows, columns).
    """
    cdef Rules r = rules
    cdef Shape shape = shape_of(data)
    cdef Block block
    cdef Span span
    cdef Limits kept
    cdef Py_ssize_t y, b, x, n, j, c
    cdef Py_ssize_t ranges = lower.shape[0]
    cdef bint clips = clipping is not None
    cdef double threshold = clipping[0] if clips else 0
    span.start, span.step, span.count = 0, ranges, shape.ndiffs // ranges
    if allocate(&block, shape.ndiffs, span.count):
        release(&block)
        raise MemoryError
    with nogil:
        for y in range(shape.rows):
            for b in range(shape.blocks):
                x = b * WIDTH
                n = min(<Py_ssize_t> WIDTH, shape.columns - x)
                load(data, flags, gain, y, x, n, &shape, &block)
                for j in range(ranges):
                    span.start = j
                    order(&block, &span, clips or r.single_pass)
                    if not clips:
                        glance(&noise2[y, x], n, &r, &shape, &block)
                    for c in range(n):
                        if clips:
                            kept = clipping_limits(block.ordered + c, block.count[c], threshold)
                        else:
                            kept = quiet_range(&block, c, noise2[y, x + c] / r.nframes, &r)
                        lower[j, y, x + c], upper[j, y, x + c] = kept.lower, kept.upper
                for c in range(n):
                    medians[y, x + c] = median_of(&block, c, shape.ndiffs)
    release(&block)


def flag_outside(const float[:, :, :, :] data, unsigned char[:, :, :, :] flags, const float[:, :] gain, const double[:, :, :] lower, const double[:, :, :] upper, bint signed):
    """Set JUMP_DET in `flags`, in place, at differences outside the ranges that `find_quiet` found.

    The arrays may have a part of the integrations. Without `signed` the ranges are of differences
    without their sign.
    """
    cdef Shape shape = shape_of(data)
    cdef Block block
    cdef Py_ssize_t i, k, y, b, x, n, c, j
    cdef float value
    cdef const float *d
    if allocate(&block, shape.ndiffs, 1):
        release(&block)
        raise MemoryError
    with nogil:
        for y in range(shape.rows):
            for b in range(shape.blocks):
                x = b * WIDTH
                n = min(<Py_ssize_t> WIDTH, shape.columns - x)
                load(data, flags, gain, y, x, n, &shape, &block)
                d = block.differences
                for i in range(shape.nints):
                    for k in range(1, shape.ngroups):
                        j = min(k, lower.shape[0]) - 1
                        for c in range(n):
                            value = d[c] if signed else fabsf(d[c])
                            if value < lower[j, y, x + c] or value > upper[j, y, x + c]:
                                flags[i, k, y, x + c] |= JUMP
                        d += WIDTH
    release(&block)


def flag_after(const float[:, :, :, :] data, unsigned char[:, :, :, :] flags, const float[:, :] gain, double[::1] limits, long long[::1] ngroups, const double[:, :] medians=None):
    """Flag, in place, groups after large jumps: `ngroups[n]` groups after jumps of `limits[n]` e-.

    `medians` as those of `detect`.
    """
    cdef Shape shape = shape_of(data)
    cdef bint known = medians is not None
    cdef Block block
    cdef Py_ssize_t y, b, x, n
    cdef unsigned char *reach = <unsigned char *> malloc(shape.ngroups)
    if allocate(&block, shape.ndiffs, 1) or reach == NULL:
        release(&block)
        free(reach)
        raise MemoryError
    block.median = NULL
    with nogil:
        for y in range(shape.rows):
            if known:
                block.median = &medians[y, 0]
            for b in range(shape.blocks):
                x = b * WIDTH
                n = min(<Py_ssize_t> WIDTH, shape.columns - x)
                load(data, flags, gain, y, x, n, &shape, &block)
                flag_block_after(flags, y, x, n, &shape, &block, limits, ngroups, reach)
    release(&block)
    free(reach)


cdef Shape shape_of(const float[:, :, :, :] data):
    cdef Shape shape
    shape.nints, shape.ngroups = data.shape[0], data.shape[1]
    shape.rows, shape.columns = data.shape[2], data.shape[3]
    shape.blocks = (shape.columns + WIDTH - 1) // WIDTH
    shape.ndiffs = shape.nints * (shape.ngroups - 1)
    return shape


cdef int allocate(Block *block, Py_ssize_t ndiffs, Py_ssize_t most_ordered) noexcept:
    block.differences = <float *> malloc(ndiffs * WIDTH * sizeof(float))
    block.ordered = <float *> malloc(most_ordered * WIDTH * sizeof(float))
    block.before = <float *> malloc(WIDTH * sizeof(float))
    block.after = <float *> malloc(WIDTH * sizeof(float))
    block.count = <int *> malloc(WIDTH * sizeof(int))
    block.seen = <unsigned char *> malloc(WIDTH)
    block.quiet = <unsigned char *> malloc(WIDTH)
    block.values = <float *> malloc(ndiffs * sizeof(float))
    return (
        block.differences == NULL or block.ordered == NULL or block.before == NULL
        or block.after == NULL or block.count == NULL or block.seen == NULL
        or block.quiet == NULL or block.values == NULL
    )


cdef void release(Block *block) noexcept:
    free(block.differences)
    free(block.ordered)
    free(block.before)
    free(block.after)
    free(block.count)
    free(block.seen)
    free(block.quiet)
    free(block.values)


# --- differences of a block of columns ----------------------------------------------------------


cdef void load(
    const float[:, :, :, :] data, unsigned char[:, :, :, :] flags, const float[:, :] gain, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n,
    const Shape *shape, Block *block,
) noexcept nogil:
    """Differences of consecutive groups in e-; NaN where either group is flagged or missing."""
    cdef Py_ssize_t i, k, c
    cdef float *row = block.differences
    cdef float *swap
    memset(block.seen, 0, WIDTH)
    for i in range(shape.nints):
        for k in range(shape.ngroups):
            swap = block.before
            block.before = block.after
            block.after = swap
            electrons(&data[i, k, y, x], &flags[i, k, y, x], &gain[y, x], n, block)
            if k > 0:
                for c in range(WIDTH):
                    row[c] = block.after[c] - block.before[c]
                row += WIDTH


cdef void electrons(
    const float *data, const unsigned char *flags, const float *gain, Py_ssize_t n, Block *block
) noexcept nogil:
    cdef Py_ssize_t c
    cdef unsigned char all_flags = 0
    for c in range(n):
        block.after[c] = data[c] * gain[c]
    for c in range(n):
        block.seen[c] |= flags[c]
        all_flags |= flags[c]
    if all_flags & UNUSABLE:
        for c in range(n):
            if flags[c] & UNUSABLE:
                block.after[c] = <float> NAN
    for c in range(n, WIDTH):
        block.after[c] = <float> NAN


cdef void order(Block *block, const Span *span, bint signed) noexcept nogil:
    """Count and sort differences of each column; missing ones go to the end as +inf."""
    cdef Py_ssize_t j, c
    cdef float value
    cdef const float *source
    cdef float *target
    for c in range(WIDTH):
        block.count[c] = 0
    for j in range(span.count):
        source = block.differences + (span.start + j * span.step) * WIDTH
        target = block.ordered + j * WIDTH
        for c in range(WIDTH):
            value = source[c] if signed else fabsf(source[c])
            target[c] = value if value == value else <float> INFINITY
            block.count[c] += value == value
    sort_rows(block.ordered, span.count)


# --- searching ----------------------------------------------------------------------------------


cdef struct Range:
    # Differences of a pixel that are no jumps.
    float lower
    float upper


cdef struct Limits:
    double lower
    double upper


cdef void search_row(
    const float[:, :, :, :] data, unsigned char[:, :, :, :] flags, const float[:, :] gain, const float[:, :] noise2, Py_ssize_t y, const Rules *rules,
    const Shape *shape, Block *block, unsigned char *sources, int[:, :] counts,
) noexcept nogil:
    cdef Py_ssize_t b, x, c, n
    cdef double variance
    cdef Range quiet
    cdef bint jumps = False
    cdef Span everything
    everything.start, everything.step, everything.count = 0, 1, shape.ndiffs
    for b in range(shape.blocks):
        x = b * WIDTH
        n = min(<Py_ssize_t> WIDTH, shape.columns - x)
        load(data, flags, gain, y, x, n, shape, block)
        memset(block.quiet, rules.found, WIDTH)
        if not rules.found:
            order(block, &everything, rules.single_pass)
            glance(&noise2[y, x], n, rules, shape, block)
        for c in range(n):
            if block.quiet[c] and not block.seen[c] & JUMP:
                continue
            variance = noise2[y, x + c] / rules.nframes
            if block.quiet[c]:
                jumps = False
            else:
                jumps = search(block, c, variance, rules, &quiet)
            if jumps:
                flag_pixel(flags, y, x, c, &quiet, rules, shape, block)
            if jumps or block.seen[c] & JUMP:
                counts[y, x + c] = <int> count_pixel(flags, y, x + c, shape)
                if rules.min_jump_to_flag_neighbors < rules.max_jump_to_flag_neighbors:
                    find_sources(flags, y, x, c, variance, rules, shape, block, sources)
                drop_redundant(flags, y, x + c, shape)


cdef inline double deviation(double median, double variance) noexcept nogil:
    """Expected standard deviation of a difference; NaN, which rejects nothing, instead of 0."""
    cdef double sigma = sqrt(fabs(median) + variance)
    return sigma if sigma != 0 else NAN


cdef void glance(
    const float *noise2, Py_ssize_t n, const Rules *rules, const Shape *shape, Block *block
) noexcept nogil:
    """See which pixels of a block surely have no jump: all differences, and no outlier among them.

    The squares that are compared here are not the quotients of the search; what comes near the
    threshold is left to it.
    """
    cdef Py_ssize_t c, last = shape.ndiffs - 1
    cdef Py_ssize_t compared = last + 1 if rules.single_pass else last  # with the median of so many
    cdef const float *s = block.ordered
    cdef const float *lower = s + (compared - 1) // 2 * WIDTH
    cdef const float *upper = s + compared // 2 * WIDTH
    cdef float median, furthest
    cdef float limit = <float> (0.999 * rules.rejection_threshold * rules.rejection_threshold)
    cdef float scale = <float> (1 / rules.nframes)
    memset(block.quiet, 0, WIDTH)
    if shape.ndiffs < 4:
        return
    for c in range(n):
        median = (lower[c] + upper[c]) * <float> 0.5
        furthest = max(fabsf(s[c] - median), fabsf(s[c + last * WIDTH] - median))
        block.quiet[c] = furthest * furthest < limit * (fabsf(median) + noise2[c] * scale)
    for c in range(n):
        # Of several that are the largest, the search in turn leaves out all.
        block.quiet[c] &= block.count[c] > last and s[c + last * WIDTH] > s[c + (last - 1) * WIDTH]


cdef inline bint search(
    const Block *block, Py_ssize_t c, double variance, const Rules *rules, Range *quiet
) noexcept nogil:
    """The range of differences that are no jumps, and whether there are others."""
    if rules.single_pass:
        return search_at_once(block, c, variance, rules, quiet)
    return search_in_turn(block, c, variance, rules, quiet)


cdef Limits quiet_range(
    const Block *block, Py_ssize_t c, double variance, const Rules *rules
) noexcept nogil:
    """The same without limits where there is no jump."""
    cdef Limits kept
    cdef Range quiet
    kept.lower, kept.upper = -INFINITY, INFINITY
    if not block.quiet[c] and search(block, c, variance, rules, &quiet):
        kept.lower, kept.upper = quiet.lower, quiet.upper
    return kept


cdef bint search_at_once(
    const Block *block, Py_ssize_t c, double variance, const Rules *rules, Range *quiet
) noexcept nogil:
    """All differences too far from the median of all."""
    cdef const float *s = block.ordered + c
    cdef Py_ssize_t low = 0, high = block.count[c]
    cdef double median = middle(s, WIDTH, 0, high)
    cdef double sigma = deviation(median, variance)
    while high > 0 and fabs(s[(high - 1) * WIDTH] - median) / sigma > rules.rejection_threshold:
        high -= 1
    while low < high and fabs(s[low * WIDTH] - median) / sigma > rules.rejection_threshold:
        low += 1
    return limit(block, c, low, high, quiet)


cdef bint search_in_turn(
    const Block *block, Py_ssize_t c, double variance, const Rules *rules, Range *quiet
) noexcept nogil:
    """The difference furthest from the median of the others, again and again while it is too far."""
    cdef const float *s = block.ordered + c
    cdef Py_ssize_t low = 0, high = block.count[c]
    cdef double median = middle_of_rest(s, low, high)
    cdef double threshold
    cdef float furthest
    while True:
        threshold = threshold_for(high - low, rules)
        furthest = distance(s, low, median)
        furthest = max(furthest, distance(s, high - 1, median)) if high > low else <float> NAN
        if not furthest / deviation(median, variance) > threshold:
            return limit(block, c, low, high, quiet)
        while high > low and distance(s, high - 1, median) == furthest:
            high -= 1
        while low < high and distance(s, low, median) == furthest:
            low += 1
        # After the first round the reference implementation keeps medians in single precision.
        median = <float> middle_of_rest(s, low, high)


cdef void clip_block(
    unsigned char[:, :, :, :] flags, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n, const Span *span,
    double rejection_threshold, const Shape *shape, Block *block,
) noexcept nogil:
    cdef Py_ssize_t j, c, k
    cdef Py_ssize_t intervals = shape.ngroups - 1
    cdef float value
    cdef Limits kept[WIDTH]
    order(block, span, True)
    for c in range(n):
        kept[c] = clipping_limits(block.ordered + c, block.count[c], rejection_threshold)
    for j in range(span.count):
        k = span.start + j * span.step
        for c in range(n):
            value = block.differences[k * WIDTH + c]
            if value < kept[c].lower or value > kept[c].upper:
                flags[k // intervals, k % intervals + 1, y, x + c] |= JUMP


cdef Limits clipping_limits(const float *s, Py_ssize_t n, double rejection_threshold) noexcept nogil:
    """Median and standard deviation, again without what is outside, until nothing is."""
    cdef Limits kept
    cdef Py_ssize_t low = 0, high = n, before, turn
    cdef double median, width
    kept.lower, kept.upper = -INFINITY, INFINITY
    for turn in range(CLIPPING_ROUNDS):
        median = middle(s, WIDTH, low, high)
        width = rejection_threshold * standard_deviation(s, low, high)
        kept.lower, kept.upper = median - width, median + width
        before = high - low
        while high > low and s[(high - 1) * WIDTH] > kept.upper:
            high -= 1
        while low < high and s[low * WIDTH] < kept.lower:
            low += 1
        if high - low == before:
            break
    return kept


cdef double standard_deviation(const float *s, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    cdef Py_ssize_t j
    cdef double mean = 0, squares = 0
    for j in range(low, high):
        mean += s[j * WIDTH]
    mean /= high - low
    for j in range(low, high):
        squares += (s[j * WIDTH] - mean) ** 2
    return sqrt(squares / (high - low))


cdef inline double threshold_for(Py_ssize_t ndiffs, const Rules *rules) noexcept nogil:
    if ndiffs >= 4:
        return rules.rejection_threshold
    if ndiffs == 3:
        return rules.four_group_rejection_threshold
    return rules.three_group_rejection_threshold if ndiffs == 2 else INFINITY


cdef inline float distance(const float *s, Py_ssize_t j, double median) noexcept nogil:
    return fabsf(<float> (s[j * WIDTH] - median))


cdef inline double middle(const float *s, Py_ssize_t step, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    """Median of the sorted s[low:high]; NaN of nothing."""
    cdef Py_ssize_t n = high - low, half = low + n // 2
    if n <= 0:
        return NAN
    if n % 2:
        return s[half * step]
    return (<double> s[(half - 1) * step] + <double> s[half * step]) / 2


cdef inline double middle_of_rest(const float *s, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    """Median of s[low:high] without the largest of four and more; the smaller of two."""
    cdef Py_ssize_t n = high - low, rest = high
    if n == 2:
        return s[low * WIDTH]
    if n < 2:
        return NAN
    if n >= 4:
        while rest > low and s[(rest - 1) * WIDTH] == s[(high - 1) * WIDTH]:
            rest -= 1
    return middle(s, WIDTH, low, rest)


cdef bint limit(
    const Block *block, Py_ssize_t c, Py_ssize_t low, Py_ssize_t high, Range *quiet
) noexcept nogil:
    """The range from `low` to `high`, and whether it leaves any difference out."""
    cdef const float *s = block.ordered + c
    quiet.lower = s[low * WIDTH] if low < high else <float> INFINITY
    quiet.upper = s[(high - 1) * WIDTH] if low < high else <float> -INFINITY
    return low > 0 or high < block.count[c]


# --- flagging -----------------------------------------------------------------------------------


cdef void flag_pixel(
    unsigned char[:, :, :, :] flags, Py_ssize_t y, Py_ssize_t x, Py_ssize_t c, const Range *quiet, const Rules *rules,
    const Shape *shape, const Block *block,
) noexcept nogil:
    cdef Py_ssize_t i, k
    cdef float value
    cdef const float *d = block.differences + c
    for i in range(shape.nints):
        for k in range(1, shape.ngroups):
            value = d[0] if rules.single_pass else fabsf(d[0])
            if value < quiet.lower or value > quiet.upper:
                flags[i, k, y, x + c] |= JUMP
            d += WIDTH


cdef long long count_pixel(
    unsigned char[:, :, :, :] flags, Py_ssize_t y, Py_ssize_t x, const Shape *shape
) noexcept nogil:
    cdef Py_ssize_t i, k
    cdef long long found = 0
    for i in range(shape.nints):
        for k in range(shape.ngroups):
            found += (flags[i, k, y, x] & JUMP) != 0
    return found


cdef void drop_redundant(unsigned char[:, :, :, :] flags, Py_ssize_t y, Py_ssize_t x, const Shape *shape) noexcept nogil:
    """Clear JUMP_DET where the group is unusable anyway."""
    cdef Py_ssize_t i, k
    for i in range(shape.nints):
        for k in range(shape.ngroups):
            if flags[i, k, y, x] & UNUSABLE:
                flags[i, k, y, x] &= ~JUMP


cdef void find_sources(
    unsigned char[:, :, :, :] flags, Py_ssize_t y, Py_ssize_t x, Py_ssize_t c, double variance, const Rules *rules,
    const Shape *shape, const Block *block, unsigned char *sources,
) noexcept nogil:
    """Mark the jumps of a pixel that are large enough, and not too large, to reach its neighbours."""
    cdef Py_ssize_t i, k
    cdef double median = block.median[x + c] if block.median != NULL else median_of(block, c, shape.ndiffs)
    cdef double sigma = deviation(median, variance)
    cdef double ratio
    cdef const float *d = block.differences + c
    for i in range(shape.nints):
        for k in range(1, shape.ngroups):
            ratio = fabs(d[0] - median) / sigma
            d += WIDTH
            if flags[i, k, y, x + c] & JUMP and (
                rules.min_jump_to_flag_neighbors < ratio < rules.max_jump_to_flag_neighbors
            ):
                sources[(i * shape.ngroups + k) * shape.columns + x + c] = 1


cdef double median_of(const Block *block, Py_ssize_t c, Py_ssize_t ndiffs) noexcept nogil:
    """Median of the signed differences of a pixel."""
    cdef Py_ssize_t j, n = 0
    for j in range(ndiffs):
        if not isnan(block.differences[j * WIDTH + c]):
            block.values[n] = block.differences[j * WIDTH + c]
            n += 1
    return middle_of_unsorted(block.values, n)


cdef double middle_of_unsorted(float *s, Py_ssize_t n) noexcept nogil:
    """Median; NaN of nothing. The order of the values changes."""
    cdef Py_ssize_t j, half = n // 2
    cdef float below
    if n == 0:
        return NAN
    select(s, n, half)
    if n % 2:
        return s[half]
    below = s[0]
    for j in range(1, half):
        below = max(below, s[j])
    return (<double> below + <double> s[half]) / 2


cdef void select(float *s, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """Put the value that comes at place `k` in order there, lower ones before it (Hoare's find)."""
    cdef Py_ssize_t low = 0, high = n - 1, i, j
    cdef float pivot, swap
    while low < high:
        pivot = s[k]
        i, j = low, high
        while i <= j:
            while s[i] < pivot:
                i += 1
            while pivot < s[j]:
                j -= 1
            if i <= j:
                swap = s[i]
                s[i], s[j] = s[j], swap
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j


cdef void spread_row(
    unsigned char[:, :, :, :] flags, Py_ssize_t y, const Shape *shape, const unsigned char *here,
    const unsigned char *below,
) noexcept nogil:
    """Flag the neighbours within row `y` and between it and the row searched before."""
    cdef Py_ssize_t i, k, x
    for i in range(shape.nints):
        for k in range(shape.ngroups):
            for x in range(shape.columns):
                if here[x]:
                    if x > 0:
                        reach(&flags[i, k, y, x - 1])
                    if x + 1 < shape.columns:
                        reach(&flags[i, k, y, x + 1])
                    if y > 0:
                        reach(&flags[i, k, y - 1, x])
                if below[x]:
                    reach(&flags[i, k, y, x])
            here += shape.columns
            below += shape.columns


cdef inline void reach(unsigned char *flags) noexcept nogil:
    if not flags[0] & UNUSABLE:
        flags[0] |= JUMP


cdef void flag_block_after(
    unsigned char[:, :, :, :] flags, Py_ssize_t y, Py_ssize_t x, Py_ssize_t n, const Shape *shape, const Block *block,
    double[::1] limits, long long[::1] ngroups, unsigned char *reached,
) noexcept nogil:
    cdef Py_ssize_t i, c
    cdef double median
    for c in range(n):
        if block.seen[c] & JUMP:
            median = block.median[x + c] if block.median != NULL else median_of(block, c, shape.ndiffs)
            for i in range(shape.nints):
                flag_integration_after(flags, i, y, x, c, median, shape, block, limits, ngroups, reached)


cdef void flag_integration_after(
    unsigned char[:, :, :, :] flags, Py_ssize_t i, Py_ssize_t y, Py_ssize_t x, Py_ssize_t c, double median,
    const Shape *shape, const Block *block, double[::1] limits, long long[::1] ngroups,
    unsigned char *reached,
) noexcept nogil:
    cdef Py_ssize_t k, last, n
    cdef const float *d = block.differences + i * (shape.ngroups - 1) * WIDTH + c
    memset(reached, 0, shape.ngroups)
    for k in range(1, shape.ngroups):
        if flags[i, k, y, x + c] & JUMP:
            for n in range(limits.shape[0]):
                if d[(k - 1) * WIDTH] - median >= limits[n]:
                    last = min(k + ngroups[n], shape.ngroups - 1)
                    memset(reached + k, 1, last - k + 1)
    for k in range(1, shape.ngroups):
        if reached[k]:
            reach(&flags[i, k, y, x + c])
