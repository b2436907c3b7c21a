/* The functions of `struct instructions` for one set of instructions: included once for each by instructions.c.
 *
 * A tile is TALL outputs by up to WIDE vectors of pixels, or HIGH rows by up to BROAD vectors of columns: its sums stay
 * in registers through all that is added to them, as do the vectors of one side, and one number at a time of the other:
 * with more of these, AVX2's sixteen registers are too few, and what has no room takes twice as long. */

#include "lanes.h"

INLINE void NAME(tile)(const int outs, const int vectors, const struct run *run, int64_t pixel, int out) {
    V sums[PACKED][WIDE];
    V least = NAME(all)(run->least), most = NAME(all)(run->most);
#pragma GCC unroll 8
    for (int o = 0; o < outs; o++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) sums[o][v] = NAME(all)(run->bias[out + o]);
    const float *weights = run->weights + out, *start = run->x + pixel;
    for (int64_t tap = 0; tap < run->taps; tap++, weights += run->step) {
        const float *x = start + run->away[tap];
        V pixels[WIDE];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) pixels[v] = NAME(load)(x + v * LANES);
#pragma GCC unroll 8
        for (int o = 0; o < outs; o++) {
            const V weight = NAME(all)(weights[o]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) sums[o][v] += pixels[v] * weight;
        }
    }
    float *y = run->y + out * run->apart + pixel;
#pragma GCC unroll 8
    for (int o = 0; o < outs; o++, y += run->apart)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            NAME(store)(y + v * LANES, NAME(at_most)(NAME(at_least)(sums[o][v], least), most));
}

INLINE void NAME(tiles)(const int outs, const struct run *run, int out) {
    int64_t pixel = 0;
    for (; pixel + (WIDE - 1) * LANES < run->pixels; pixel += WIDE * LANES) NAME(tile)(outs, WIDE, run, pixel, out);
    for (; pixel + LANES < run->pixels; pixel += 2 * LANES) NAME(tile)(outs, 2, run, pixel, out);
    if (pixel < run->pixels) NAME(tile)(outs, 1, run, pixel, out);
}

TARGET static void NAME(sums)(const struct run *run, int64_t outs) {
    if (outs == 1) {
        NAME(tiles)(1, run, 0);
    } else if (TALL == PACKED && outs > PACKED / 2) {
        NAME(tiles)(TALL, run, 0);
    } else {
        NAME(tiles)(PACKED / 2, run, 0);
        if (outs > PACKED / 2) NAME(tiles)(PACKED / 2, run, PACKED / 2);
    }
}

/* The four sums of Lavin and Gray's matrix B, of numbers that are `apart` from each other. */
INLINE void NAME(transform_four)(V *numbers, int apart) {
    const V first = numbers[0], second = numbers[apart], third = numbers[2 * apart], fourth = numbers[3 * apart];
    numbers[0] = first - third;
    numbers[apart] = second + third;
    numbers[2 * apart] = third - second;
    numbers[3 * apart] = second - fourth;
}

TARGET static void NAME(transform_input)(const float *x, const int64_t *places, float *y, int64_t apart, int64_t tiles) {
    for (int64_t tile = 0; tile < tiles; tile += LANES) {
        V pixels[TRANSFORMED];
#pragma GCC unroll 16
        for (int one = 0; one < TRANSFORMED; one++) pixels[one] = NAME(load)(x + places[one] + tile);
#pragma GCC unroll 4
        for (int column = 0; column < 4; column++) NAME(transform_four)(pixels + column, 4);
#pragma GCC unroll 4
        for (int row = 0; row < 4; row++) NAME(transform_four)(pixels + 4 * row, 1);
#pragma GCC unroll 16
        for (int one = 0; one < TRANSFORMED; one++) NAME(store)(y + one * apart + tile, pixels[one]);
    }
}

/* The two sums of their matrix A. */
INLINE void NAME(join_four)(const V *numbers, int apart, V *first, V *second) {
    const V both = numbers[apart] + numbers[2 * apart], either = numbers[apart] - numbers[2 * apart];
    *first = numbers[0] + both;
    *second = either - numbers[3 * apart];
}

