/* Convolutions of points: windows of one pixel that move by one place. What they make is written where it belongs at once.
 * Some pixels of all channels are put beside each other first, for all outputs: where they lie, each channel is in a page
 * of memory of its own. The last ones, fewer than a vector, are computed with some of those before them once more. */

#include "points.h"

#include <stdatomic.h>
#include <stdlib.h>

struct work {
    const float *x, *weights, *bias;
    float *y;
    int64_t channels, outs, pixels, blocks, slices, lanes, wide; /* wide: pixels beside each other, at most */
    const int64_t *away;
    float least, most;
    atomic_int *is_without_memory;
};

int is_of_points(const struct window *window) {
    for (int axis = ROWS; axis <= COLUMNS; axis++)
        if (window->kernel[axis] != 1 || window->stride[axis] != 1 || window->out[axis] != window->in[axis]) return 0;
    return window->before[ROWS] == 0 && window->before[COLUMNS] == 0;
}

/* Whole vectors of pixels, for a block of outputs: at y, if `sums` makes as many as there are. */
static void make_block(const struct work *work, const float *x, int64_t block, float *y, int64_t count, float *made) {
    const int64_t outs = least_of(PACKED, work->outs - block * PACKED), is_exact = outs == PACKED || outs == PACKED / 2;
    y += block * PACKED * work->pixels;
    const struct run run = {
        .x = x, .weights = work->weights + block * work->channels * PACKED, .bias = work->bias + block * PACKED,
        .away = work->away, .taps = work->channels, .step = PACKED, .pixels = count,
        .y = is_exact ? y : made, .apart = is_exact ? work->pixels : count, .least = work->least, .most = work->most,
    };
    instructions()->sums(&run, outs);
    if (!is_exact) instructions()->copy_lines(made, count, 1, y, work->pixels, outs, count);
}

static void convolve_part(const void *what, int64_t number) {
    const struct work *work = what;
    const int64_t image = number / work->slices, slice = number % work->slices, chunk = instructions()->chunk;
    const int64_t begin = work->blocks * slice / work->slices, end = work->blocks * (slice + 1) / work->slices;
    float *some = scratch(OF_STEP, work->channels * work->wide + PACKED * chunk);
    float *made = some + work->channels * work->wide;
    if (some == NULL) {
        atomic_store(work->is_without_memory, 1);
        return;
    }
    for (int64_t next = 0; next < work->pixels; next += chunk) {
        const int64_t first = least_of(next, work->pixels - work->lanes), count = least_of(chunk, work->pixels - first);
        const int64_t whole = count / work->lanes * work->lanes, last = count - work->lanes;
        const float *x = work->x + image * work->channels * work->pixels + first;
        float *y = work->y + image * work->outs * work->pixels + first;
        instructions()->copy_lines(x, work->pixels, 1, some, work->wide, work->channels, count);
        for (int64_t block = begin; block < end; block++) {
            make_block(work, some, block, y, whole, made);
            if (whole < count) make_block(work, some + last, block, y + last, work->lanes, made);
        }
    }
}

int convolve_points(const float *x, const float *weights, const float *bias, float *y, int64_t images, int64_t channels,
                    int64_t outs, int64_t pixels, float least, float most) {
    atomic_int is_without_memory = 0;
    struct work work = {
        .x = x, .weights = weights, .bias = bias, .y = y, .channels = channels, .outs = outs, .pixels = pixels,
        .blocks = divided_up(outs, PACKED), .lanes = instructions()->lanes, .least = least, .most = most,
        .wide = instructions()->chunk, .is_without_memory = &is_without_memory,
    };
    int64_t *away = malloc(channels * sizeof *away);
    if (away == NULL) return -1;
    for (int64_t channel = 0; channel < channels; channel++) away[channel] = channel * work.wide;
    work.away = away;
    work.slices = least_of(divided_up(threads_in_use(), images), work.blocks);
    in_turns(convolve_part, &work, images * work.slices);
    free(away);
    return atomic_load(&is_without_memory) ? -1 : 0;
}
