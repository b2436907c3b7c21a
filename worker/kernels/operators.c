/* The operators of a chain: of each the shape of what it makes, and the call that computes it. */

#include "chain.h"
#include "kernels.h"

#include <math.h>
#include <string.h>

enum { LEAST_FLOATS = 1 << 14 }; /* that are worth another thread */
enum { UNCLAMPED, FROM_ZERO, FROM_ZERO_TO_SIX };

static float least_of_clamp(int64_t clamp) { return clamp == UNCLAMPED ? -INFINITY : 0; }
static float most_of_clamp(int64_t clamp) { return clamp == FROM_ZERO_TO_SIX ? 6 : INFINITY; }

/* Whether two sizes are the same, for all that is known. */
static int fits(int64_t one, int64_t other) { return one == other || one < 0 || other < 0; }

static int made_as(const struct step *step, int64_t axes, const int64_t *shape) {
    step->made->axes = axes;
    memcpy(step->made->shape, shape, axes * sizeof *shape);
    return 0;
}

static int same_shape(const struct step *step) { return made_as(step, step->given[0]->axes, step->given[0]->shape); }

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

static int infer_convolution(const struct step *step) {
    const struct tensor *x = step->given[0], *weights = step->given[1];
    const struct window window = window_of(x->shape, step->told);
    if (x->axes != 4 || weights->axes < 2 || weights->axes > 4) return -1;
    /* Weights end in taps, or in taps and outputs of a block. */
    const int64_t taps = weights->shape[weights->axes == 2 ? 1 : 2];
    if (x->shape[1] * window.kernel[ROWS] * window.kernel[COLUMNS] != taps * step->told[GROUPS]) return -1;
    return made_as(step, 4, (int64_t[]){x->shape[0], step->told[OUTS], window.out[ROWS], window.out[COLUMNS]});
}

static int compute_convolution(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    return convolve(x->numbers, step->given[1]->numbers, step->given[2]->numbers, step->made->numbers, x->shape[0],
                    x->shape[1], step->told[OUTS], step->told[GROUPS], &window, least_of_clamp(step->told[CLAMP]),
                    most_of_clamp(step->told[CLAMP]));
}

/* Images. Told: a window's ten numbers. */
static int infer_pooling(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    if (x->axes != 4) return -1;
    for (int axis = ROWS; axis <= COLUMNS; axis++) /* each window has a part of the image */
        if ((window.out[axis] - 1) * window.stride[axis] - window.before[axis] >= window.in[axis]) return -1;
    return made_as(step, 4, (int64_t[]){x->shape[0], x->shape[1], window.out[ROWS], window.out[COLUMNS]});
}

static int compute_pooling(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct window window = window_of(x->shape, step->told);
    return max_pool(x->numbers, step->made->numbers, x->shape[0] * x->shape[1], &window);
}

/* Rows, weights and bias as multiply() has them. Told: columns, clamp. */
static int infer_dense(const struct step *step) {
    const struct tensor *x = step->given[0], *weights = step->given[1];
    if (x->axes != 2 || weights->axes != 3 || x->shape[1] != weights->shape[1]) return -1;
    return made_as(step, 2, (int64_t[]){x->shape[0], step->told[0]});
}

static int compute_dense(const struct step *step) {
    const struct tensor *x = step->given[0];
    const struct product product = {
        .x = x->numbers, .weights = step->given[1]->numbers, .bias = step->given[2]->numbers, .y = step->made->numbers,
        .rows = x->shape[0], .depth = x->shape[1], .columns = step->told[0],
        .least = least_of_clamp(step->told[1]), .most = most_of_clamp(step->told[1]),
    };
    multiply(&product);
    return 0;
}

/* Whether there is a size that an axis has for two values, of which one may have 1 and is repeated. */
static int common_size(int64_t one, int64_t other, int64_t *size) {
    *size = one == 1 || (one < 0 && other > 1) ? other : one;
    return one == 1 || other == 1 || fits(one, other);
}

