/* Calls of worker/kernels/ with sizes by chance, for a compiler's sanitizers to watch: `kernel_chances SET THREADS SEED`.
 *
 * Its numbers are proven elsewhere, kernels/; here are only memory and threads. Inputs and outputs are each as
 * large as they must be, and no larger. 77: this machine lacks that set of instructions. */

#include "../../worker/kernels/chain.h"
#include "../../worker/kernels/kernels.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 150, LACKING = 77 };

static int64_t between(int64_t least, int64_t most) { return least + rand() % (most - least + 1); }

static float *numbers(int64_t count) {
    float *made = malloc(count * sizeof *made + (count == 0));
    for (int64_t place = 0; place < count; place++) made[place] = (float)between(-1000, 1000) / 500;
    return made;
}

static struct window some_window(int64_t kernel, int64_t padding, int64_t dilation, int64_t most) {
    struct window window;
    for (int axis = ROWS; axis <= COLUMNS; axis++) {
        window.kernel[axis] = between(1, kernel);
        window.stride[axis] = between(1, 3);
        window.dilation[axis] = between(1, dilation);
        const int64_t reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        const int64_t before = between(0, least_of(padding, reach - 1)), behind = between(0, least_of(padding, reach - 1));
        window.before[axis] = before;
        window.in[axis] = reach + between(0, most);
        window.out[axis] = (window.in[axis] + before + behind - reach) / window.stride[axis] + 1;
    }
    return window;
}

static void call_convolve(void) {
    const int is_of_channels = between(0, 3) == 0;
    const int64_t groups = between(1, is_of_channels ? 40 : 4), ins = is_of_channels ? 1 : between(1, 4);
    const int64_t outs = is_of_channels ? 1 : between(1, 19), packed = ins == 1 && outs == 1 ? 1 : PACKED;
    const struct window window = some_window(5, 4, 2, between(0, 9) > 0 ? 30 : 150);
    const int64_t images = between(0, 7), taps = ins * window.kernel[ROWS] * window.kernel[COLUMNS];
    const int64_t places = groups * divided_up(outs, packed) * packed;
    float *x = numbers(images * groups * ins * window.in[ROWS] * window.in[COLUMNS]), *weights = numbers(places * taps);
    float *bias = numbers(places), *y = numbers(images * groups * outs * window.out[ROWS] * window.out[COLUMNS]);
    convolve(x, weights, bias, y, images, groups * ins, groups * outs, groups, &window, -INFINITY, INFINITY);
    free(x), free(weights), free(bias), free(y);
}

static void call_convolve_points(void) {
    const int64_t height = between(1, 60), width = between(1, 60), images = between(0, 4);
    const int64_t channels = between(1, 20), outs = between(1, 19), places = divided_up(outs, PACKED) * PACKED;
    const struct window window = {{height, width}, {height, width}, {1, 1}, {1, 1}, {1, 1}, {0, 0}};
    float *x = numbers(images * channels * height * width), *weights = numbers(places * channels);
    float *bias = numbers(places), *y = numbers(images * outs * height * width);
    convolve(x, weights, bias, y, images, channels, outs, 1, &window, -INFINITY, INFINITY);
    free(x), free(weights), free(bias), free(y);
}

static void call_convolve_by_winograd(void) {
    struct window window = some_window(1, 0, 1, between(0, 9) > 0 ? 30 : 100);
    for (int axis = ROWS; axis <= COLUMNS; axis++) {
        window.kernel[axis] = 3;
        window.stride[axis] = window.dilation[axis] = 1;
        window.before[axis] = between(0, 2);
        window.out[axis] = window.in[axis] + window.before[axis] + between(0, 2) - 2;
        if (window.out[axis] < 1) window.out[axis] = 1;
    }
    const int64_t images = between(0, 7), channels = between(1, between(0, 9) > 0 ? 20 : 200), outs = between(1, 19);
    const int64_t places = divided_up(outs, PACKED) * PACKED;
    float *x = numbers(images * channels * window.in[ROWS] * window.in[COLUMNS]);
    const int64_t side = 2 * between(1, 2);
    float *weights = numbers((side + 2) * (side + 2) * places * channels), *bias = numbers(places);
    float *y = numbers(images * outs * window.out[ROWS] * window.out[COLUMNS]);
    convolve_by_winograd(x, weights, bias, y, images, channels, outs, side, &window, -INFINITY, INFINITY);
    free(x), free(weights), free(bias), free(y);
}

