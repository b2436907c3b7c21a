/* Products of rows with weights that lie in panels: a part of the rows by some panels is work for one thread. Where two
 * matrices come together for the first time, the second one is laid out in panels first. */

#include "kernels.h"

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

enum { ROWS_OF_A_PART = 192, LEAST_WORK = 1 << 18 }; /* of a part: products that are worth another thread */

struct parts {
    const struct product *product;
    const struct instructions *cpu;
    int64_t rows, panels; /* of a part */
};


static void multiply_part(const void *what, int64_t number) {
    const struct parts *parts = what;
    const int64_t panels = divided_up(parts->product->columns, PANEL), down = divided_up(parts->product->rows, parts->rows);
    const int64_t row = number % down * parts->rows, panel = number / down * parts->panels;
    parts->cpu->multiply(parts->product, row, least_of(row + parts->rows, parts->product->rows), panel,
                         least_of(panel + parts->panels, panels));
}

void multiply(const struct product *product) {
    if (product->rows == 0) return;
    const int64_t panels = divided_up(product->columns, PANEL), work = product->rows * product->depth * product->columns;
    const int64_t down = divided_up(product->rows, ROWS_OF_A_PART);
    int64_t across = divided_up(least_of(threads_in_use(), 1 + work / LEAST_WORK), down);
    if (across > panels) across = panels;
    const struct parts parts = {product, instructions(), divided_up(product->rows, down), divided_up(panels, across)};
    in_turns(multiply_part, &parts, divided_up(product->rows, parts.rows) * divided_up(panels, parts.panels));
}

struct pairs_work {
    const struct pairs *pairs;
    atomic_int *is_without_memory;
};

/* A matrix into panels; what is behind its last column in the last of them is 0. */
static void lay_out(const struct pairs *pairs, const float *from, float *panels) {
    const int64_t depth = pairs->depth, columns = pairs->columns, width = panel_of(columns);
    for (int64_t column = 0; column < columns; column += width, panels += depth * width) {
        const int64_t here = least_of(width, columns - column);
        if (here < width) memset(panels, 0, depth * width * sizeof *panels);
        if (pairs->is_transposed)
            instructions()->transpose(from + column * depth, depth, here, depth, panels, width);
        else
            instructions()->copy_lines(from + column, columns, 1, panels, width, depth, here);
    }
}

static void multiply_pair(const void *what, int64_t number) {
    const struct pairs_work *work = what;
    const struct pairs *pairs = work->pairs;
    int64_t first = 0, second = 0, place = number;
    for (int64_t axis = pairs->axes - 1; axis >= 0; axis--) {
        first += place % pairs->sizes[axis] * pairs->apart[0][axis];
        second += place % pairs->sizes[axis] * pairs->apart[1][axis];
        place /= pairs->sizes[axis];
    }
    const int64_t width = panel_of(pairs->columns), panels = divided_up(pairs->columns, PANEL);
    const int64_t floats = panels * width * pairs->depth;
    float *weights = scratch(OF_STEP, floats + panels * width);
    if (weights == NULL) {
        atomic_store(work->is_without_memory, 1);
        return;
    }
    memset(weights + floats, 0, panels * width * sizeof *weights);
    lay_out(pairs, pairs->weights + second * pairs->depth * pairs->columns, weights);
    const struct product product = {
        .x = pairs->x + first * pairs->rows * pairs->depth, .weights = weights, .bias = weights + floats,
        .y = pairs->y + number * pairs->rows * pairs->columns,
        .rows = pairs->rows, .depth = pairs->depth, .columns = pairs->columns,
        .least = -INFINITY, .most = INFINITY,
    };
    instructions()->multiply(&product, 0, pairs->rows, 0, panels);
}

int multiply_pairs(const struct pairs *pairs) {
    atomic_int is_without_memory = 0;
    const struct pairs_work work = {pairs, &is_without_memory};
    int64_t count = 1;
    for (int64_t axis = 0; axis < pairs->axes; axis++) count *= pairs->sizes[axis];
    in_turns(multiply_pair, &work, count);
    return atomic_load(&is_without_memory) ? -1 : 0;
}
