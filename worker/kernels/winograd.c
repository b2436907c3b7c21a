/* Convolutions by windows of 3 x 3 that move by one place, in fewer products: Lavin, Gray 2016, "Fast Algorithms for
 * Convolutional Neural Networks", section 4.1, F(2x2, 3x3), and F(4x4, 3x3).
 *
 * A tile of 2 x 2 outputs depends on 4 x 4 pixels. Tile and weights are transformed: sums are made of them, 16 of each.
 * The products of the first with the first, the second with the second, and so on, each summed up over channels, are
 * transformed into the outputs: 16 products for each channel instead of 36. Of 4 x 4 outputs they are 36 instead of 144,
 * and the weights are more. Tiles are like the pixels that a window of 4 x 4, or 6 x 6, makes which moves by two places,
 * or four, and so they lie in planes (planes.c). */

#include "planes.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Of transformed tiles: about what a core has for itself, but no fewer than are worth to read all weights. */
enum { KEPT_FLOATS = 256 << 10, LEAST_TILES = 48 };

struct work {
    const float *x, *weights, *bias;
    float *y;
    int64_t images, channels, outs, blocks; /* of PACKED outputs */
    const struct window *window, *tiles;
    struct layout layout; /* of tiles */
    int64_t side, numbers;        /* of a tile: outputs in a row; what it is transformed into */
    int64_t places[TRANSFORMED];  /* of a tile's pixels in a plane */
    const int64_t *away;          /* from the first channel to each, of transformed tiles */
    int64_t bands, slices, apart; /* apart: from one channel to the next */
    int64_t numbers_apart; /* from one number to the next, which is no power of two: all would be in one set of a cache */
    float least, most;
    atomic_int *is_without_memory;
};

/* What a part is of the whole: of each, the first and what is behind the last. */
struct part {
    struct range images, rows, blocks; /* rows: of tiles */
};

static struct part part_of(const struct work *work, int64_t number) {
    const int64_t slice = number % work->slices, band = number / work->slices % work->bands;
    const int64_t image = number / work->slices / work->bands * work->layout.images, row = band * work->layout.rows;
    return (struct part){
        .images = {image, least_of(image + work->layout.images, work->images)},
        .rows = {row, least_of(row + work->layout.rows, work->tiles->out[ROWS])},
        .blocks = slice_of(work->blocks, slice, work->slices),
    };
}

/* All tiles: [number of a transformed tile][channel][tile]. plane: room for one channel. */
static void transform_channels(const struct work *work, const struct part *part, int64_t tiles, float *plane,
                               float *transformed) {
    const int64_t pixels = work->window->in[ROWS] * work->window->in[COLUMNS];
    for (int64_t channel = 0; channel < work->channels; channel++) {
        for (int64_t image = part->images.begin; image < part->images.end; image++)
            copy_channel(work->x + (image * work->channels + channel) * pixels,
                         plane + (image - part->images.begin) * work->layout.lines * work->layout.columns, work->tiles,
                         &work->layout, part->rows.begin);
        instructions()->transform_input[work->side == 4](plane, work->places, transformed + channel * work->apart,
                                        work->numbers_apart, tiles);
    }
}

/* The outputs of a block: [row and column in the tile][output][tile]. sums: room for those of some tiles. */
static void make_outputs(const struct work *work, int64_t block, int64_t tiles, const float *transformed, float *sums,
                         float *made) {
    static const float none[PACKED];
    const struct instructions *cpu = instructions();
    const int64_t outs = least_of(PACKED, work->outs - block * PACKED), apart = cpu->chunk + ROOM;
    for (int64_t tile = 0; tile < tiles; tile += cpu->chunk) {
        const int64_t count = least_of(cpu->chunk, tiles - tile);
        for (int64_t one = 0; one < work->numbers; one++) {
            const struct run run = {
                .x = transformed + one * work->numbers_apart + tile,
                .weights = work->weights + (one * work->blocks + block) * work->channels * PACKED,
                .bias = none,
                .away = work->away,
                .taps = work->channels,
                .step = PACKED,
                .y = sums + one * PACKED * apart,
                .pixels = count,
                .apart = apart,
                .least = -INFINITY,
                .most = INFINITY,
            };
            cpu->sums(&run, outs);
        }
        for (int64_t out = 0; out < outs; out++)
            cpu->transform_output[work->side == 4](sums + out * apart, PACKED * apart, work->bias[block * PACKED + out],
                                                   work->least, work->most, made + out * work->apart + tile,
                                                   PACKED * work->apart, count);
    }
}

