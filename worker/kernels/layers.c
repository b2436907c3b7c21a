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
    if (x->shape[1] * window.kernel[ROWS] * window.kernel[COLUMNS] != taps * step->told[GROUPS]) return -1;
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

int infer_winograd(const struct step *step) {
    const struct tensor *x = step->given[0], *weights = step->given[1];
    const struct window window = window_of(x->shape, step->told);
    if (x->axes != 4 || weights->axes != 4 || weights->shape[0] != TRANSFORMED || weights->shape[2] != x->shape[1]) return -1;
    if (weights->shape[1] != divided_up(step->told[OUTS], PACKED)) return -1;
    for (int axis = ROWS; axis <= COLUMNS; axis++)
        if (window.kernel[axis] != 3 || window.stride[axis] != 1 || window.dilation[axis] != 1) return -1;
    return made_as(step, 4, (int64_t[]){x->shape[0], step->told[OUTS], window.out[ROWS], window.out[COLUMNS]});
}

int compute_winograd(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    return convolve_by_winograd(x->numbers, step->given[1]->numbers, step->given[2]->numbers, step->made->numbers,
                             x->shape[0], x->shape[1], step->told[OUTS], &window,
                             least_of_clamp(step->told[CLAMP_OF_WINOGRAD]), most_of_clamp(step->told[CLAMP_OF_WINOGRAD]));
}

/* Images. Told: a window's ten numbers. */
int infer_pooling(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    if (x->axes != 4) return -1;
    for (int axis = ROWS; axis <= COLUMNS; axis++) /* each window has a part of the image */
        if ((window.out[axis] - 1) * window.stride[axis] - window.before[axis] >= window.in[axis]) return -1;
    return made_as(step, 4, (int64_t[]){x->shape[0], x->shape[1], window.out[ROWS], window.out[COLUMNS]});
}

int compute_pooling(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    return max_pool(x->numbers, step->made->numbers, x->shape[0] * x->shape[1], &window);
}

/* Rows, weights and bias as multiply() has them. Told: columns, clamp. */
int infer_dense(const struct step *step) {
    const struct tensor *x = step->given[0], *weights = step->given[1];
    if (x->axes != 2 || weights->axes != 3 || x->shape[1] != weights->shape[1]) return -1;
    return made_as(step, 2, (int64_t[]){x->shape[0], step->told[0]});
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
    if (x->shape[axes - 1] != other->shape[axes - (is_transposed ? 1 : 2)]) return -1;
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
