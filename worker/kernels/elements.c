/* What is done to each number by itself, or to two of them. */

#include "operators.h"
#include "kernels.h"

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
int infer_activation(const struct step *step) { return step->told[0] >= ACTIVATIONS ? -1 : same_shape(step); }

int compute_activation(const struct step *step) {
    struct elements elements = {(enum activation)step->told[0], step->given[0]->numbers, step->made->numbers,
                                count_of(step->made), LEAST_FLOATS};
    const int64_t share = divided_up(elements.count, threads_in_use());
    if (elements.of_part < share) elements.of_part = share;
    in_turns(activate_part, &elements, divided_up(elements.count, elements.of_part));
    return 0;
}

/* Each axis of one of two values that has another size than the other's has 1, or is missing in front, and is repeated:
 * as in numpy. */
static int infer_both(const struct step *step) {
    const struct tensor *one = step->given[0], *other = step->given[1];
    struct tensor *made = step->made;
    made->axes = one->axes > other->axes ? one->axes : other->axes;
    for (int64_t behind = 1; behind <= made->axes; behind++) {
        const int64_t size = behind > one->axes ? 1 : one->shape[one->axes - behind];
        const int64_t other_size = behind > other->axes ? 1 : other->shape[other->axes - behind];
        if (!common_size(size, other_size, &made->shape[made->axes - behind])) return -1;
    }
    return 0;
}

/* Two values. Told: the combination, clamp. */
int infer_combination(const struct step *step) { return step->told[0] < FILLED ? infer_both(step) : -1; }

/* A value, and what is not 0 where a number takes its place. Told: that number's bits, and 1 where it is 0 there. */
int infer_filling(const struct step *step) { return infer_both(step); }

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

static int compute_both(const struct step *step, enum combination combination, int64_t clamp, float filling) {
    struct loops loops = {.combined = {
        .combination = combination,
        .values = {step->given[0]->numbers, step->given[1]->numbers},
        .least = least_of_clamp(clamp), .most = most_of_clamp(clamp), .filling = filling, .y = step->made->numbers,
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

int compute_combination(const struct step *step) {
    return compute_both(step, (enum combination)step->told[0], step->told[1], 0);
}

int compute_filling(const struct step *step) {
    return compute_both(step, step->told[1] ? KEPT : FILLED, UNCLAMPED, float_of(step->told[0]));
}
