/* A chain as the one operator that MindSpore knows: `Custom` of its func_type "aot", described with mindspore.ops.Custom.
 *
 * There is `chain`, which computes, chainInferShape and chainInferType. MindSpore calls these as functions of C++ that
 * return a std::vector<int64_t>, and that take a std::vector of types by value. By the C++ ABI for 64-bit machines
 * (Itanium C++ ABI, 3.1) the one is returned in memory as a structure of C of that size, the other is passed by its
 * address; and a vector is three pointers into memory of operator new, which is malloc. */

#include "chain.h"
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

struct vector {
    int64_t *begin, *end, *room;
};

struct types {
    const int *begin, *end, *room;
};

EXPORTED struct vector chainInferShape(int *counts, int64_t **shapes, void *attributes);
EXPORTED int chainInferType(struct types *inputs, void *attributes);
EXPORTED int chain(int count, void **values, int *counts, int64_t **shapes, const char **types, void *stream,
                   void *extra);

/* In place of a shape of which not even the number of axes is known. */
static const int64_t UNRANKED = -2;

static int has_unranked(struct shapes all) {
    for (int64_t input = 1; input <= all.shapes[0][1]; input++)
        if (all.counts[input] == 1 && all.shapes[input][0] == UNRANKED) return 1;
    return 0;
}

/* Unranked too if there is no such chain: MindSpore leaves out what has no axes when it calls this for the next one. A
 * vector that is empty makes MindSpore report a wrong shape: there is no memory. */
struct vector chainInferShape(int *counts, int64_t **shapes, void *attributes) {
    (void)attributes;
    struct vector shape = {0};
    struct chain chain;
    const struct shapes all = {counts, shapes};
    const int is_known = !has_unranked(all) && read_chain(&chain, all, ALL_INSTANCES) == 0;
    const int64_t axes = is_known ? last_of(&chain)->axes : 1;
    shape.begin = malloc((axes + 1) * sizeof(int64_t));
    if (shape.begin == NULL) return shape;
    memcpy(shape.begin, is_known ? last_of(&chain)->shape : &UNRANKED, axes * sizeof(int64_t));
    shape.end = shape.begin + axes;
    shape.room = shape.end + 1;
    return shape;
}

/* float32, as the program is. */
int chainInferType(struct types *inputs, void *attributes) {
    (void)attributes;
    return inputs->begin[0];
}

/* 0, or -1, which MindSpore makes an error: sizes do not belong together, or there is no memory. */
int chain(int count, void **values, int *counts, int64_t **shapes, const char **types, void *stream, void *extra) {
    (void)types, (void)stream, (void)extra;
    return compute_chain((struct shapes){counts, shapes}, count, values);
}
