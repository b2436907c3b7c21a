/* The same numbers, at other places: axes in another order, a part of them, several times, one value behind another. */

#include "operators.h"
#include "kernels.h"

#include <string.h>

/* Told: for each axis of what is made, which one it was. */
int infer_transposition(const struct step *step) {
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

/* Makes a value of numbers that are `apart` so many floats along each of its axes. */
static int copy(const float *from, const int64_t *apart, const struct tensor *made) {
    int64_t to[MOST_AXES];
    struct axis axes[MOST_AXES];
    find_distances(made, to);
    for (int64_t axis = 0; axis < made->axes; axis++) axes[axis] = (struct axis){made->shape[axis], apart[axis], to[axis]};
    copy_axes(from, made->numbers, axes, (int)made->axes);
    return 0;
}

int compute_transposition(const struct step *step) {
    int64_t from[MOST_AXES], apart[MOST_AXES];
    find_distances(step->given[0], from);
    for (int64_t axis = 0; axis < step->made->axes; axis++) apart[axis] = from[step->told[axis]];
    return copy(step->given[0]->numbers, apart, step->made);
}

/* Told for each axis: the first place, how many there are from there on, every which one of them, whether the axis goes,
 * which has one place. Nothing is told of an open axis: 0 places are all that there are. */
enum { PLACE, COUNT, EVERY, GOES, OF_AXIS };

int infer_part(const struct step *step) {
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

int compute_part_of(const struct step *step) {
    const struct tensor *x = step->given[0];
    const float *first = x->numbers;
    int64_t from[MOST_AXES], apart[MOST_AXES], axes = 0;
    find_distances(x, from);
    if (count_of(step->made) == 0) return 0;
    for (int64_t axis = 0; axis < x->axes; axis++) {
        const int64_t *told = step->told + OF_AXIS * axis, is_part = told[COUNT] > 0;
        if (!told[GOES]) apart[axes++] = from[axis] * (is_part ? told[EVERY] : 1);
        if (is_part) first += told[PLACE] * from[axis];
    }
    return copy(first, apart, step->made);
}

/* Told for each axis: how many times its one place is repeated, or 1: it stays as it is. */
int infer_repetition(const struct step *step) {
    const struct tensor *x = step->given[0];
    if (step->count_told != x->axes) return -1;
    same_shape(step);
    for (int64_t axis = 0; axis < x->axes; axis++) {
        if (step->told[axis] == 1) continue;
        if (!fits(x->shape[axis], 1)) return -1;
        step->made->shape[axis] = step->told[axis];
    }
    return 0;
}

int compute_repetition(const struct step *step) {
    const struct tensor *x = step->given[0];
    int64_t apart[MOST_AXES];
    find_distances(x, apart);
    for (int64_t axis = 0; axis < x->axes; axis++)
        if (x->shape[axis] == 1) apart[axis] = 0;
    return copy(x->numbers, apart, step->made);
}

/* Some values, one behind the other. Told: along which axis. Along others, one place of a value is repeated for those
 * that have more. */
int infer_concatenation(const struct step *step) {
    const int64_t along = step->told[0];
    struct tensor *made = step->made;
    same_shape(step);
    if (along >= made->axes) return -1;
    for (int64_t given = 1; given < step->count_given; given++) {
        const struct tensor *x = step->given[given];
        if (x->axes != made->axes) return -1;
        for (int64_t axis = 0; axis < x->axes; axis++)
            if (axis != along && !common_size(made->shape[axis], x->shape[axis], &made->shape[axis])) return -1;
        if (x->shape[along] < 0 || made->shape[along] < 0)
            made->shape[along] = -1;
        else
            made->shape[along] += x->shape[along];
    }
    return 0;
}

int compute_concatenation(const struct step *step) {
    const int64_t along = step->told[0];
    int64_t to[MOST_AXES];
    float *made = step->made->numbers;
    find_distances(step->made, to);
    for (int64_t given = 0; given < step->count_given; given++) {
        const struct tensor *x = step->given[given];
        struct axis axes[MOST_AXES];
        int64_t from[MOST_AXES];
        find_distances(x, from);
        for (int64_t axis = 0; axis < x->axes; axis++) {
            const int64_t size = axis == along ? x->shape[axis] : step->made->shape[axis];
            axes[axis] = (struct axis){size, x->shape[axis] == 1 ? 0 : from[axis], to[axis]};
        }
        copy_axes(x->numbers, made, axes, (int)x->axes);
        made += x->shape[along] * to[along];
    }
    return 0;
}

/* Told: the bits of a number, and for each axis how many of it are put before and behind. */
int infer_padding(const struct step *step) {
    const struct tensor *x = step->given[0];
    if (step->count_told != 1 + 2 * x->axes) return -1;
    same_shape(step);
    for (int64_t axis = 0; axis < x->axes; axis++)
        if (x->shape[axis] >= 0) step->made->shape[axis] += step->told[1 + 2 * axis] + step->told[2 + 2 * axis];
    return 0;
}

int compute_padding(const struct step *step) {
    const struct tensor *x = step->given[0];
    const float number = float_of(step->told[0]);
    const int64_t count = count_of(step->made);
    float *made = step->made->numbers;
    int64_t from[MOST_AXES], to[MOST_AXES];
    struct axis axes[MOST_AXES];
    for (int64_t place = 0; place < count; place++) made[place] = number;
    find_distances(x, from);
    find_distances(step->made, to);
    for (int64_t axis = 0; axis < x->axes; axis++) {
        axes[axis] = (struct axis){x->shape[axis], from[axis], to[axis]};
        made += step->told[1 + 2 * axis] * to[axis];
    }
    copy_axes(x->numbers, made, axes, (int)x->axes);
    return 0;
}

/* The same numbers in another shape. Told: its dimensions, one of which may be 0: what is left for it. */
int infer_view(const struct step *step) {
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

int nothing_to_compute(const struct step *step) {
    (void)step;
    return 0;
}

/* Rows of the first value, a table, by the numbers of the second one, which are int32 where all others are floats. Below 0
 * they count from the end, as MindSpore's do. */
int infer_lookup(const struct step *step) {
    const struct tensor *table = step->given[0], *numbers = step->given[1];
    const int64_t axes = numbers->axes + table->axes - 1;
    if (table->axes < 1 || axes > MOST_AXES) return -1;
    made_as(step, numbers->axes, numbers->shape);
    for (int64_t axis = numbers->axes; axis < axes; axis++) step->made->shape[axis] = table->shape[axis - numbers->axes + 1];
    step->made->axes = axes;
    return 0;
}

int compute_lookup(const struct step *step) {
    const struct tensor *table = step->given[0], *numbers = step->given[1];
    const int64_t rows = table->shape[0], width = product_of(table->shape + 1, table->axes - 1), count = count_of(numbers);
    for (int64_t place = 0; place < count; place++) {
        int32_t row;
        memcpy(&row, numbers->numbers + place, sizeof row);
        if (row < -rows || row >= rows) return -1;
        const float *from = table->numbers + (row < 0 ? row + rows : row) * width;
        memcpy(step->made->numbers + place * width, from, width * sizeof(float));
    }
    return 0;
}
