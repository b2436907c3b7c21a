/* Convolutions, for all sets of instructions.
 *
 * A part of an image, or several small ones, are copied with their padding into planes (planes.c), where each tap has its
 * run of floats. What is between the pixels of the output is left out where the output is written. */

#include "channels.h"
#include "planes.h"
#include "points.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Of planes and output together: half of what a core has for itself, or all of it. Of points, a run that all outputs read
 * before the next one is a part of that. */
enum { KEPT_FLOATS = 128 << 10, KEPT_POINTS = 8 * KEPT_FLOATS };

/* A convolution, cut into parts: of a run of images, a band of rows of the output, and a slice of its groups, or of the
 * blocks of outputs where there is one group. */
struct work {
    const float *x, *weights, *bias;
    float *y;
    int64_t images, channels, outs, groups;
    const struct window *window;
    struct layout layout;
    int64_t ins, per_group, packed, blocks, taps; /* of a group; packed: outputs of a block */
    const int64_t *away;
    int64_t bands, slices;
    float least, most;
    int is_padded;
    atomic_int *is_without_memory;
};

/* What a part is of the whole: of each, the first and what is behind the last. */
struct part {
    struct range images, rows, groups, blocks;
};

static struct part part_of(const struct work *work, int64_t number) {
    const int64_t slice = number % work->slices, band = number / work->slices % work->bands;
    const int64_t image = number / work->slices / work->bands * work->layout.images, row = band * work->layout.rows;
    struct part part = {
        .images = {image, least_of(image + work->layout.images, work->images)},
        .rows = {row, least_of(row + work->layout.rows, work->window->out[ROWS])},
        .groups = {0, work->groups},
        .blocks = {0, work->blocks},
    };
    if (work->groups > 1)
        part.groups = slice_of(work->groups, slice, work->slices);
    else
        part.blocks = slice_of(work->blocks, slice, work->slices);
    return part;
}

static int64_t floats_of_channel(const struct work *work) {
    return remainders(work->window, ROWS) * remainders(work->window, COLUMNS) * work->layout.plane;
}

/* The channels of a group into the planes. */
static void fill_planes(const struct work *work, const struct part *part, int64_t group, float *planes) {
    const int64_t pixels = work->window->in[ROWS] * work->window->in[COLUMNS], plane = floats_of_channel(work);
    for (int64_t image = part->images.begin; image < part->images.end; image++) {
        const float *from = work->x + (image * work->channels + group * work->ins) * pixels;
        float *to = planes + (image - part->images.begin) * work->layout.lines * work->layout.columns;
        for (int64_t channel = 0; channel < work->ins; channel++)
            copy_channel(from + channel * pixels, to + channel * plane, work->window, &work->layout, part->rows.begin);
    }
}

/* The outputs of a group, with the columns and rows between that are none. apart: floats between two outputs. */
static void make_outputs(const struct work *work, const struct part *part, int64_t group, const float *planes,
                         float *made, int64_t apart) {
    const struct layout *layout = &work->layout;
    const int64_t images = part->images.end - part->images.begin, rows = part->rows.end - part->rows.begin;
    const int64_t pixels = (images - 1) * layout->lines * layout->columns + (rows - 1) * layout->columns +
                           work->window->out[COLUMNS];
    const int64_t step = work->packed == 1 ? pixels : instructions()->chunk;
    for (int64_t pixel = 0; pixel < pixels; pixel += step)
        for (int64_t block = part->blocks.begin; block < part->blocks.end; block++) {
            const int64_t place = group * work->blocks + block;
            const struct run run = {
                .x = planes + pixel,
                .weights = work->weights + place * work->taps * work->packed,
                .bias = work->bias + place * work->packed,
                .away = work->away,
                .taps = work->taps,
                .step = work->packed,
                .y = made + (block - part->blocks.begin) * work->packed * apart + pixel,
                .pixels = least_of(step, pixels - pixel),
                .apart = apart,
                .least = work->least,
                .most = work->most,
            };
            instructions()->sums(&run, least_of(work->packed, work->per_group - block * work->packed));
        }
}