TARGET static void NAME(transform_output)(const float *sums, int64_t from_apart, float bias, float least, float most, float *y,
                                int64_t to_apart, int64_t tiles) {
    for (int64_t tile = 0; tile < tiles; tile += LANES) {
        V numbers[TRANSFORMED], rows[8];
#pragma GCC unroll 16
        for (int one = 0; one < TRANSFORMED; one++) numbers[one] = NAME(load)(sums + one * from_apart + tile);
#pragma GCC unroll 4
        for (int column = 0; column < 4; column++)
            NAME(join_four)(numbers + column, 4, &rows[column], &rows[4 + column]);
#pragma GCC unroll 2
        for (int row = 0; row < 2; row++) {
            V made[2];
            NAME(join_four)(rows + 4 * row, 1, &made[0], &made[1]);
#pragma GCC unroll 2
            for (int column = 0; column < 2; column++)
                NAME(store)(y + (2 * row + column) * to_apart + tile,
                            NAME(at_most)(NAME(at_least)(made[column] + bias, NAME(all)(least)), NAME(all)(most)));
        }
    }
}

TARGET static void NAME(interleave)(const float *one, const float *other, float *to, int64_t count) {
    for (int64_t pair = 0; pair < count / 2; pair++) {
        to[2 * pair] = one[pair];
        to[2 * pair + 1] = other[pair];
    }
    if (count % 2) to[count - 1] = one[count / 2];
}

/* Rows by a part of a panel, as far as there are columns. */
INLINE void NAME(product_tile)(const int rows, const int vectors, const struct product *product, int64_t row,
                               int64_t column) {
    V sums[HIGH][4];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
            sums[r][v] = NAME(load)(product->bias + (row + r) * product->apart + column + v * LANES);
    const float *x = product->x + row * product->depth;
    const float *weights = product->weights + column / PANEL * PANEL * product->depth + column % PANEL;
    for (int64_t k = 0; k < product->depth; k++, weights += PANEL) {
        V some[4];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            some[v] = NAME(load)(weights + v * LANES);
            __builtin_prefetch(weights + v * LANES + AHEAD);
        }
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            const V one = NAME(all)(x[r * product->depth + k]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) sums[r][v] += some[v] * one;
        }
    }
    V least = NAME(all)(product->least), most = NAME(all)(product->most);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        const int64_t first = column + v * LANES, left = product->columns - first;
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            float *y = product->y + (row + r) * product->columns + first;
            V made = NAME(at_most)(NAME(at_least)(sums[r][v], least), most);
            if (left >= LANES)
                NAME(store)(y, made);
            else if (left > 0)
                NAME(store_some)(y, made, left);
        }
    }
}

INLINE void NAME(product_rows)(const int vectors, const struct product *product, int64_t row, int64_t end_row,
                               int64_t column) {
    for (; row + HIGH <= end_row; row += HIGH) NAME(product_tile)(HIGH, vectors, product, row, column);
    for (; row + 4 <= end_row; row += 4) NAME(product_tile)(4, vectors, product, row, column);
    for (; row + 2 <= end_row; row += 2) NAME(product_tile)(2, vectors, product, row, column);
    if (row < end_row) NAME(product_tile)(1, vectors, product, row, column);
}

TARGET static void NAME(multiply)(const struct product *product, int64_t row, int64_t end_row, int64_t panel,
                                  int64_t end_panel) {
    const int64_t end = least_of(end_panel * PANEL, product->columns);
    for (int64_t column = panel * PANEL; column < end; column += BROAD * LANES) {
        const int64_t vectors = divided_up(end - column, LANES);
        if (vectors >= BROAD)
            NAME(product_rows)(BROAD, product, row, end_row, column);
        else if (vectors == 3)
            NAME(product_rows)(3, product, row, end_row, column);
        else if (vectors == 2)
            NAME(product_rows)(2, product, row, end_row, column);
        else
            NAME(product_rows)(1, product, row, end_row, column);
    }
}

INLINE void NAME(copy_with)(const float *from, int64_t from_line, const int64_t stride, float *to, int64_t to_line,
                            int64_t lines, int64_t count) {
    for (int64_t line = 0; line < lines; line++, from += from_line, to += to_line)
        for (int64_t place = 0; place < count; place++) to[place] = from[place * stride];
}

TARGET static void NAME(copy_lines)(const float *from, int64_t from_line, int64_t stride, float *to, int64_t to_line,
                                    int64_t lines, int64_t count) {
    if (stride == 1)
        NAME(copy_with)(from, from_line, 1, to, to_line, lines, count);
    else if (stride == 2)
        NAME(copy_with)(from, from_line, 2, to, to_line, lines, count);
    else
        NAME(copy_with)(from, from_line, stride, to, to_line, lines, count);
}

