/* Recurrent layers. What x adds to the gates is one product for many moments, of all rows; then some of the rows go through
 * these moments by themselves, by a thread each. */

#include "kernels.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum {
    GATES_AT_ONCE = 1 << 18, /* floats: what a core's second cache holds */
    LEAST_ROWS = 4,          /* that are worth another thread */
};

/* Some moments, in the order in which they come. */
struct span {
    const struct recurrence *layer;
    int64_t first, count, rows_of_part;
    float *gates, *kept; /* gates: of the span's moments, as these lie in x */
    int64_t width, kept_width;
};

static int64_t moment_of(const struct recurrence *layer, int64_t turn) {
    return layer->is_backward ? layer->moments - 1 - turn : turn;
}

static int64_t first_moment(const struct span *span) {
    return least_of(moment_of(span->layer, span->first), moment_of(span->layer, span->first + span->count - 1));
}

static void add_inputs(const struct span *span) {
    const struct recurrence *layer = span->layer;
    const struct product product = {
        .x = layer->x + first_moment(span) * layer->rows * layer->ins, .weights = layer->weights, .bias = layer->bias,
        .y = span->gates, .rows = span->count * layer->rows, .depth = layer->ins, .columns = span->width,
        .least = -INFINITY, .most = INFINITY,
    };
    multiply(&product);
}

/* What the moment before made of this row and the next ones, added to their gates. */
static void add_before(const struct span *span, int64_t turn, int64_t row, int64_t rows, float *gates) {
    const struct recurrence *layer = span->layer;
    const float *y = turn == 0 ? layer->first_y : layer->y + moment_of(layer, turn - 1) * layer->rows * layer->units;
    if (y == NULL) return;
    const struct product product = {
        .x = y + row * layer->units, .weights = layer->back, .bias = gates, .y = gates,
        .rows = rows, .depth = layer->units, .columns = span->width, .apart = span->width,
        .least = -INFINITY, .most = INFINITY,
    };
    instructions()->multiply(&product, 0, rows, 0, span->width / PANEL);
}

static void run_rows(const void *what, int64_t number) {
    const struct span *span = what;
    const struct recurrence *layer = span->layer;
    const int64_t row = number * span->rows_of_part, end = least_of(row + span->rows_of_part, layer->rows);
    for (int64_t turn = span->first; turn < span->first + span->count; turn++) {
        const int64_t moment = moment_of(layer, turn);
        float *gates = span->gates + (moment - first_moment(span)) * layer->rows * span->width;
        add_before(span, turn, row, end - row, gates + row * span->width);
        for (int64_t one = row; one < end; one++)
            instructions()->remember(layer->cell, gates + one * span->width, span->kept + one * span->kept_width,
                                     layer->y + (moment * layer->rows + one) * layer->units, layer->units);
    }
}

/* Between the caller's rows and those that go on to a whole panel. */
static void begin_kept(const struct span *span) {
    const struct recurrence *layer = span->layer;
    memset(span->kept, 0, layer->rows * span->kept_width * sizeof *span->kept);
    for (int64_t row = 0; layer->first_kept != NULL && row < layer->rows; row++)
        memcpy(span->kept + row * span->kept_width, layer->first_kept + row * layer->units, layer->units * sizeof(float));
}

static void end_kept(const struct span *span) {
    const struct recurrence *layer = span->layer;
    for (int64_t row = 0; layer->last_kept != NULL && row < layer->rows; row++)
        memcpy(layer->last_kept + row * layer->units, span->kept + row * span->kept_width, layer->units * sizeof(float));
}

int recur(const struct recurrence *layer) {
    if (layer->rows == 0) return 0;
    const int64_t of_panel = units_of_panel(layer->cell), panels = divided_up(layer->units, of_panel);
    const int64_t share = divided_up(layer->rows, threads_in_use());
    struct span span = {
        .layer = layer, .width = panels * PANEL, .kept_width = panels * of_panel,
        .rows_of_part = share < LEAST_ROWS ? LEAST_ROWS : share,
    };
    const int64_t of_moment = layer->rows * span.width;
    const int64_t most = least_of(divided_up(GATES_AT_ONCE, of_moment), layer->moments);
    span.gates = scratch(OF_STEP, most * of_moment + layer->rows * span.kept_width);
    if (span.gates == NULL) return -1;
    span.kept = span.gates + most * of_moment;
    begin_kept(&span);
    for (; span.first < layer->moments; span.first += span.count) {
        span.count = least_of(most, layer->moments - span.first);
        add_inputs(&span);
        in_turns(run_rows, &span, divided_up(layer->rows, span.rows_of_part));
    }
    end_kept(&span);
    return 0;
}
