/* A chain as straight_calls.py calls it, past MindSpore: with what MindSpore would hand over. */

#include "chain.h"
#include "kernels.h"

#include <string.h>

EXPORTED int64_t shape_of(const int *counts, int64_t *const *shapes, int64_t *made);
EXPORTED int compute(int count, void **values, const int *counts, int64_t *const *shapes);
EXPORTED int compute_one_by_one(void **values, const int *counts, int64_t *const *shapes, const int64_t *apart,
                                int64_t instances);

/* Writes the shape of what is made, of MOST_AXES at most. Returns its axes, or -1: sizes do not belong together. */
int64_t shape_of(const int *counts, int64_t *const *shapes, int64_t *made) {
    struct chain chain;
    if (read_chain(&chain, (struct shapes){counts, shapes}, ALL_INSTANCES) != 0) return -1;
    const struct tensor *last = last_of(&chain);
    memcpy(made, last->shape, last->axes * sizeof *made);
    return last->axes;
}

/* compute_chain(), and compute_each(). */
int compute(int count, void **values, const int *counts, int64_t *const *shapes) {
    return compute_chain((struct shapes){counts, shapes}, count, values);
}

int compute_one_by_one(void **values, const int *counts, int64_t *const *shapes, const int64_t *apart,
                       int64_t instances) {
    return compute_each((struct shapes){counts, shapes}, values, apart, instances);
}
