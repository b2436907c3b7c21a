/* Layers with weights, pooling, and products of two values. */

#include "operators.h"
#include "kernels.h"

static struct window window_of(const int64_t *image, const int64_t *told) {
    enum { KERNEL = 0, STRIDE = 2, DILATION = 4, BEFORE = 6, OUT = 8 };
    struct window window;
    for (int axis = ROWS; axis <= COLUMNS; axis++) {
        window.in[axis] = image[2 + axis];
        window.out[axis] = told[OUT + axis];
        window.kernel[axis] = told[KERNEL + axis];
        window.stride[axis] = told[STRIDE + axis];
        window.dilation[axis] = told[DILATION + axis];
        window.before[axis] = told[BEFORE + axis];
    }
    return window;
}

/* Images, weights and bias as convolve() has them. Told: a window's ten numbers, and these. */
enum { OUTS = 10, GROUPS, CLAMP };

int infer_convolution(const struct step *step) {
    const struct tensor *x = step->given[0], *weights = step->given[1];
    const struct window window = window_of(x->shape, step->told);
    if (x->axes != 4 || weights->axes < 2 || weights->axes > 4) return -1;
    /* Weights end in taps, or in taps and outputs of a block. */
    const int64_t taps = weights->shape[weights->axes == 2 ? 1 : 2];
    const int64_t channels = x->shape[1] < 0 ? -1 : x->shape[1] * window.kernel[ROWS] * window.kernel[COLUMNS];
    if (!fits(channels, taps * step->told[GROUPS])) return -1;
    return made_as(step, 4, (int64_t[]){x->shape[0], step->told[OUTS], window.out[ROWS], window.out[COLUMNS]});
}

int compute_convolution(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    return convolve(x->numbers, step->given[1]->numbers, step->given[2]->numbers, step->made->numbers, x->shape[0],
                    x->shape[1], step->told[OUTS], step->told[GROUPS], &window, least_of_clamp(step->told[CLAMP]),
                    most_of_clamp(step->told[CLAMP]));
}

/* The same for convolve_by_winograd(), without the number of groups. */
enum { CLAMP_OF_WINOGRAD = 11 };

/* By what they are transformed into; 0: there is no such tile. */
static int64_t side_of_tiles(const struct tensor *weights) {
    return weights->shape[0] == 16 ? 2 : weights->shape[0] == 36 ? 4 : 0;
}

int infer_winograd(const struct step *step) {
    const struct tensor *x = step->given[0], *weights = step->given[1];
    const struct window window = window_of(x->shape, step->told);
    if (x->axes != 4 || weights->axes != 4 || side_of_tiles(weights) == 0) return -1;
    if (!fits(weights->shape[2], x->shape[1])) return -1;
    if (weights->shape[1] != divided_up(step->told[OUTS], PACKED)) return -1;
    for (int axis = ROWS; axis <= COLUMNS; axis++)
        if (window.kernel[axis] != 3 || window.stride[axis] != 1 || window.dilation[axis] != 1) return -1;
    return made_as(step, 4, (int64_t[]){x->shape[0], step->told[OUTS], window.out[ROWS], window.out[COLUMNS]});
}

int compute_winograd(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    return convolve_by_winograd(x->numbers, step->given[1]->numbers, step->given[2]->numbers, step->made->numbers,
                             x->shape[0], x->shape[1], step->told[OUTS], side_of_tiles(step->given[1]), &window,
                             least_of_clamp(step->told[CLAMP_OF_WINOGRAD]), most_of_clamp(step->told[CLAMP_OF_WINOGRAD]));
}

/* Images. Told: a window's ten numbers. */
int infer_pooling(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    if (x->axes != 4) return -1;
    for (int axis = ROWS; axis <= COLUMNS; axis++) /* each window has a part of the image */
        if (window.in[axis] >= 0 && (window.out[axis] - 1) * window.stride[axis] - window.before[axis] >= window.in[axis])
            return -1;
    return made_as(step, 4, (int64_t[]){x->shape[0], x->shape[1], window.out[ROWS], window.out[COLUMNS]});
}

int compute_pooling(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    return max_pool(x->numbers, step->made->numbers, x->shape[0] * x->shape[1], &window);
}

/* Rows, weights and bias as multiply() has them. Told: columns, clamp. */
int infer_dense(const struct step *step) {
    const struct tensor *x = step->given[0], *weights = step->given[1], *bias = step->given[2];
    const int64_t columns = step->told[0], width = panel_of(columns), panels = divided_up(columns, PANEL);
    if (x->axes != 2 || weights->axes != 3 || bias->axes != 1 || !fits(x->shape[1], weights->shape[1])) return -1;
    if (weights->shape[0] != panels || weights->shape[2] != width || bias->shape[0] != panels * width) return -1;
    return made_as(step, 2, (int64_t[]){x->shape[0], columns});
}

