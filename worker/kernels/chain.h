/* A chain: what stands in a MindIR as one operator, made of several of ours. */

#ifndef MINDSPORE_SERVING_CHAIN_H
#define MINDSPORE_SERVING_CHAIN_H

#include <stdint.h>

enum { ANY = -1 };
enum { MOST_AXES = 8, MOST_GIVEN = 8, MOST_STEPS = 64, MOST_INPUTS = 256 };

/* An open dimension is -1, as long as only shapes are asked for. */
struct tensor {
    float *numbers; /* what rows are looked up by is int32, of the same size */
    int64_t axes, shape[MOST_AXES];
};

struct step {
    const struct operator *operator;
    const struct tensor *given[MOST_GIVEN];
    int64_t count_given;
    const int64_t *told;
    int64_t count_told;
    struct tensor *made;
};

/* Each returns 0, or -1: sizes do not belong together, or there is no memory, or no such row. */
struct operator {
    int given, told;                        /* how many tensors it takes, and how many numbers; ANY: some */
    int (*infer)(const struct step *step);  /* the shape of what it makes, for dimensions that may be open */
    int (*compute)(const struct step *step);
    int is_view; /* what it makes are the very numbers that it takes */
};

/* In the order of rewrites/kernel_nodes.py; NULL: there is none of this number. */
const struct operator *operator_of(int64_t number);

/* What is handed over: dimensions of the program, and of each input; of what is made as well, where it is computed. */
struct shapes {
    const int *counts;
    int64_t *const *shapes;
};

struct chain {
    int64_t inputs, of_instances, steps;
    struct step step[MOST_STEPS];
    struct tensor value[MOST_INPUTS + MOST_STEPS];
};

enum { ALL_INSTANCES = -1 };

/* The steps, with all shapes, for so many instances. Returns 0, or -1: there is no such chain. */
int read_chain(struct chain *chain, struct shapes all, int64_t instances);

static inline const struct tensor *last_of(const struct chain *chain) { return chain->step[chain->steps - 1].made; }

/* values: the program's, which is not looked at, each input's, and what is made, `count` together. Returns 0, or -1:
 * sizes do not belong together, or there is no memory. */
int compute_chain(struct shapes all, int count, void **values);

/* The same for `count` of what is described, one after the other; apart: floats between those of a value, 0 where they
 * share it. What is made lies close together. */
int compute_each(struct shapes all, void **values, const int64_t *apart, int64_t count);

static inline int64_t product_of(const int64_t *shape, int64_t axes) {
    int64_t found = 1;
    for (int64_t axis = 0; axis < axes; axis++) found *= shape[axis];
    return found;
}

static inline int64_t count_of(const struct tensor *tensor) { return product_of(tensor->shape, tensor->axes); }

#endif
