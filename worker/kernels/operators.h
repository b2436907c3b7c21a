/* The operators of a chain: of each the shape of what it makes, and the call that computes it. */

#ifndef MINDSPORE_SERVING_OPERATORS_H
#define MINDSPORE_SERVING_OPERATORS_H

#include "chain.h"

#include <math.h>
#include <string.h>

enum { UNCLAMPED, FROM_ZERO, FROM_ZERO_TO_SIX };

static inline float least_of_clamp(int64_t clamp) { return clamp == UNCLAMPED ? -INFINITY : 0; }
static inline float most_of_clamp(int64_t clamp) { return clamp == FROM_ZERO_TO_SIX ? 6 : INFINITY; }

/* A number whose bits a step is told. */
static inline float float_of(int64_t told) {
    const uint32_t bits = (uint32_t)told;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Whether two sizes are the same, for all that is known. */
static inline int fits(int64_t one, int64_t other) { return one == other || one < 0 || other < 0; }

/* Whether there is a size that an axis has for two values, of which one may have 1 and is repeated. */
static inline int common_size(int64_t one, int64_t other, int64_t *size) {
    *size = one == 1 || (one < 0 && other > 1) ? other : one;
    return one == 1 || other == 1 || fits(one, other);
}

/* What the step makes has this shape, or that of its first value. Return 0. */
int made_as(const struct step *step, int64_t axes, const int64_t *shape);
int same_shape(const struct step *step);

/* layers.c */
int infer_convolution(const struct step *step), compute_convolution(const struct step *step);
int infer_winograd(const struct step *step), compute_winograd(const struct step *step);
int infer_pooling(const struct step *step), compute_pooling(const struct step *step);
int infer_dense(const struct step *step), compute_dense(const struct step *step);
int infer_products(const struct step *step), compute_products(const struct step *step);
int infer_recurrence(const struct step *step), compute_recurrence(const struct step *step);

/* rows.c */
int infer_layer_norm(const struct step *step), compute_layer_norm(const struct step *step);
int infer_group_norm(const struct step *step), compute_group_norm(const struct step *step);
int infer_softmax(const struct step *step), compute_softmax(const struct step *step);
int infer_reduction(const struct step *step), compute_reduction(const struct step *step);

/* elements.c */
int infer_activation(const struct step *step), compute_activation(const struct step *step);
int infer_combination(const struct step *step), compute_combination(const struct step *step);
int infer_filling(const struct step *step), compute_filling(const struct step *step);

/* places.c */
int infer_transposition(const struct step *step), compute_transposition(const struct step *step);
int infer_part(const struct step *step), compute_part_of(const struct step *step);
int infer_repetition(const struct step *step), compute_repetition(const struct step *step);
int infer_concatenation(const struct step *step), compute_concatenation(const struct step *step);
int infer_padding(const struct step *step), compute_padding(const struct step *step);
int infer_lookup(const struct step *step), compute_lookup(const struct step *step);
int infer_view(const struct step *step), nothing_to_compute(const struct step *step);

#endif