/* The outputs of a block to where they belong. */
static void write_outputs(const struct work *work, const struct part *part, int64_t block, const float *made) {
    const int64_t height = work->window->out[ROWS], width = work->window->out[COLUMNS];
    const int64_t outs = least_of(PACKED, work->outs - block * PACKED), side = work->side, whole = width / side;
    const int64_t first = part->rows.begin * side, end = least_of(part->rows.end * side, height);
    const int64_t column = PACKED * work->apart; /* from one in a tile to the next */
    for (int64_t image = part->images.begin; image < part->images.end; image++)
        for (int64_t out = 0; out < outs; out++) {
            const float *from = made + out * work->apart +
                                (image - part->images.begin) * work->layout.lines * work->layout.columns;
            float *to = work->y + (image * work->outs + block * PACKED + out) * height * width;
            for (int64_t row = first; row < end; row++) {
                const float *line = from + row % side * side * column + (row - first) / side * work->layout.columns;
                instructions()->transpose(line, column, side, whole, to + row * width, side);
                for (int64_t last = whole * side; last < width; last++) to[row * width + last] = line[last % side * column + whole];
            }
        }
}

static void convolve_part(const void *what, int64_t number) {
    const struct work *work = what;
    const struct part part = part_of(work, number);
    const int64_t images = part.images.end - part.images.begin, rows = part.rows.end - part.rows.begin;
    const int64_t tiles = ((images - 1) * work->layout.lines + rows - 1) * work->layout.columns + work->tiles->out[COLUMNS];
    const int64_t outputs = work->side * work->side, of_plane = outputs * work->layout.plane + ROOM;
    const int64_t of_transformed = work->numbers * work->numbers_apart;
    const int64_t of_sums = work->numbers * PACKED * (instructions()->chunk + ROOM);
    const int64_t of_made = outputs * PACKED * work->apart + ROOM;
    float *plane = scratch(OF_STEP, of_plane + of_transformed + of_sums + of_made);
    if (plane == NULL) {
        atomic_store(work->is_without_memory, 1);
        return;
    }
    float *transformed = plane + of_plane, *sums = transformed + of_transformed, *made = sums + of_sums;
    memset(plane, 0, of_plane * sizeof *plane);
    memset(transformed + of_transformed - ROOM, 0, ROOM * sizeof *transformed);
    transform_channels(work, &part, tiles, plane, transformed);
    for (int64_t block = part.blocks.begin; block < part.blocks.end; block++) {
        make_outputs(work, block, tiles, transformed, sums, made);
        write_outputs(work, &part, block, made);
    }
}

int convolve_by_winograd(const float *x, const float *weights, const float *bias, float *y, int64_t images,
                      int64_t channels, int64_t outs, int64_t side, const struct window *window, float least, float most) {
    if (images == 0) return 0;
    struct window tiles = *window;
    for (int axis = ROWS; axis <= COLUMNS; axis++) {
        tiles.out[axis] = divided_up(window->out[axis], side);
        tiles.kernel[axis] = side + window->kernel[axis] - 1;
        tiles.stride[axis] = side;
    }
    const int64_t numbers = tiles.kernel[ROWS] * tiles.kernel[COLUMNS], kept = KEPT_FLOATS / (numbers * channels);
    atomic_int is_without_memory = 0;
    struct work work = {
        .x = x, .weights = weights, .bias = bias, .y = y,
        .images = images, .channels = channels, .outs = outs, .blocks = divided_up(outs, PACKED),
        .window = window, .tiles = &tiles, .side = side, .numbers = numbers,
        .layout = lay_out(&tiles, images, kept > LEAST_TILES ? kept : LEAST_TILES),
        .least = least, .most = most,
        .is_without_memory = &is_without_memory,
    };
    /* Whole vectors of tiles are written. */
    work.apart = divided_up(work.layout.images * work.layout.lines * work.layout.columns, ROOM) * ROOM;
    work.numbers_apart = channels * work.apart + ROOM;
    find_taps(work.places, 1, &tiles, &work.layout);
    int64_t *away = malloc(channels * sizeof *away);
    if (away == NULL) return -1;
    for (int64_t channel = 0; channel < channels; channel++) away[channel] = channel * work.apart;
    work.away = away;
    work.bands = divided_up(tiles.out[ROWS], work.layout.rows);
    const int64_t parts = divided_up(images, work.layout.images) * work.bands;
    work.slices = least_of(divided_up(threads_in_use(), parts), work.blocks);
    in_turns(convolve_part, &work, parts * work.slices);
    free(away);
    return atomic_load(&is_without_memory) ? -1 : 0;
}