/* Pairs of matrices along all axes but the last two, where either value may be repeated. Told: whether the second ones
 * are transposed. */
static int infer_products(const struct step *step) {
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

static int compute_products(const struct step *step) {
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

static int compute_rows(const struct step *step, struct rows rows) {
    const struct tensor *x = step->given[0];
    rows.x = x->numbers;
    rows.y = step->made->numbers;
    rows.width = x->shape[x->axes - 1];
    rows.count = product_of(x->shape, x->axes - 1);
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

/* Rows, scale, shift. Told: the bits of epsilon. */
static int infer_layer_norm(const struct step *step) {
    const struct tensor *x = step->given[0];
    if (x->axes < 1) return -1;
    for (int given = 1; given <= 2; given++)
        if (step->given[given]->axes != 1 || step->given[given]->shape[0] != x->shape[x->axes - 1]) return -1;
    return same_shape(step);
}

static int compute_layer_norm(const struct step *step) {
    const uint32_t bits = (uint32_t)step->told[0];
    struct rows rows = {.function = normalize, .scale = step->given[1]->numbers, .shift = step->given[2]->numbers};
    memcpy(&rows.epsilon, &bits, sizeof bits);
    return compute_rows(step, rows);
}

static int infer_softmax(const struct step *step) { return step->given[0]->axes < 1 ? -1 : same_shape(step); }

static int compute_softmax(const struct step *step) { return compute_rows(step, (struct rows){.function = exponentiate}); }

/* Numbers one by one. */
struct elements {
    enum activation activation;
    const float *x;
    float *y;
    int64_t count, of_part;
};

static void activate_part(const void *what, int64_t number) {
    const struct elements *elements = what;
    const int64_t first = number * elements->of_part;
    instructions()->activate(elements->activation, elements->x + first, elements->y + first,
                             least_of(elements->of_part, elements->count - first));
}

/* Any value. Told: the activation. */
static int infer_activation(const struct step *step) { return step->told[0] >= ACTIVATIONS ? -1 : same_shape(step); }

static int compute_activation(const struct step *step) {
    struct elements elements = {(enum activation)step->told[0], step->given[0]->numbers, step->made->numbers,
                                count_of(step->made), LEAST_FLOATS};
    const int64_t share = divided_up(elements.count, threads_in_use());
    if (elements.of_part < share) elements.of_part = share;
    in_turns(activate_part, &elements, divided_up(elements.count, elements.of_part));
    return 0;
}

/* Two values. Told: the combination, clamp. Each axis of one value that has another size than the other's has 1, or is
 * missing in front, and is repeated: as in numpy. */
static int infer_combination(const struct step *step) {
    const struct tensor *one = step->given[0], *other = step->given[1];
    struct tensor *made = step->made;
    if (step->told[0] >= COMBINATIONS) return -1;
    made->axes = one->axes > other->axes ? one->axes : other->axes;
    for (int64_t behind = 1; behind <= made->axes; behind++) {
        const int64_t size = behind > one->axes ? 1 : one->shape[one->axes - behind];
        const int64_t other_size = behind > other->axes ? 1 : other->shape[other->axes - behind];
        if (!common_size(size, other_size, &made->shape[made->axes - behind])) return -1;
    }
    return 0;
}

/* Axes of both values that are one for each, from the last: `steps` are floats between two places of either value. */
struct loop {
    int64_t size, steps[2];
};

struct loops {
    struct combined combined; /* of the first row */
    struct loop loops[MOST_AXES];
    int count;
    int64_t rows, of_part; /* rows along the first loop, and floats of each that are one part */
    int64_t rows_of_part, parts_of_row;
};

static int find_loops(const struct step *step, struct loop *loops) {
    int64_t floats[2] = {1, 1};
    int count = 0;
    loops[0] = (struct loop){1, {0, 0}};
    for (int64_t behind = 1; behind <= step->made->axes; behind++) {
        struct loop loop = {step->made->shape[step->made->axes - behind], {0, 0}};
        for (int side = 0; side < 2; side++) {
            const struct tensor *value = step->given[side];
            const int64_t size = behind > value->axes ? 1 : value->shape[value->axes - behind];
            loop.steps[side] = size == 1 ? 0 : floats[side];
            floats[side] *= size;
        }
        if (loop.size == 1) continue;
        struct loop *inner = &loops[count - 1];
        if (count > 0 && loop.steps[0] == inner->steps[0] * inner->size && loop.steps[1] == inner->steps[1] * inner->size)
            inner->size *= loop.size;
        else
            loops[count++] = loop;
    }
    return count > 0 ? count : 1;
}

static void combine_row(const struct loops *loops, int64_t row, int64_t first, int64_t count) {
    struct combined combined = loops->combined;
    int64_t place = row;
    for (int loop = 1; loop < loops->count; loop++) {
        const int64_t turn = place % loops->loops[loop].size;
        place /= loops->loops[loop].size;
        for (int side = 0; side < 2; side++) combined.values[side] += turn * loops->loops[loop].steps[side];
    }
    for (int side = 0; side < 2; side++) combined.values[side] += first * loops->loops[0].steps[side];
    combined.y += row * loops->loops[0].size + first;
    combined.count = count;
    instructions()->combine(&combined);
}

static void combine_part(const void *what, int64_t number) {
    const struct loops *loops = what;
    const int64_t first_row = number / loops->parts_of_row * loops->rows_of_part;
    const int64_t first = number % loops->parts_of_row * loops->of_part;
    const int64_t end_row = least_of(first_row + loops->rows_of_part, loops->rows);
    const int64_t count = least_of(loops->of_part, loops->loops[0].size - first);
    for (int64_t row = first_row; row < end_row; row++) combine_row(loops, row, first, count);
}

static int compute_combination(const struct step *step) {
    struct loops loops = {.combined = {
        .combination = (enum combination)step->told[0],
        .values = {step->given[0]->numbers, step->given[1]->numbers},
        .least = least_of_clamp(step->told[1]), .most = most_of_clamp(step->told[1]), .y = step->made->numbers,
    }};
    const int64_t floats = count_of(step->made);
    if (floats == 0) return 0;
    loops.count = find_loops(step, loops.loops);
    for (int side = 0; side < 2; side++) loops.combined.is_one[side] = loops.loops[0].steps[side] == 0;
    const int64_t width = loops.loops[0].size, share = divided_up(floats, threads_in_use());
    const int64_t wanted = share < LEAST_FLOATS ? LEAST_FLOATS : share;
    loops.rows = floats / width;
    loops.of_part = least_of(width, wanted);
    loops.parts_of_row = divided_up(width, loops.of_part);
    loops.rows_of_part = wanted > width ? wanted / width : 1;
    in_turns(combine_part, &loops, divided_up(loops.rows, loops.rows_of_part) * loops.parts_of_row);
    return 0;
}

/* Told: the first axis of some that are beside each other, the one behind them, whether they stay as 1, is it a mean. */
enum { FIRST, BEHIND, ARE_KEPT, IS_MEAN };

static int infer_reduction(const struct step *step) {
    const struct tensor *x = step->given[0];
    struct tensor *made = step->made;
    if (step->told[FIRST] >= step->told[BEHIND] || step->told[BEHIND] > x->axes) return -1;
    made->axes = 0;
    for (int64_t axis = 0; axis < x->axes; axis++)
        if (axis < step->told[FIRST] || axis >= step->told[BEHIND])
            made->shape[made->axes++] = x->shape[axis];
        else if (step->told[ARE_KEPT])
            made->shape[made->axes++] = 1;
    return 0;
}

/* Matrices whose rows are summed. */
struct matrices {
    const float *x;
    float *y, factor;
    int64_t rows, width, count, of_part;
};

static void sum_part(const void *what, int64_t number) {
    const struct matrices *matrices = what;
    const int64_t end = least_of((number + 1) * matrices->of_part, matrices->count);
    for (int64_t one = number * matrices->of_part; one < end; one++) {
        const float *x = matrices->x + one * matrices->rows * matrices->width;
        if (matrices->width == 1)
            matrices->y[one] = instructions()->sum(x, matrices->rows) * matrices->factor;
        else
            instructions()->sum_rows(x, matrices->rows, matrices->width, matrices->factor,
                                     matrices->y + one * matrices->width);
    }
}

static int compute_reduction(const struct step *step) {
    const struct tensor *x = step->given[0];
    const int64_t first = step->told[FIRST], behind = step->told[BEHIND];
    struct matrices matrices = {
        .x = x->numbers, .y = step->made->numbers, .rows = product_of(x->shape + first, behind - first),
        .width = product_of(x->shape + behind, x->axes - behind), .count = product_of(x->shape, first),
    };
    const int64_t floats = matrices.rows * matrices.width;
    matrices.factor = step->told[IS_MEAN] ? 1.0f / matrices.rows : 1;
    if (count_of(step->made) == 0) return 0;
    const int64_t least = floats == 0 ? matrices.count : divided_up(LEAST_FLOATS, floats);
    matrices.of_part = divided_up(matrices.count, threads_in_use());
    if (matrices.of_part < least) matrices.of_part = least;
    in_turns(sum_part, &matrices, divided_up(matrices.count, matrices.of_part));
    return 0;
}

/* Told: for each axis of what is made, which one it was. */
static int infer_transposition(const struct step *step) {
    const struct tensor *x = step->given[0];
    int64_t seen = 0;
    if (step->count_told != x->axes) return -1;
    same_shape(step);
    for (int64_t axis = 0; axis < x->axes; axis++) {
        if (step->told[axis] >= x->axes) return -1;
        seen |= (int64_t)1 << step->told[axis];
        step->made->shape[axis] = x->shape[step->told[axis]];
    }
    return seen == ((int64_t)1 << x->axes) - 1 ? 0 : -1;
}

/* How many floats apart two numbers along each axis are. */
static void find_distances(const struct tensor *tensor, int64_t *distances) {
    int64_t floats = 1;
    for (int64_t axis = tensor->axes - 1; axis >= 0; axis--) {
        distances[axis] = floats;
        floats *= tensor->shape[axis];
    }
}

static int compute_transposition(const struct step *step) {
    const struct tensor *x = step->given[0], *made = step->made;
    int64_t from[MOST_AXES], to[MOST_AXES];
    struct axis axes[MOST_AXES];
    find_distances(x, from);
    find_distances(made, to);
    for (int64_t axis = 0; axis < made->axes; axis++)
        axes[axis] = (struct axis){made->shape[axis], from[step->told[axis]], to[axis]};
    copy_axes(x->numbers, made->numbers, axes, (int)made->axes);
    return 0;
}

/* Told for each axis: the first place, how many there are from there on, every which one of them, whether the axis goes,
 * which has one place. Nothing is told of an open axis: 0 places are all that there are. */
enum { PLACE, COUNT, EVERY, GOES, OF_AXIS };

static int infer_part(const struct step *step) {
    const struct tensor *x = step->given[0];
    if (step->count_told != OF_AXIS * x->axes) return -1;
    step->made->axes = 0;
    for (int64_t axis = 0; axis < x->axes; axis++) {
        const int64_t *told = step->told + OF_AXIS * axis, count = told[COUNT] == 0 ? x->shape[axis] : told[COUNT];
        if (told[COUNT] > 0 && told[PLACE] + (count - 1) * told[EVERY] >= x->shape[axis] && x->shape[axis] >= 0) return -1;
        if (!told[GOES]) step->made->shape[step->made->axes++] = count;
        else if (told[COUNT] != 1) return -1;
    }
    return 0;
}

static int compute_part_of(const struct step *step) {
    const struct tensor *x = step->given[0];
    const float *first = x->numbers;
    int64_t from[MOST_AXES], to = 1;
    struct axis axes[MOST_AXES];
    find_distances(x, from);
    if (count_of(step->made) == 0) return 0;
    for (int64_t axis = x->axes - 1; axis >= 0; axis--) {
        const int64_t *told = step->told + OF_AXIS * axis, is_part = told[COUNT] > 0;
        axes[axis] = (struct axis){is_part ? told[COUNT] : x->shape[axis], from[axis] * (is_part ? told[EVERY] : 1), to};
        to *= axes[axis].size;
        if (is_part) first += told[PLACE] * from[axis];
    }
    copy_axes(first, step->made->numbers, axes, (int)x->axes);
    return 0;
}

/* Some values, one behind the other. Told: along which axis. */
static int infer_concatenation(const struct step *step) {
    const int64_t along = step->told[0];
    same_shape(step);
    if (along >= step->made->axes) return -1;
    for (int64_t given = 1; given < step->count_given; given++) {
        const struct tensor *x = step->given[given];
        if (x->axes != step->made->axes) return -1;
        for (int64_t axis = 0; axis < x->axes; axis++)
            if (axis != along && !fits(x->shape[axis], step->made->shape[axis])) return -1;
        if (x->shape[along] < 0 || step->made->shape[along] < 0)
            step->made->shape[along] = -1;
        else
            step->made->shape[along] += x->shape[along];
    }
    return 0;
}

static int compute_concatenation(const struct step *step) {
    const int64_t along = step->told[0];
    int64_t to[MOST_AXES];
    float *made = step->made->numbers;
    find_distances(step->made, to);
    for (int64_t given = 0; given < step->count_given; given++) {
        const struct tensor *x = step->given[given];
        struct axis axes[MOST_AXES];
        int64_t from[MOST_AXES];
        find_distances(x, from);
        for (int64_t axis = 0; axis < x->axes; axis++) axes[axis] = (struct axis){x->shape[axis], from[axis], to[axis]};
        copy_axes(x->numbers, made, axes, (int)x->axes);
        made += x->shape[along] * to[along];
    }
    return 0;
}

/* The same numbers in another shape. Told: its dimensions, one of which may be 0: what is left for it. */
static int infer_view(const struct step *step) {
    const struct tensor *x = step->given[0];
    int64_t known = 1, open = -1, is_open = 0;
    if (step->count_told > MOST_AXES) return -1;
    made_as(step, step->count_told, step->told);
    for (int64_t axis = 0; axis < step->count_told; axis++) {
        if (step->told[axis] > 0) {
            known *= step->told[axis];
        } else {
            if (open >= 0) return -1;
            open = axis;
        }
    }
    for (int64_t axis = 0; axis < x->axes; axis++) is_open |= x->shape[axis] < 0;
    if (open >= 0) step->made->shape[open] = is_open ? -1 : count_of(x) / known;
    return is_open || count_of(step->made) == count_of(x) ? 0 : -1;
}

static int nothing_to_compute(const struct step *step) {
    (void)step;
    return 0;
}

/* In the order of rewrites/kernel_nodes.py. */
static const struct operator OPERATORS[] = {
    {3, 13, infer_convolution, compute_convolution, 0},
    {1, 10, infer_pooling, compute_pooling, 0},
    {3, 2, infer_dense, compute_dense, 0},
    {2, 1, infer_products, compute_products, 0},
    {3, 1, infer_layer_norm, compute_layer_norm, 0},
    {1, 0, infer_softmax, compute_softmax, 0},
    {1, 1, infer_activation, compute_activation, 0},
    {2, 2, infer_combination, compute_combination, 0},
    {1, 4, infer_reduction, compute_reduction, 0},
    {1, ANY, infer_transposition, compute_transposition, 0},
    {1, ANY, infer_part, compute_part_of, 0},
    {ANY, 1, infer_concatenation, compute_concatenation, 0},
    {1, ANY, infer_view, nothing_to_compute, 1},
};

const struct operator *operator_of(int64_t number) {
    const int64_t count = sizeof OPERATORS / sizeof *OPERATORS;
    return number >= 0 && number < count ? &OPERATORS[number] : NULL;
}
