# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Thresholds and the growth of what exceeds them, row by row.

A row of flags is a row of bytes: the loops have no branches, so that the compiler handles many pixels
in one instruction, and groups without saturation do not grow anything. The GIL is released.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from stpipe.models import dqflags

cdef unsigned char SATURATED = dqflags.SATURATED
cdef unsigned char FLOOR = dqflags.AD_FLOOR | dqflags.DO_NOT_USE


cdef struct Frame:
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t reach  # pixels by which a mask grows in each direction
    unsigned char *mask  # (rows, columns), 1 where set
    unsigned char *wide  # the same, grown along its rows
    unsigned char *filled  # (rows): whether a row of the mask has anything set


def flag_reached(const float[:, :, :, :] data, unsigned char[:, :, :, :] flags, const float[:, :] threshold, Py_ssize_t n_pix_grow_sat):
    """Set SATURATED, AD_FLOOR and DO_NOT_USE in `flags`, in place.

    Parameters
    ----------
    data
        Counts in DN, (integrations, groups, rows, columns), columns contiguous.
    flags
        Flags of the same shape, columns contiguous.
    threshold
        Counts in DN from which a pixel is saturated, (rows, columns), columns contiguous.
    n_pix_grow_sat
        Pixels by which saturation grows, in each group anew.
    """
    cdef Py_ssize_t i, k, y
    cdef Frame frame
    cdef unsigned char *ever
    cdef Py_ssize_t size = data.shape[2] * data.shape[3]
    make(&frame, data.shape[2], data.shape[3], n_pix_grow_sat)
    ever = <unsigned char *> calloc(max(size, 1), 1)
    if ever == NULL:
        release(&frame)
        raise MemoryError
    with nogil:
        for i in range(data.shape[0]):
            memset(ever, 0, size)
            for k in range(data.shape[1]):
                for y in range(frame.rows):
                    frame.filled[y] = flag_row(
                        &data[i, k, y, 0], &threshold[y, 0], &flags[i, k, y, 0],
                        ever + y * frame.columns, frame.mask + y * frame.columns, frame.columns,
                    )
                for y in range(frame.rows):
                    widen(&frame, y)
                for y in range(frame.rows):
                    saturate_row(&frame, y, &flags[i, k, y, 0])
    free(ever)
    release(&frame)


def dilate(const unsigned char[:, :] mask, Py_ssize_t reach):
    """Mask (rows, columns), 1 where set, grown by a square of 2 `reach` + 1 pixels on a side."""
    cdef Py_ssize_t y, x
    cdef Frame frame
    cdef unsigned char any_set
    grown = np.zeros((mask.shape[0], mask.shape[1]), dtype=np.uint8)
    cdef unsigned char[:, ::1] out = grown
    make(&frame, mask.shape[0], mask.shape[1], reach)
    with nogil:
        for y in range(frame.rows):
            any_set = 0
            for x in range(frame.columns):
                frame.mask[y * frame.columns + x] = mask[y, x]
                any_set |= mask[y, x]
            frame.filled[y] = any_set
        for y in range(frame.rows):
            widen(&frame, y)
        for y in range(frame.rows):
            gather(&frame, y, &out[y, 0], 1)
    release(&frame)
    return grown


cdef int make(Frame *frame, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t reach) except -1:
    cdef Py_ssize_t size = max(rows * columns, 1)
    frame.rows, frame.columns, frame.reach = rows, columns, reach
    frame.mask = <unsigned char *> calloc(size, 1)
    frame.wide = <unsigned char *> calloc(size, 1)
    frame.filled = <unsigned char *> calloc(max(rows, 1), 1)
    if frame.mask == NULL or frame.wide == NULL or frame.filled == NULL:
        release(frame)
        raise MemoryError
    return 0


cdef void release(Frame *frame) noexcept:
    free(frame.mask)
    free(frame.wide)
    free(frame.filled)


cdef unsigned char flag_row(
    const float *data, const float *threshold, unsigned char *flags, unsigned char *ever,
    unsigned char *mask, Py_ssize_t columns,
) noexcept nogil:
    """Flag a row by its counts; fill its mask of saturation and tell whether it has any."""
    cdef Py_ssize_t x
    cdef unsigned char any_set = 0
    for x in range(columns):
        ever[x] |= data[x] >= threshold[x]
    for x in range(columns):
        flags[x] |= FLOOR if data[x] <= 0 else 0
    for x in range(columns):
        flags[x] |= SATURATED * ever[x]
        mask[x] = (flags[x] & SATURATED) != 0
        any_set |= mask[x]
    return any_set


cdef void widen(Frame *frame, Py_ssize_t y) noexcept nogil:
    """Grow a row of the mask along itself."""
    cdef const unsigned char *mask = frame.mask + y * frame.columns
    cdef unsigned char *wide = frame.wide + y * frame.columns
    cdef Py_ssize_t x, shift
    if not frame.filled[y]:
        return
    for x in range(frame.columns):
        wide[x] = mask[x]
    for shift in range(1, frame.reach + 1):
        for x in range(shift, frame.columns):
            wide[x] |= mask[x - shift]
        for x in range(frame.columns - shift):
            wide[x] |= mask[x + shift]


cdef void gather(const Frame *frame, Py_ssize_t y, unsigned char *out, unsigned char bit) noexcept nogil:
    """Set `bit` in a row where the row itself or one within reach has the mask."""
    cdef const unsigned char *wide
    cdef Py_ssize_t x, near
    for near in range(max(y - frame.reach, 0), min(y + frame.reach + 1, frame.rows)):
        if frame.filled[near]:
            wide = frame.wide + near * frame.columns
            for x in range(frame.columns):
                out[x] |= wide[x] * bit


cdef inline void saturate_row(const Frame *frame, Py_ssize_t y, unsigned char *flags) noexcept nogil:
    gather(frame, y, flags, SATURATED)
