/* Convolutions of each channel by itself, as many channels beside each other as a vector has numbers: so a tap is one
 * product for all of them, wherever its pixel lies, and no load crosses two lines of a cache. */

#include "channels.h"
#include "planes.h"

#include <stdatomic.h>
#include <string.h>

enum { KEPT_FLOATS = 32 << 10 }; /* of pixels that are read: a fraction of a core's second cache */

/* rows: of the output, in a band. lines, columns: of what these read, with padding. */
struct work {
    const float *x, *weights, *bias;
    float *y;
    int64_t images, channels, lanes, blocks, slices, taps, rows, lines, columns;
    const struct window *window;
    float least, most;
    atomic_int *is_without_memory;
};

/* Memory of a part, one behind the other. */
struct room {
    float *weights, *bias, *flat, *padded, *made;
    int64_t *away;
};

static int make_room(const struct work *work, struct room *room) {
    const int64_t vectors = work->taps + 1 + work->lines * work->window->in[COLUMNS] + work->lines * work->columns +
                            work->rows * work->window->out[COLUMNS];
    float *next = scratch(OF_STEP, vectors * work->lanes + 2 * work->taps);
    if (next == NULL) return -1;
    room->weights = next;
    room->bias = next += work->taps * work->lanes;
    room->flat = next += work->lanes;
    room->padded = next += work->lines * work->window->in[COLUMNS] * work->lanes;
    room->made = next += work->lines * work->columns * work->lanes;
    room->away = (int64_t *)(next + work->rows * work->window->out[COLUMNS] * work->lanes);
    return 0;
}

/* Weights and bias of a block, and where each tap reads. */
static void begin_block(const struct work *work, int64_t first, int64_t channels, const struct room *room) {
    const struct window *window = work->window;
    memset(room->weights, 0, (work->taps + 1) * work->lanes * sizeof *room->weights);
    instructions()->transpose(work->weights + first * work->taps, work->taps, channels, work->taps, room->weights, work->lanes);
    memcpy(room->bias, work->bias + first, channels * sizeof *room->bias);
    for (int64_t tap = 0; tap < work->taps; tap++) {
        const int64_t row = tap / window->kernel[COLUMNS] * window->dilation[ROWS];
        const int64_t column = tap % window->kernel[COLUMNS] * window->dilation[COLUMNS];
        room->away[tap] = (row * work->columns + column) * work->lanes;
    }
    memset(room->padded, 0, work->lines * work->columns * work->lanes * sizeof *room->padded);
}

/* Those lines of an image that a band reads, from this one on, which may be padding. Narrow ones are brought together in
 * one go, and then to their places. */
static void fill(const struct work *work, const float *x, int64_t channels, int64_t line, const struct room *room) {
    const int64_t width = work->window->in[COLUMNS], height = work->window->in[ROWS], lanes = work->lanes;
    const int64_t first = line < 0 ? 0 : line, end = least_of(line + work->lines, height), before = work->window->before[COLUMNS];
    const int64_t count = work->columns > before ? least_of(width, work->columns - before) : 0;
    const int is_narrow = count < lanes;
    if (is_narrow && count > 0 && end > first)
        instructions()->transpose(x + first * width, width * height, channels, (end - first) * width, room->flat, lanes);
    for (int64_t place = 0; count > 0 && place < work->lines; place++) {
        float *to = room->padded + (place * work->columns + before) * lanes;
        const int64_t from = line + place;
        if (from < first || from >= end)
            memset(to, 0, count * lanes * sizeof *to);
        else if (is_narrow)
            memcpy(to, room->flat + (from - first) * width * lanes, count * lanes * sizeof *to);
        else
            instructions()->transpose(x + from * width, width * height, channels, count, to, lanes);
    }
}

static void make_band(const struct work *work, int64_t rows, const struct room *room) {
    const struct window *window = work->window;
    for (int64_t row = 0; row < rows; row++) {
        const struct channel_run run = {
            .x = room->padded + row * window->stride[ROWS] * work->columns * work->lanes,
            .weights = room->weights, .bias = room->bias, .away = room->away, .taps = work->taps,
            .step = window->stride[COLUMNS] * work->lanes,
            .y = room->made + row * window->out[COLUMNS] * work->lanes, .pixels = window->out[COLUMNS],
            .least = work->least, .most = work->most,
        };
        instructions()->sum_channels(&run);
    }
}

static void convolve_part(const void *what, int64_t number) {
    const struct work *work = what;
    const struct window *window = work->window;
    const int64_t block = number / work->slices, slice = number % work->slices, first = block * work->lanes;
    const int64_t channels = least_of(work->lanes, work->channels - first), ins = window->in[ROWS] * window->in[COLUMNS];
    const int64_t outs = window->out[ROWS] * window->out[COLUMNS], width = window->out[COLUMNS];
    struct room room;
    if (make_room(work, &room) != 0) {
        atomic_store(work->is_without_memory, 1);
        return;
    }
    begin_block(work, first, channels, &room);
    for (int64_t image = work->images * slice / work->slices; image < work->images * (slice + 1) / work->slices; image++)
        for (int64_t row = 0; row < window->out[ROWS]; row += work->rows) {
            const int64_t rows = least_of(work->rows, window->out[ROWS] - row), channel = image * work->channels + first;
            fill(work, work->x + channel * ins, channels, row * window->stride[ROWS] - window->before[ROWS], &room);
            make_band(work, rows, &room);
            instructions()->transpose(room.made, work->lanes, rows * width, channels, work->y + channel * outs + row * width,
                                      outs);
        }
}

int convolve_channels(const float *x, const float *weights, const float *bias, float *y, int64_t images, int64_t channels,
                      const struct window *window, float least, float most) {
    atomic_int is_without_memory = 0;
    struct work work = {
        .x = x, .weights = weights, .bias = bias, .y = y, .images = images, .channels = channels,
        .lanes = instructions()->lanes, .taps = window->kernel[ROWS] * window->kernel[COLUMNS],
        .window = window, .least = least, .most = most, .is_without_memory = &is_without_memory,
    };
    work.columns = reach(window, COLUMNS, window->out[COLUMNS]);
    const int64_t lines = KEPT_FLOATS / (work.columns * work.lanes), halo = reach(window, ROWS, 1) - 1;
    work.rows = lines > halo + window->stride[ROWS] ? (lines - halo) / window->stride[ROWS] : 1;
    work.rows = divided_up(window->out[ROWS], divided_up(window->out[ROWS], work.rows));
    work.lines = reach(window, ROWS, work.rows);
    work.blocks = divided_up(channels, work.lanes);
    work.slices = least_of(divided_up(threads_in_use(), work.blocks), images);
    in_turns(convolve_part, &work, work.blocks * work.slices);
    return atomic_load(&is_without_memory) ? -1 : 0;
}