static void call_max_pool(void) {
    struct window window = some_window(4, 3, 1, 40);
    for (int axis = ROWS; axis <= COLUMNS && between(0, 2) == 0; axis++) { /* windows that are far apart */
        const int64_t room = window.in[axis] - window.kernel[axis]; /* without padding */
        window.before[axis] = 0;
        window.stride[axis] = between(1, 40);
        window.out[axis] = room / window.stride[axis] + 1;
    }
    const int64_t planes = between(0, 40);
    float *x = numbers(planes * window.in[ROWS] * window.in[COLUMNS]);
    float *y = numbers(planes * window.out[ROWS] * window.out[COLUMNS]);
    max_pool(x, y, planes, &window);
    free(x), free(y);
}

static void call_multiply(void) {
    const int64_t rows = between(0, 250), depth = between(1, 60), columns = between(1, 200), count = between(0, 6);
    const int64_t padded = divided_up(columns, PANEL) * panel_of(columns);
    float *x = numbers(rows * depth), *weights = numbers(padded * depth), *bias = numbers(padded);
    float *y = numbers(rows * columns);
    const struct product product = {x, weights, bias, y, rows, depth, columns, 0, -INFINITY, INFINITY};
    multiply(&product);
    free(x), free(weights), free(bias), free(y);
    x = numbers(count * rows * depth), weights = numbers(count * depth * columns), y = numbers(count * rows * columns);
    const struct pairs pairs = {x, weights, y, 1, {count}, {{1}, {1}}, rows, depth, columns, between(0, 1)};
    multiply_pairs(&pairs);
    free(x), free(weights), free(y);
}

static void call_recur(void) {
    const int64_t moments = between(0, 7), rows = between(0, 30), ins = between(1, 40), units = between(1, 40);
    const enum cell cell = between(0, CELLS - 1);
    const int64_t panels = divided_up(units, units_of_panel(cell)), has_first = between(0, 1), is_long = between(0, 9) == 0;
    const int64_t more = is_long ? 300 : 0, state = rows * units;
    float *x = numbers((moments + more) * rows * ins), *weights = numbers(panels * ins * PANEL);
    float *bias = numbers(panels * PANEL), *back = numbers(panels * units * PANEL);
    float *y = numbers((moments + more) * state), *first = numbers(state), *last = numbers(state);
    const struct recurrence layer = {
        cell, x, weights, bias, back, has_first ? first : NULL, has_first ? first : NULL,
        y, between(0, 1) ? last : NULL, moments + more, rows, ins, units, between(0, 1),
    };
    recur(&layer);
    free(x), free(weights), free(bias), free(back), free(y), free(first), free(last);
}

static void call_by_rows(void) {
    const struct instructions *cpu = instructions();
    const int64_t width = between(1, 70);
    float *x = numbers(width), *scale = numbers(width), *shift = numbers(width), *y = numbers(width);
    cpu->layer_norm(x, scale, shift, 1e-5f, y, width);
    const struct moments moments = cpu->moments(x, width);
    cpu->scale(x, moments.middle, moments.variance, moments.rest, 0, INFINITY, y, width);
    cpu->softmax(x, y, width);
    cpu->softmax_columns(x, y, 1, width);
    for (int activation = 0; activation < ACTIVATIONS; activation++) cpu->activate(activation, x, y, width);
    free(x), free(scale), free(shift), free(y);
}

int chain(int count, void **values, int *counts, int64_t **shapes, const char **types, void *stream, void *extra);
int compute_one_by_one(void **values, const int *counts, int64_t *const *shapes, const int64_t *apart, int64_t instances);

/* In the order of operators.c. */
enum { ACTIVATION = 9, COMBINATION, REDUCTION, TRANSPOSITION, PART, REPETITION, CONCATENATION, PADDING, VIEW, FILLING, LOOKUP };

/* Puts a step, or two, after which there is one value more, of 4 axes again. Returns how many numbers describe it. */
static int64_t some_step(int64_t *step, int64_t values, int *made) {
#define STEP(...)                                                                                                      \
    do {                                                                                                               \
        const int64_t told[] = {__VA_ARGS__};                                                                          \
        memcpy(step + size, told, sizeof told);                                                                        \
        size += sizeof told / sizeof *told;                                                                            \
        *made += 1;                                                                                                    \
    } while (0)
    const int64_t value = between(0, values - 1), axis = between(0, 3), turn = between(0, 3);
    int64_t size = 0;
    *made = 0;
    switch (between(0, 9)) {
    case 0:
        STEP(ACTIVATION, 1, 1, value, between(0, ACTIVATIONS - 1));
        break;
    case 1: /* with a part of itself, which is repeated, or with a number */
        STEP(REDUCTION, 1, 4, value, axis, between(axis + 1, 4), 1, between(0, 3));
        STEP(COMBINATION, 2, 2, value, values, between(0, IS_ANOTHER), between(0, 2));
        break;
    case 2:
        STEP(TRANSPOSITION, 1, 4, value, turn, (turn + 1) % 4, (turn + 2) % 4, (turn + 3) % 4);
        break;
    case 3:
        STEP(VIEW, 1, 4, value, 1, 0, 1, 1);
        break;
    case 4: /* the first row of each image; two of it, and each of them twice */
        STEP(PART, 1, 16, value, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0);
        STEP(REPETITION, 1, 4, values, 1, 1, 2, 1);
        STEP(CONCATENATION, 2, 1, values + 1, values + 1, axis);
        break;
    case 5:
        STEP(PADDING, 1, 9, value, 0, 0, 0, between(0, 1), 0, 0, between(0, 2), between(0, 1), 0);
        break;
    case 6: /* beside the first row of each image, which is repeated */
        STEP(PART, 1, 16, value, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0);
        STEP(CONCATENATION, 2, 1, value, values, axis == 2 ? 3 : axis);
        break;
    case 7: /* where a part of itself, which is repeated, is 0 or not */
        STEP(REDUCTION, 1, 4, value, axis, between(axis + 1, 4), 1, between(0, 3));
        STEP(FILLING, 2, 2, value, values, between(0, 1000), between(0, 1));
        break;
    default:
        STEP(COMBINATION, 2, 2, value, 0, between(0, IS_ANOTHER), 0);
    }
    return size;
#undef STEP
}

