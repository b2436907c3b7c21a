/* All operators, and what they share. */

#include "operators.h"

#include <string.h>

int made_as(const struct step *step, int64_t axes, const int64_t *shape) {
    step->made->axes = axes;
    memcpy(step->made->shape, shape, axes * sizeof *shape);
    return 0;
}

int same_shape(const struct step *step) { return made_as(step, step->given[0]->axes, step->given[0]->shape); }

/* In the order of rewrites/kernel_nodes.py. */
static const struct operator OPERATORS[] = {
    {3, 13, infer_convolution, compute_convolution, 0},
    {3, 12, infer_winograd, compute_winograd, 0},
    {1, 10, infer_pooling, compute_pooling, 0},
    {3, 2, infer_dense, compute_dense, 0},
    {2, 1, infer_products, compute_products, 0},
    {ANY, 4, infer_recurrence, compute_recurrence, 0},
    {3, 1, infer_layer_norm, compute_layer_norm, 0},
    {3, 3, infer_group_norm, compute_group_norm, 0},
    {1, 1, infer_softmax, compute_softmax, 0},
    {1, 1, infer_activation, compute_activation, 0},
    {2, 2, infer_combination, compute_combination, 0},
    {1, 4, infer_reduction, compute_reduction, 0},
    {1, ANY, infer_transposition, compute_transposition, 0},
    {1, ANY, infer_part, compute_part_of, 0},
    {1, ANY, infer_repetition, compute_repetition, 0},
    {ANY, 1, infer_concatenation, compute_concatenation, 0},
    {1, ANY, infer_padding, compute_padding, 0},
    {1, ANY, infer_view, nothing_to_compute, 1},
    {2, 2, infer_filling, compute_filling, 0},
    {2, 0, infer_lookup, compute_lookup, 0},
};

const struct operator *operator_of(int64_t number) {
    const int64_t count = sizeof OPERATORS / sizeof *OPERATORS;
    return number >= 0 && number < count ? &OPERATORS[number] : NULL;
}
