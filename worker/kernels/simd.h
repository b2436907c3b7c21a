/* The functions of `struct instructions` for one set of instructions: included once for each by instructions.c. */

#include "lanes.h"

#include "simd_functions.h"

#include "simd_channels.h"
#include "simd_convolution.h"
#include "simd_copies.h"
#include "simd_elements.h"
#include "simd_pooling.h"
#include "simd_product.h"
#include "simd_recurrence.h"
#include "simd_rows.h"
#include "simd_winograd.h"

static const struct instructions NAME(instructions) = {
    .lanes = LANES,
    .chunk = 2 * WIDE * LANES,
    .sums = NAME(sums),
    .sum_channels = NAME(sum_channels),
    .transform_input = {NAME(transform_input), NAME(transform_larger_input)},
    .transform_output = {NAME(transform_output), NAME(transform_larger_output)},
    .multiply = NAME(multiply),
    .largest = NAME(largest),
    .extreme = NAME(extreme),
    .copy_lines = NAME(copy_lines),
    .copy_rows = NAME(copy_rows),
    .transpose = NAME(transpose),
    .layer_norm = NAME(layer_norm),
    .moments = NAME(moments),
    .scale = NAME(scale),
    .softmax = NAME(softmax),
    .softmax_columns = NAME(softmax_columns),
    .activate = NAME(activate),
    .combine = NAME(combine),
    .remember = NAME(remember),
    .sum = NAME(sum_of),
    .sum_rows = NAME(sum_rows),
};

/* For the next inclusion. */
#undef NAME
#undef TARGET
#undef LANES
#undef TALL
#undef WIDE
#undef HIGH
#undef BROAD