/* Of a single number, the input, and what comes of them. */
static void call_chain(void) {
    int64_t program[600] = {0, 2}, size = 3, values = 2, ones[] = {1, 1, 1, 1};
    int64_t axes[] = {between(1, 3), between(1, 4), between(1, 9), between(1, 70)};
    for (int64_t steps = between(1, 20); steps > 0; steps--) {
        int made;
        size += some_step(program + size, values, &made);
        values += made;
    }
    memcpy(program + size, (int64_t[]){REDUCTION, 1, 4, values - 1, 0, 4, 0, 0}, 64);
    size += 8;
    float *one = numbers(1), *x = numbers(product_of(axes, 4)), *y = numbers(1);
    void *all[] = {NULL, one, x, y};
    int64_t *shapes[] = {program, ones, axes, NULL};
    if (chain(4, all, (int[]){(int)size, 4, 4, 0}, shapes, NULL, NULL, NULL) != 0) abort();
    free(one), free(x), free(y);
}

/* Some instances at a time, by each thread. */
static void call_chain_of_instances(void) {
    int64_t program[] = {0, 1, 1, ACTIVATION, 1, 1, 0, RELU, COMBINATION, 2, 2, 1, 0, SUM, 0};
    int64_t axes[] = {between(1, 9), between(1, 1 << 17)}, *shapes[] = {program, axes, axes};
    float *x = numbers(product_of(axes, 2)), *y = numbers(product_of(axes, 2));
    if (chain(3, (void *[]){NULL, x, y}, (int[]){15, 2, 2}, shapes, NULL, NULL, NULL) != 0) abort();
    free(x), free(y);
}

/* Rows of a table that instances share, looked up for one of them after the other; now and then by the number of none. */
static void call_one_by_one(void) {
    const int64_t rows = between(1, 9), asked = between(0, 20), width = between(1, 70), instances = between(0, 5);
    const int is_there = between(0, 9) > 0 || asked * instances == 0;
    int64_t program[] = {0, 2, 0, LOOKUP, 2, 0, 0, 1, ACTIVATION, 1, 1, 2, RELU};
    int64_t of_table[] = {rows, width}, of_asked[] = {asked}, of_made[] = {asked, width}, apart[] = {0, 0, asked, 0};
    int64_t *shapes[] = {program, of_table, of_asked, of_made};
    float *table = numbers(rows * width), *by = numbers(instances * asked), *y = numbers(instances * asked * width);
    for (int64_t place = 0; place < instances * asked; place++) {
        const int32_t row = (int32_t)between(-rows, rows - 1), none = (int32_t)(between(0, 1) ? rows : -rows - 1);
        memcpy(by + place, is_there || place > 0 ? &row : &none, sizeof row);
    }
    const int made = compute_one_by_one((void *[]){NULL, table, by, y}, (int[]){13, 2, 1, 2}, shapes, apart, instances);
    if (made != (is_there ? 0 : -1)) abort();
    free(table), free(by), free(y);
}

int main(int count, char **told) {
    if (count != 4 || choose_instructions(atoi(told[1])) != 1) return LACKING;
    use_threads(atoi(told[2]));
    srand(atoi(told[3]));
    for (int round = 0; round < ROUNDS; round++) {
        call_convolve();
        call_convolve_points();
        call_convolve_by_winograd();
        call_max_pool();
        call_multiply();
        call_recur();
        call_by_rows();
        call_chain();
        call_one_by_one();
        if (round % 10 == 0) call_chain_of_instances();
    }
    return 0;
}