/* By blocks of four lines, of which each column is written at once. */
TARGET static void NAME(transpose)(const float *from, int64_t from_line, int64_t lines, int64_t columns, float *to,
                                   int64_t to_line) {
    int64_t line = 0;
    if (lines == 2 && to_line == 2) {
        NAME(interleave)(from, from + from_line, to, 2 * columns);
        return;
    }
    for (; line + 4 <= lines; line += 4, from += 4 * from_line)
        for (int64_t column = 0; column < columns; column++)
            for (int64_t one = 0; one < 4; one++) to[column * to_line + line + one] = from[one * from_line + column];
    for (; line < lines; line++, from += from_line)
        for (int64_t column = 0; column < columns; column++) to[column * to_line + line] = from[column];
}

/* NaN is larger than any number. */
INLINE int NAME(is_larger)(float value, float other) { return (value > other) | (value != value); }

INLINE void NAME(largest_columns)(const float *row, const int64_t stride, int64_t columns, float *y, int64_t count) {
    for (int64_t place = 0; place < count; place++) y[place] = row[place * stride];
    for (int64_t column = 1; column < columns; column++)
        for (int64_t place = 0; place < count; place++) {
            const float value = row[place * stride + column];
            y[place] = NAME(is_larger)(value, y[place]) ? value : y[place];
        }
}

TARGET static void NAME(largest)(const float *x, int64_t width, int64_t rows, float *row, const float *start,
                                 int64_t columns, int64_t stride, float *y, int64_t count) {
    memcpy(row, x, width * sizeof(float));
    for (int64_t line = 1; line < rows; line++) {
        x += width;
        for (int64_t place = 0; place < width; place++)
            row[place] = NAME(is_larger)(x[place], row[place]) ? x[place] : row[place];
    }
    if (stride == 1)
        NAME(largest_columns)(start, 1, columns, y, count);
    else if (stride == 2)
        NAME(largest_columns)(start, 2, columns, y, count);
    else
        NAME(largest_columns)(start, stride, columns, y, count);
}

INLINE V NAME(larger)(V value, V other) { return NAME(choose)((value > other) | (value != value), value, other); }

TARGET static float NAME(largest_of_all)(const float *x, int64_t count) {
    V found = NAME(all)(-INFINITY);
    int64_t place = 0;
    for (; place + LANES <= count; place += LANES) found = NAME(larger)(NAME(load)(x + place), found);
    found = NAME(larger)(NAME(load_some)(x + place, count - place, -INFINITY), found);
    float most = found[0];
    for (int lane = 1; lane < LANES; lane++) most = NAME(is_larger)(found[lane], most) ? found[lane] : most;
    return most;
}

/* (x - mean) / sqrt(variance + epsilon) * scale + shift: Ba, Kiros, Hinton 2016, "Layer Normalization", section 3. */
TARGET static void NAME(layer_norm)(const float *x, const float *scale, const float *shift, float epsilon, float *y,
                                    int64_t width) {
    const int64_t whole = width / LANES * LANES;
    V sum = NAME(load_some)(x + whole, width - whole, 0);
    for (int64_t place = 0; place < whole; place += LANES) sum += NAME(load)(x + place);
    const float mean = NAME(sum)(sum) / width;
    V away = NAME(load_some)(x + whole, width - whole, mean) - mean;
    V squares = away * away;
    for (int64_t place = 0; place < whole; place += LANES) {
        away = NAME(load)(x + place) - mean;
        squares += away * away;
    }
    const float factor = 1 / sqrtf(NAME(sum)(squares) / width + epsilon);
    for (int64_t place = 0; place < width; place++) y[place] = (x[place] - mean) * factor * scale[place] + shift[place];
}