/* The outputs of a group to where they belong, without what lies between. */
static void write_outputs(const struct work *work, const struct part *part, int64_t group, const float *made,
                          int64_t apart) {
    const struct layout *layout = &work->layout;
    const int64_t width = work->window->out[COLUMNS], pixels = work->window->out[ROWS] * width;
    const int64_t first = part->blocks.begin * work->packed;
    const int64_t end = least_of(part->blocks.end * work->packed, work->per_group);
    for (int64_t image = part->images.begin; image < part->images.end; image++)
        for (int64_t out = first; out < end; out++) {
            const float *from = made + (out - first) * apart +
                                (image - part->images.begin) * layout->lines * layout->columns;
            float *to = work->y + (image * work->outs + group * work->per_group + out) * pixels;
            instructions()->copy_rows(from, layout->columns, 1, to + part->rows.begin * width, width,
                                      part->rows.end - part->rows.begin, width);
        }
}

static void convolve_part(const void *what, int64_t number) {
    const struct work *work = what;
    const struct part part = part_of(work, number);
    const int64_t floats = work->ins * floats_of_channel(work) + work->layout.behind + ROOM;
    const int64_t apart = work->layout.plane + ROOM;
    float *planes = scratch(OF_STEP, floats + (part.blocks.end - part.blocks.begin) * work->packed * apart);
    if (planes == NULL) {
        atomic_store(work->is_without_memory, 1);
        return;
    }
    float *made = planes + floats;
    if (work->is_padded)
        memset(planes, 0, floats * sizeof *planes);
    else
        memset(planes + floats - ROOM, 0, ROOM * sizeof *planes);
    for (int64_t group = part.groups.begin; group < part.groups.end; group++) {
        fill_planes(work, &part, group, planes);
        make_outputs(work, &part, group, planes, made, apart);
        write_outputs(work, &part, group, made, apart);
    }
}

int convolve(const float *x, const float *weights, const float *bias, float *y, int64_t images, int64_t channels,
             int64_t outs, int64_t groups, const struct window *window, float least, float most) {
    const int64_t ins = channels / groups, per_group = outs / groups, packed = ins == 1 && per_group == 1 ? 1 : PACKED;
    const int64_t taps = ins * window->kernel[ROWS] * window->kernel[COLUMNS];
    const int64_t floats_of_pixel = ins * remainders(window, ROWS) * remainders(window, COLUMNS) + per_group;
    const int64_t pixels = window->in[ROWS] * window->in[COLUMNS];
    atomic_int is_without_memory = 0;
    if (images == 0) return 0;
    if (groups == 1 && packed == PACKED && is_of_points(window) && pixels >= LEAST_POINTS)
        return convolve_points(x, weights, bias, y, images, channels, outs, pixels, least, most);
    if (packed == 1 && channels >= instructions()->lanes)
        return convolve_channels(x, weights, bias, y, images, channels, window, least, most);
    struct work work = {
        .x = x, .weights = weights, .bias = bias, .y = y,
        .images = images, .channels = channels, .outs = outs, .groups = groups,
        .window = window,
        .layout = lay_out(window, images, (is_of_points(window) ? KEPT_POINTS : KEPT_FLOATS) / floats_of_pixel),
        .ins = ins, .per_group = per_group, .packed = packed, .blocks = divided_up(per_group, packed), .taps = taps,
        .least = least, .most = most,
        .is_padded = has_padding(window),
        .is_without_memory = &is_without_memory,
    };
    int64_t *away = malloc(taps * sizeof *away);
    if (away == NULL) return -1;
    find_taps(away, ins, window, &work.layout);
    work.away = away;
    work.bands = divided_up(window->out[ROWS], work.layout.rows);
    const int64_t parts = divided_up(images, work.layout.images) * work.bands;
    work.slices = least_of(divided_up(threads_in_use(), parts), groups > 1 ? groups : work.blocks);
    in_turns(convolve_part, &work, parts * work.slices);
    free(away);
    return atomic_load(&is_without_memory) ? -1 : 0;
}
