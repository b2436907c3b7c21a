/* The operators as MindSpore calls them: `Custom` of its func_type "aot", described with mindspore.ops.Custom.
 *
 * For each there is NAME, which computes, NAMEInferShape and NAMEInferType. MindSpore calls these as functions of C++
 * that return a std::vector<int64_t>, and that take a std::vector of types by value. By the C++ ABI for 64-bit machines
 * (Itanium C++ ABI, 3.1) the one is returned in memory as a structure of C of that size, the other is passed by its
 * address; and a vector is three pointers into memory of operator new, which is malloc.
 *
 * What is no tensor cannot be an input, and shapes are told before values: so what an operator does stands in the
 * shape of an input without elements. Its first dimension is 0. Each returns 0, or -1, which MindSpore makes an error:
 * sizes do not belong together, or there is no memory. */

#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct vector {
    int64_t *begin, *end, *room;
};

struct types {
    const int *begin, *end, *room;
};

/* A vector that is empty for want of memory makes MindSpore report a wrong shape. */
static struct vector shape_of(int64_t count, const int64_t *dimensions) {
    struct vector shape = {0};
    shape.begin = malloc(count * sizeof *dimensions);
    if (shape.begin != NULL) {
        memcpy(shape.begin, dimensions, count * sizeof *dimensions);
        shape.end = shape.room = shape.begin + count;
    }
    return shape;
}

static int64_t product(const int64_t *dimensions, int count) {
    int64_t found = 1;
    for (int axis = 0; axis < count; axis++) found *= dimensions[axis];
    return found;
}

/* Each gives float32 for float32, which is the type of the first input. */
#define OPERATOR(name)                                                                                                 \
    EXPORTED struct vector name##InferShape(int *counts, int64_t **shapes, void *attributes);                          \
    EXPORTED int name##InferType(struct types *inputs, void *attributes);                                              \
    EXPORTED COMPUTE(name);                                                                                            \
    int name##InferType(struct types *inputs, void *attributes) {                                                      \
        (void)attributes;                                                                                              \
        return inputs->begin[0];                                                                                       \
    }                                                                                                                  \
    struct vector name##InferShape(int *counts, int64_t **shapes, void *attributes)

#define SAME_SHAPE                                                                                                     \
    {                                                                                                                  \
        (void)attributes;                                                                                              \
        return shape_of(counts[0], shapes[0]);                                                                         \
    }

#define COMPUTE(name)                                                                                                  \
    int name(int count, void **values, int *counts, int64_t **shapes, const char **types, void *stream, void *extra)

#define UNUSED (void)count, (void)counts, (void)types, (void)stream, (void)extra

/* The dimensions of what tells a window, in order; convolutions have more. */
enum { KERNEL = 1, STRIDE = 3, DILATION = 5, BEFORE = 7, OUT = 9, OUTS = 11, GROUPS, CLAMP };
enum { LEAST_FLOATS = 1 << 14 }; /* that are worth another thread */
enum { UNCLAMPED, FROM_ZERO, FROM_ZERO_TO_SIX };

static int are_equal(const int64_t *one, const int64_t *other, int count) {
    for (int axis = 0; axis < count; axis++)
        if (one[axis] != other[axis]) return 0;
    return 1;
}

static float least_of_clamp(int64_t clamp) { return clamp == UNCLAMPED ? -INFINITY : 0; }
static float most_of_clamp(int64_t clamp) { return clamp == FROM_ZERO_TO_SIX ? 6 : INFINITY; }