TARGET static void NAME(softmax)(const float *x, float *y, int64_t width) {
    const int64_t whole = width / LANES * LANES;
    V largest = NAME(load_some)(x + whole, width - whole, -INFINITY);
    for (int64_t place = 0; place < whole; place += LANES) {
        V values = NAME(load)(x + place);
        largest = NAME(choose)(values > largest, values, largest);
    }
    float top = largest[0];
    for (int lane = 1; lane < LANES; lane++) top = largest[lane] > top ? largest[lane] : top;
    V sum = {0};
    for (int64_t place = 0; place < whole; place += LANES) {
        V power = NAME(exponential)(NAME(load)(x + place) - top);
        NAME(store)(y + place, power);
        sum += power;
    }
    V last = NAME(exponential)(NAME(load_some)(x + whole, width - whole, -INFINITY) - top);
    NAME(store_some)(y + whole, last, width - whole);
    float total = NAME(sum)(sum);
    for (int64_t place = whole; place < width; place++) total += y[place];
    const float factor = 1 / total;
    for (int64_t place = 0; place < width; place++) y[place] *= factor;
}

INLINE V NAME(clamped)(V x, float least, float most) {
    return NAME(at_most)(NAME(at_least)(x, NAME(all)(least)), NAME(all)(most));
}

INLINE V NAME(absolute)(V x) { return (V)((WORDS)x & 0x7fffffff); }
INLINE V NAME(with_sign_of)(V x, V other) { return (V)((WORDS)x | ((WORDS)other & ~0x7fffffff)); }

/* x times a quotient of polynomials of x^2, which is within 6e-9 of tanh(x) / x up to 8; from there on it is 1 - 2e-7. */
INLINE V NAME(hyperbolic_tangent)(V given) {
    const V x = NAME(clamped)(given, -8, 8), square = x * x;
    V above = square * 1.5230423e-8f + 2.18946661e-5f;
    above = above * square + 3.5715983e-3f;
    above = above * square + 0.13444498f;
    above = above * square + 1.0f;
    V below = square * 8.5224491e-7f + 3.4112926e-4f;
    below = below * square + 2.61644442e-2f;
    below = below * square + 0.46777827f;
    below = below * square + 1.0f;
    return x * above / below;
}

/* Near 0 by x times a polynomial of x^2, which is within 2e-9 of erf(x) / x; elsewhere by 1 - e^-p(x), where the
 * polynomial p is so near to -ln(erfc(x)) that this is within 1e-9. From 4 on it is 1. */
INLINE V NAME(error_function)(V x) {
    const V away = NAME(absolute)(x), square = x * x, most = NAME(at_most)(away, NAME(all)(4));
    V near = square * 7.88911500e-5f + -8.02083992e-4f;
    near = near * square + 5.18953519e-3f;
    near = near * square + -2.68544445e-2f;
    near = near * square + 1.12836002e-1f;
    near = near * square + -3.76126271e-1f;
    near = (near * square + 1.12837917f) * x;
    V power = most * 2.16869516e-5f + -4.41337627e-4f;
    power = power * most + 4.20456833e-3f;
    power = power * most + -2.52082749e-2f;
    power = power * most + 1.08418607e-1f;
    power = power * most + 6.33219864e-1f;
    power = power * most + 1.12957844f;
    power = power * most + -1.88043667e-4f;
    const V far = 1.0f - NAME(exponential)(-power);
    return NAME(choose)(away < 1.0f, near, NAME(with_sign_of)(far, x));
}

/* GELU: x * 0.5 * (1 + tanh(z)) is x / (1 + e^-2z), with z = sqrt(2 / pi) * (x + 0.044715 x^3): Hendrycks, Gimpel
 * 2016, "Gaussian Error Linear Units", section 2. The hard ones: Howard et al. 2019, "Searching for MobileNetV3", 5.2. */
INLINE V NAME(activated)(const enum activation activation, V x) {
    const float linear = 1.5957691216f, cubic = 0.0713548162726f; /* 2 sqrt(2 / pi), and 0.044715 times that */
    switch (activation) {
    case RELU:
        return NAME(at_least)(x, NAME(all)(0));
    case RELU6:
        return NAME(clamped)(x, 0, 6);
    case SIGMOID:
        return 1.0f / (NAME(exponential)(-x) + 1.0f);
    case SILU:
        return x / (NAME(exponential)(-x) + 1.0f);
    case HARD_SIGMOID:
        return NAME(clamped)(x + 3.0f, 0, 6) * (1.0f / 6);
    case HARD_SWISH:
        return x * (NAME(clamped)(x + 3.0f, 0, 6) * (1.0f / 6));
    case TANH:
        return NAME(hyperbolic_tangent)(x);
    case ERF:
        return NAME(error_function)(x);
    case EXPONENTIAL:
        return NAME(exponential)(x);
    case ROOT:
        return NAME(root)(x);
    case INVERSE_ROOT:
        return 1.0f / NAME(root)(x);
    case SQUARE:
        return x * x;
    case ABSOLUTE:
        return NAME(absolute)(x);
    case NEGATIVE:
        return -x;
    default:
        return x / (NAME(exponential)(-x * (x * x * cubic + linear)) + 1.0f);
    }
}