int compute_dense(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct product product = {
        .x = x->numbers, .weights = step->given[1]->numbers, .bias = step->given[2]->numbers, .y = step->made->numbers,
        .rows = x->shape[0], .depth = x->shape[1], .columns = step->told[0],
        .least = least_of_clamp(step->told[1]), .most = most_of_clamp(step->told[1]),
    };
    multiply(&product);
    return 0;
}

/* Pairs of matrices along all axes but the last two, where either value may be repeated. Told: whether the second ones
 * are transposed. */
int infer_products(const struct step *step) {
    const struct tensor *x = step->given[0], *other = step->given[1];
    const int64_t axes = x->axes, is_transposed = step->told[0] != 0;
    if (axes < 2 || axes > 2 + MOST_AXES_OF_PAIRS || other->axes != axes) return -1;
    if (!fits(x->shape[axes - 1], other->shape[axes - (is_transposed ? 1 : 2)])) return -1;
    same_shape(step);
    for (int64_t axis = 0; axis < axes - 2; axis++)
        if (!common_size(x->shape[axis], other->shape[axis], &step->made->shape[axis])) return -1;
    step->made->shape[axes - 1] = other->shape[axes - (is_transposed ? 2 : 1)];
    return 0;
}

int compute_products(const struct step *step) {
    const struct tensor *x = step->given[0], *made = step->made;
    struct pairs pairs = {
        .x = x->numbers, .weights = step->given[1]->numbers, .y = made->numbers, .axes = x->axes - 2,
        .rows = x->shape[x->axes - 2], .depth = x->shape[x->axes - 1], .columns = made->shape[x->axes - 1],
        .is_transposed = step->told[0] != 0,
    };
    for (int side = 0; side < 2; side++) {
        int64_t apart = 1;
        for (int64_t axis = pairs.axes - 1; axis >= 0; axis--) {
            const int64_t size = step->given[side]->shape[axis];
            pairs.sizes[axis] = made->shape[axis];
            pairs.apart[side][axis] = size == 1 ? 0 : apart;
            apart *= size;
        }
    }
    return multiply_pairs(&pairs);
}

/* A sequence, weights, bias, weights of the moment before as recur() has them, and, if they are not zeros, the first y and
 * what an LSTM keeps at first. Told: the cell, units, whether it goes backward, whether what an LSTM keeps in the end is
 * one more moment of y. */
enum { CELL, UNITS, IS_BACKWARD, WITH_KEPT };
enum { SEQUENCE, WEIGHTS, BIAS, BACK, FIRST_Y, FIRST_KEPT };

int infer_recurrence(const struct step *step) {
    const int64_t units = step->told[UNITS], is_lstm = step->told[CELL] == LSTM_CELL;
    if (step->told[CELL] >= CELLS || units < 1 || (step->told[WITH_KEPT] && !is_lstm)) return -1;
    if (step->count_given != FIRST_Y && step->count_given != (is_lstm ? FIRST_KEPT : FIRST_Y) + 1) return -1;
    const int64_t panels = divided_up(units, units_of_panel((enum cell)step->told[CELL]));
    const struct tensor *x = step->given[SEQUENCE], *weights = step->given[WEIGHTS], *back = step->given[BACK];
    if (x->axes != 3 || weights->axes != 3 || step->given[BIAS]->axes != 2 || back->axes != 3) return -1;
    for (int64_t given = WEIGHTS; given <= BACK; given++)
        if (step->given[given]->shape[0] != panels) return -1;
    if (!fits(weights->shape[1], x->shape[2]) || back->shape[1] != units) return -1;
    for (int64_t given = FIRST_Y; given < step->count_given; given++) {
        const struct tensor *first = step->given[given];
        if (first->axes < 2 || product_of(first->shape, first->axes - 2) != 1) return -1;
        if (!fits(first->shape[first->axes - 2], x->shape[1]) || first->shape[first->axes - 1] != units) return -1;
    }
    const int64_t moments = x->shape[0] < 0 ? -1 : x->shape[0] + (step->told[WITH_KEPT] != 0);
    return made_as(step, 3, (int64_t[]){moments, x->shape[1], units});
}

int compute_recurrence(const struct step *step) {
    const struct tensor *x = step->given[SEQUENCE];
    struct recurrence layer = {
        .cell = (enum cell)step->told[CELL], .x = x->numbers, .weights = step->given[WEIGHTS]->numbers,
        .bias = step->given[BIAS]->numbers, .back = step->given[BACK]->numbers, .y = step->made->numbers,
        .moments = x->shape[0], .rows = x->shape[1], .ins = x->shape[2], .units = step->told[UNITS],
        .is_backward = step->told[IS_BACKWARD] != 0,
    };
    if (step->count_given > FIRST_Y) {
        layer.first_y = step->given[FIRST_Y]->numbers;
        layer.first_kept = step->given[step->count_given - 1]->numbers; /* by a GRU, y itself */
    }
    if (step->told[WITH_KEPT]) layer.last_kept = layer.y + layer.moments * layer.rows * layer.units;
    return recur(&layer);
}