static struct window window_of(const int64_t *image, const int64_t *told) {
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

/* Images, weights and bias as convolve() has them, and what the window does. */
OPERATOR(convolution) {
    (void)counts, (void)attributes;
    const int64_t *told = shapes[3], shape[] = {shapes[0][0], told[OUTS], told[OUT], told[OUT + 1]};
    return shape_of(4, shape);
}

COMPUTE(convolution) {
    UNUSED;
    const int64_t *image = shapes[0], *told = shapes[3];
    const struct window window = window_of(image, told);
    /* Weights end in taps, or in taps and outputs of a block. */
    const int64_t taps = shapes[1][counts[1] == 2 ? 1 : 2];
    if (image[1] * window.kernel[ROWS] * window.kernel[COLUMNS] != taps * told[GROUPS]) return -1;
    return convolve(values[0], values[1], values[2], values[4], image[0], image[1], told[OUTS], told[GROUPS], &window,
                    least_of_clamp(told[CLAMP]), most_of_clamp(told[CLAMP]));
}

/* Images, and what the window does. */
OPERATOR(pooling) {
    (void)counts, (void)attributes;
    const int64_t shape[] = {shapes[0][0], shapes[0][1], shapes[1][OUT], shapes[1][OUT + 1]};
    return shape_of(4, shape);
}

COMPUTE(pooling) {
    UNUSED;
    const struct window window = window_of(shapes[0], shapes[1]);
    for (int axis = ROWS; axis <= COLUMNS; axis++) /* each window has a part of the image */
        if ((window.out[axis] - 1) * window.stride[axis] - window.before[axis] >= window.in[axis]) return -1;
    return max_pool(values[0], values[2], shapes[0][0] * shapes[0][1], &window);
}

/* Rows, weights and bias as multiply() has them, and 0, columns, clamp. */
OPERATOR(dense) {
    (void)counts, (void)attributes;
    const int64_t shape[] = {shapes[0][0], shapes[3][1]};
    return shape_of(2, shape);
}

COMPUTE(dense) {
    UNUSED;
    const struct product product = {
        .x = values[0], .weights = values[1], .bias = values[2], .y = values[4],
        .rows = shapes[0][0], .depth = shapes[0][1], .columns = shapes[3][1],
        .least = least_of_clamp(shapes[3][2]), .most = most_of_clamp(shapes[3][2]),
    };
    if (product.depth != shapes[1][1]) return -1;
    multiply(&product);
    return 0;
}

/* Pairs of matrices along all axes but the last two, and 0, whether the second ones are transposed. */
OPERATOR(products) {
    (void)attributes;
    struct vector shape = shape_of(counts[0], shapes[0]);
    if (shape.begin != NULL) shape.begin[counts[0] - 1] = shapes[1][counts[1] - (shapes[2][1] ? 2 : 1)];
    return shape;
}

COMPUTE(products) {
    UNUSED;
    const int axes = counts[0];
    const struct pairs pairs = {
        .x = values[0], .weights = values[1], .y = values[3],
        .count = product(shapes[0], axes - 2), .rows = shapes[0][axes - 2], .depth = shapes[0][axes - 1],
        .columns = shapes[1][axes - (shapes[2][1] ? 2 : 1)], .is_transposed = shapes[2][1] == 1,
    };
    if (!are_equal(shapes[0], shapes[1], axes - 2)) return -1;
    if (shapes[1][axes - (shapes[2][1] ? 1 : 2)] != pairs.depth) return -1;
    return multiply_pairs(&pairs);
}

/* What is done to many rows along the last axis, a part of them by each thread. */
struct rows {
    void (*function)(const struct rows *rows, const float *x, float *y);
    const float *x, *scale, *shift;
    float *y, epsilon;
    int64_t width, count, of_part;
};

static void compute_part(const void *what, int64_t number) {
    const struct rows *rows = what;
    const int64_t first = number * rows->of_part, next = first + rows->of_part;
    for (int64_t row = first; row < next && row < rows->count; row++)
        rows->function(rows, rows->x + row * rows->width, rows->y + row * rows->width);
}

static int compute(struct rows rows) {
    if (rows.count * rows.width == 0) return 0;
    const int64_t least = LEAST_FLOATS / least_of(rows.width, LEAST_FLOATS);
    rows.of_part = divided_up(rows.count, threads_in_use());
    if (rows.of_part < least) rows.of_part = least;
    in_turns(compute_part, &rows, divided_up(rows.count, rows.of_part));
    return 0;
}

static void normalize(const struct rows *rows, const float *x, float *y) {
    instructions()->layer_norm(x, rows->scale, rows->shift, rows->epsilon, y, rows->width);
}

static void exponentiate(const struct rows *rows, const float *x, float *y) { instructions()->softmax(x, y, rows->width); }

/* Rows, scale, shift, epsilon. */
OPERATOR(layer_norm) SAME_SHAPE

COMPUTE(layer_norm) {
    UNUSED;
    const int64_t width = shapes[0][counts[0] - 1];
    if (shapes[1][0] != width || shapes[2][0] != width) return -1;
    return compute((struct rows){
        .function = normalize, .x = values[0], .scale = values[1], .shift = values[2], .epsilon = *(float *)values[3],
        .y = values[4], .width = width, .count = product(shapes[0], counts[0] - 1),
    });
}

OPERATOR(softmax) SAME_SHAPE

COMPUTE(softmax) {
    UNUSED;
    return compute((struct rows){
        .function = exponentiate, .x = values[0], .y = values[1], .width = shapes[0][counts[0] - 1],
        .count = product(shapes[0], counts[0] - 1),
    });
}

/* Numbers one by one, the same of one value or of two. */
struct elements {
    const float *x, *other;
    float *y, least, most;
    int64_t count, of_part;
    enum activation activation;
};

static void compute_elements(const void *what, int64_t number) {
    const struct elements *elements = what;
    const int64_t first = number * elements->of_part, count = least_of(elements->of_part, elements->count - first);
    if (elements->other == NULL)
        instructions()->activate(elements->activation, elements->x + first, elements->y + first, count);
    else
        instructions()->add(elements->x + first, elements->other + first, elements->least, elements->most,
                            elements->y + first, count);
}

static int compute_all(struct elements elements) {
    const int64_t share = divided_up(elements.count, threads_in_use());
    elements.of_part = share < LEAST_FLOATS ? LEAST_FLOATS : share;
    in_turns(compute_elements, &elements, divided_up(elements.count, elements.of_part));
    return 0;
}

/* Any value, and 0, activation. */
OPERATOR(activation) SAME_SHAPE

COMPUTE(activation) {
    UNUSED;
    return compute_all((struct elements){
        .x = values[0], .y = values[2], .activation = (enum activation)shapes[1][1],
        .count = product(shapes[0], counts[0]),
    });
}

/* Two values of one shape, and 0, clamp. */
OPERATOR(sum) SAME_SHAPE

COMPUTE(sum) {
    UNUSED;
    const int64_t clamp = shapes[2][1];
    if (counts[0] != counts[1] || !are_equal(shapes[0], shapes[1], counts[0])) return -1;
    return compute_all((struct elements){
        .x = values[0], .other = values[1], .y = values[3], .count = product(shapes[0], counts[0]),
        .least = least_of_clamp(clamp), .most = most_of_clamp(clamp),
    });
}

/* The two axes in the middle of four change places. */
OPERATOR(middle_axes) {
    (void)counts, (void)attributes;
    const int64_t *x = shapes[0], shape[] = {x[0], x[2], x[1], x[3]};
    return shape_of(4, shape);
}

/* One of the first axis is a row here: width floats of it lie beside each other before and behind. */
struct turned {
    const float *x;
    float *y;
    const int64_t *size;
};

static void turn_one(const void *what, int64_t first) {
    const struct turned *turned = what;
    const int64_t *size = turned->size, width = size[3], all = size[1] * size[2] * width;
    const float *x = turned->x + first * all;
    float *y = turned->y + first * all;
    for (int64_t third = 0; third < size[2]; third++)
        instructions()->copy_lines(x + third * width, size[2] * width, 1, y + third * size[1] * width, width, size[1],
                                   width);
}

COMPUTE(middle_axes) {
    UNUSED;
    const struct turned turned = {values[0], values[1], shapes[0]};
    in_turns(turn_one, &turned, shapes[0][0]);
    return 0;
}
