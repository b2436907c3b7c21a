/* What is done to rows: each made another one, or summed. */

#include "operators.h"
#include "kernels.h"

/* What is done to many rows, along the last axis or the last ones, a part of them by each thread. */
struct rows {
    void (*function)(const struct rows *rows, const float *x, float *y);
    const float *x, *scale, *shift;
    float *y, epsilon;
    int64_t width, count, of_part;
    int64_t columns; /* numbers of a row that are beside each other, of which nothing is asked together */
};

static void compute_part(const void *what, int64_t number) {
    const struct rows *rows = what;
    const int64_t first = number * rows->of_part, next = first + rows->of_part;
    for (int64_t row = first; row < next && row < rows->count; row++)
        rows->function(rows, rows->x + row * rows->width, rows->y + row * rows->width);
}

/* axis: the first one of a row. */
static int compute_rows(const struct step *step, struct rows rows, int64_t axis) {
    const struct tensor *x = step->given[0];
    rows.x = x->numbers;
    rows.y = step->made->numbers;
    rows.width = product_of(x->shape + axis, x->axes - axis);
    rows.count = product_of(x->shape, axis);
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

static void exponentiate(const struct rows *rows, const float *x, float *y) {
    if (rows->columns == 1)
        instructions()->softmax(x, y, rows->width);
    else
        instructions()->softmax_columns(x, y, rows->width / rows->columns, rows->columns);
}

/* Rows, scale, shift. Told: the bits of epsilon. */
int infer_layer_norm(const struct step *step) {
    const struct tensor *x = step->given[0];
    if (x->axes < 1) return -1;
    for (int given = 1; given <= 2; given++)
        if (step->given[given]->axes != 1 || !fits(step->given[given]->shape[0], x->shape[x->axes - 1])) return -1;
    return same_shape(step);
}

int compute_layer_norm(const struct step *step) {
    return compute_rows(step, (struct rows){.function = normalize, .scale = step->given[1]->numbers,
                                            .shift = step->given[2]->numbers, .epsilon = float_of(step->told[0])},
                        step->given[0]->axes - 1);
}

/* Channels of which some beside each other have a mean and a variance. */
struct groups {
    const float *x, *scale, *shift;
    float *y, epsilon, least, most;
    int64_t channels, pixels, of_image, count, of_part; /* channels of a group; groups */
};

static void normalize_group(const struct groups *groups, int64_t group) {
    const int64_t numbers = groups->channels * groups->pixels, first = group % groups->of_image * groups->channels;
    const float *x = groups->x + group * numbers;
    float *y = groups->y + group * numbers;
    const struct moments moments = instructions()->moments(x, numbers);
    const float away = 1 / sqrtf(moments.variance + groups->epsilon);
    for (int64_t channel = 0; channel < groups->channels; channel++) {
        const float factor = away * groups->scale[first + channel];
        const float shift = groups->shift[first + channel] - moments.rest * factor;
        const int64_t place = channel * groups->pixels;
        instructions()->scale(x + place, moments.middle, factor, shift, groups->least, groups->most, y + place, groups->pixels);
    }
}

static void normalize_groups(const void *what, int64_t number) {
    const struct groups *groups = what;
    const int64_t end = least_of((number + 1) * groups->of_part, groups->count);
    for (int64_t group = number * groups->of_part; group < end; group++) normalize_group(groups, group);
}

/* Images, or whatever has channels along its second axis; scale, shift: of each channel. Told: groups, the bits of
 * epsilon, clamp. Wu, He 2018, "Group Normalization", section 3. */
int infer_group_norm(const struct step *step) {
    const struct tensor *x = step->given[0];
    if (x->axes < 2 || step->told[0] < 1 || (x->shape[1] >= 0 && x->shape[1] % step->told[0] != 0)) return -1;
    for (int given = 1; given <= 2; given++)
        if (step->given[given]->axes != 1 || !fits(step->given[given]->shape[0], x->shape[1])) return -1;
    return same_shape(step);
}

int compute_group_norm(const struct step *step) {
    const struct tensor *x = step->given[0];
    const int64_t of_image = step->told[0], clamp = step->told[2];
    struct groups groups = {
        .x = x->numbers, .scale = step->given[1]->numbers, .shift = step->given[2]->numbers, .y = step->made->numbers,
        .epsilon = float_of(step->told[1]), .least = least_of_clamp(clamp), .most = most_of_clamp(clamp),
        .channels = x->shape[1] / of_image, .pixels = product_of(x->shape + 2, x->axes - 2),
        .of_image = of_image, .count = x->shape[0] * of_image,
    };
    const int64_t numbers = groups.channels * groups.pixels;
    if (groups.count * numbers == 0) return 0;
    groups.of_part = divided_up(groups.count, threads_in_use());
    if (groups.of_part * numbers < LEAST_FLOATS) groups.of_part = divided_up(LEAST_FLOATS, numbers);
    in_turns(normalize_groups, &groups, divided_up(groups.count, groups.of_part));
    return 0;
}

/* Told: along which axis. */
int infer_softmax(const struct step *step) { return step->told[0] >= step->given[0]->axes ? -1 : same_shape(step); }

int compute_softmax(const struct step *step) {
    const struct tensor *x = step->given[0];
    const int64_t axis = step->told[0], columns = product_of(x->shape + axis + 1, x->axes - axis - 1);
    return compute_rows(step, (struct rows){.function = exponentiate, .columns = columns}, axis);
}

/* Told: the first axis of some that are beside each other, the one behind them, whether they stay as 1, and what of them:
 * in the order of rewrites/means.py. */
enum { FIRST, BEHIND, ARE_KEPT, WHAT };
enum { TOTAL, MEAN, LARGEST, SMALLEST, REDUCTIONS };

int infer_reduction(const struct step *step) {
    const struct tensor *x = step->given[0];
    struct tensor *made = step->made;
    if (step->told[FIRST] >= step->told[BEHIND] || step->told[BEHIND] > x->axes || step->told[WHAT] >= REDUCTIONS) return -1;
    made->axes = 0;
    for (int64_t axis = 0; axis < x->axes; axis++)
        if (axis < step->told[FIRST] || axis >= step->told[BEHIND])
            made->shape[made->axes++] = x->shape[axis];
        else if (step->told[ARE_KEPT])
            made->shape[made->axes++] = 1;
    return 0;
}

/* Matrices of which each column becomes one number. */
struct matrices {
    int64_t what;
    const float *x;
    float *y, factor;
    int64_t rows, width, count, of_part;
};

static void sum(const struct matrices *matrices, const float *x, float *y) {
    if (matrices->width == 1)
        *y = instructions()->sum(x, matrices->rows) * matrices->factor;
    else
        instructions()->sum_rows(x, matrices->rows, matrices->width, matrices->factor, y);
}

static void find_extremes(const struct matrices *matrices, const float *x, float *y) {
    const enum combination combination = matrices->what == LARGEST ? LARGER : SMALLER;
    const int64_t width = matrices->width;
    if (width == 1) {
        *y = instructions()->extreme(combination, x, matrices->rows);
        return;
    }
    memcpy(y, x, width * sizeof *y);
    for (int64_t row = 1; row < matrices->rows; row++)
        instructions()->combine(&(struct combined){combination, {x + row * width, y}, {0, 0}, -INFINITY, INFINITY, y, width});
}

static void reduce_part(const void *what, int64_t number) {
    const struct matrices *matrices = what;
    const int64_t end = least_of((number + 1) * matrices->of_part, matrices->count);
    for (int64_t one = number * matrices->of_part; one < end; one++) {
        const float *x = matrices->x + one * matrices->rows * matrices->width;
        float *y = matrices->y + one * matrices->width;
        if (matrices->what <= MEAN)
            sum(matrices, x, y);
        else
            find_extremes(matrices, x, y);
    }
}

int compute_reduction(const struct step *step) {
    const struct tensor *x = step->given[0];
    const int64_t first = step->told[FIRST], behind = step->told[BEHIND];
    struct matrices matrices = {
        .what = step->told[WHAT], .x = x->numbers, .y = step->made->numbers, .rows = product_of(x->shape + first, behind - first),
        .width = product_of(x->shape + behind, x->axes - behind), .count = product_of(x->shape, first),
    };
    const int64_t floats = matrices.rows * matrices.width;
    matrices.factor = matrices.what == MEAN ? 1.0f / matrices.rows : 1;
    if (count_of(step->made) == 0) return 0;
    if (matrices.rows == 0 && matrices.what > MEAN) return -1; /* there is no largest of none */
    const int64_t least = floats == 0 ? matrices.count : divided_up(LEAST_FLOATS, floats);
    matrices.of_part = divided_up(matrices.count, threads_in_use());
    if (matrices.of_part < least) matrices.of_part = least;
    in_turns(reduce_part, &matrices, divided_up(matrices.count, matrices.of_part));
    return 0;
}