INLINE void NAME(activate_all)(const enum activation activation, const float *x, float *y, int64_t count) {
    const int64_t whole = count / LANES * LANES, left = count - whole;
    for (int64_t place = 0; place < whole; place += LANES)
        NAME(store)(y + place, NAME(activated)(activation, NAME(load)(x + place)));
    if (left > 0) NAME(store_some)(y + whole, NAME(activated)(activation, NAME(load_some)(x + whole, left, 0)), left);
}

#define FOR(activation)                                                                                                \
    case activation:                                                                                                   \
        NAME(activate_all)(activation, x, y, count);                                                                   \
        break;

TARGET static void NAME(activate)(enum activation activation, const float *x, float *y, int64_t count) {
    switch (activation) {
        FOR(RELU)
        FOR(RELU6)
        FOR(SIGMOID)
        FOR(SILU)
        FOR(HARD_SIGMOID)
        FOR(HARD_SWISH)
        FOR(GELU)
        FOR(TANH)
        FOR(ERF)
        FOR(EXPONENTIAL)
        FOR(ROOT)
        FOR(INVERSE_ROOT)
        FOR(SQUARE)
        FOR(ABSOLUTE)
        FOR(NEGATIVE)
    default:
        break;
    }
}

#undef FOR

/* NaN is larger than any number, and smaller. */
INLINE V NAME(combination)(const enum combination combination, V one, V other) {
    switch (combination) {
    case SUM:
        return one + other;
    case DIFFERENCE:
        return one - other;
    case PRODUCT:
        return one * other;
    case QUOTIENT:
        return one / other;
    case LARGER:
        return NAME(larger)(one, other);
    case PARAMETRIC_RELU:
        return NAME(choose)(one < 0, one * other, one);
    default:
        return NAME(choose)((one < other) | (one != one), one, other);
    }
}

INLINE V NAME(side)(const struct combined *combined, int side, const int is_one, int64_t place, int64_t left) {
    const float *from = combined->values[side];
    if (is_one) return NAME(all)(*from);
    return left < LANES ? NAME(load_some)(from + place, left, 1) : NAME(load)(from + place);
}

INLINE void NAME(combine_all)(const enum combination combination, const int is_one, const int is_other_one,
                              const struct combined *combined) {
    for (int64_t place = 0; place < combined->count; place += LANES) {
        const int64_t left = combined->count - place;
        const V one = NAME(side)(combined, 0, is_one, place, left), other = NAME(side)(combined, 1, is_other_one, place, left);
        const V made = NAME(clamped)(NAME(combination)(combination, one, other), combined->least, combined->most);
        if (left < LANES)
            NAME(store_some)(combined->y + place, made, left);
        else
            NAME(store)(combined->y + place, made);
    }
}

/* Either value may be one number, or both: then it does not matter how the second one is read. */
#define FOR(combination)                                                                                               \
    case combination:                                                                                                  \
        if (combined->is_one[0] && combined->is_one[1])                                                                \
            NAME(combine_all)(combination, 1, 1, combined);                                                            \
        else if (combined->is_one[0])                                                                                  \
            NAME(combine_all)(combination, 1, 0, combined);                                                            \
        else if (combined->is_one[1])                                                                                  \
            NAME(combine_all)(combination, 0, 1, combined);                                                            \
        else                                                                                                           \
            NAME(combine_all)(combination, 0, 0, combined);                                                            \
        break;

TARGET static void NAME(combine)(const struct combined *combined) {
    switch (combined->combination) {
        FOR(SUM)
        FOR(DIFFERENCE)
        FOR(PRODUCT)
        FOR(QUOTIENT)
        FOR(LARGER)
        FOR(SMALLER)
        FOR(PARAMETRIC_RELU)
    default:
        break;
    }
}

#undef FOR

/* Hochreiter and Schmidhuber 1997, "Long Short-Term Memory", with the forget gate of Gers et al. 2000, "Learning to
 * Forget"; Cho et al. 2014, "Learning Phrase Representations", with the reset gate behind the product, as in cuDNN. */
INLINE V NAME(remembered)(const enum cell cell, const float *gates, float *kept) {
    const V first = NAME(load)(gates);
    if (cell == TANH_CELL) return NAME(hyperbolic_tangent)(first);
    if (cell == RELU_CELL) return NAME(at_least)(first, NAME(all)(0));
    const V one = NAME(activated)(SIGMOID, first), other = NAME(activated)(SIGMOID, NAME(load)(gates + PANEL / 4));
    const V third = NAME(load)(gates + PANEL / 2), fourth = NAME(load)(gates + 3 * PANEL / 4), before = NAME(load)(kept);
    if (cell == GRU_CELL) {
        const V given = NAME(hyperbolic_tangent)(third + one * fourth), made = given + other * (before - given);
        NAME(store)(kept, made);
        return made;
    }
    const V made = other * before + one * NAME(hyperbolic_tangent)(third);
    NAME(store)(kept, made);
    return NAME(activated)(SIGMOID, fourth) * NAME(hyperbolic_tangent)(made);
}

INLINE void NAME(remember_all)(const enum cell cell, const float *gates, float *kept, float *y, int64_t units) {
    const int64_t of_panel = units_of_panel(cell);
    for (int64_t unit = 0; unit < units; unit += LANES) {
        const V made = NAME(remembered)(cell, gates + unit / of_panel * PANEL + unit % of_panel, kept + unit);
        if (units - unit < LANES)
            NAME(store_some)(y + unit, made, units - unit);
        else
            NAME(store)(y + unit, made);
    }
}

#define FOR(cell)                                                                                                      \
    case cell:                                                                                                         \
        NAME(remember_all)(cell, gates, kept, y, units);                                                               \
        break;

TARGET static void NAME(remember)(enum cell cell, const float *gates, float *kept, float *y, int64_t units) {
    switch (cell) {
        FOR(LSTM_CELL)
        FOR(GRU_CELL)
        FOR(TANH_CELL)
        FOR(RELU_CELL)
    default:
        break;
    }
}

#undef FOR

/* In four vectors, of which none waits for another. */
TARGET static float NAME(sum_of)(const float *x, int64_t count) {
    V sums[4] = {{0}};
    int64_t place = 0;
    for (; place + 4 * LANES <= count; place += 4 * LANES)
#pragma GCC unroll 4
        for (int one = 0; one < 4; one++) sums[one] += NAME(load)(x + place + one * LANES);
    for (; place + LANES <= count; place += LANES) sums[0] += NAME(load)(x + place);
    sums[1] += NAME(load_some)(x + place, count - place, 0);
    return NAME(sum)((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

TARGET static void NAME(sum_rows)(const float *x, int64_t rows, int64_t width, float factor, float *y) {
    for (int64_t column = 0; column < width; column += LANES) {
        const int64_t left = width - column;
        V sum = {0};
        for (int64_t row = 0; row < rows; row++) {
            const float *from = x + row * width + column;
            sum += left < LANES ? NAME(load_some)(from, left, 0) : NAME(load)(from);
        }
        if (left < LANES)
            NAME(store_some)(y + column, sum * factor, left);
        else
            NAME(store)(y + column, sum * factor);
    }
}

static const struct instructions NAME(instructions) = {
    .lanes = LANES,
    .chunk = 2 * WIDE * LANES,
    .sums = NAME(sums),
    .transform_input = NAME(transform_input),
    .transform_output = NAME(transform_output),
    .interleave = NAME(interleave),
    .multiply = NAME(multiply),
    .largest = NAME(largest),
    .largest_of_all = NAME(largest_of_all),
    .copy_lines = NAME(copy_lines),
    .transpose = NAME(transpose),
    .layer_norm = NAME(layer_norm),
    .softmax = NAME(softmax),
    .activate = NAME(activate),
    .combine = NAME(combine),
    .remember = NAME(remember),
    .sum = NAME(sum_of),
    .sum_rows = NAME(sum_rows),
};

/* For the next inclusion. */
#undef NAME
#undef TARGET
#undef LANES
#undef TALL
#undef WIDE
#undef HIGH
#undef BROAD
