/* The functions of `struct instructions` for one set of instructions: included once for each by instructions.c.
 *
 * A tile is TALL outputs by up to WIDE vectors of pixels, or HIGH rows by up to BROAD vectors of columns: its sums stay
 * in registers through all that is added to them. */

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
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            V pixels = NAME(load)(x + v * LANES);
#pragma GCC unroll 8
            for (int o = 0; o < outs; o++) sums[o][v] += pixels * weights[o];
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

/* Rows by a part of a panel, as far as there are columns. */
INLINE void NAME(product_tile)(const int rows, const int vectors, const struct product *product, int64_t row,
                               int64_t column) {
    V sums[HIGH][4];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) sums[r][v] = NAME(load)(product->bias + column + v * LANES);
    const float *x = product->x + row * product->depth;
    const float *weights = product->weights + column / PANEL * PANEL * product->depth + column % PANEL;
    for (int64_t k = 0; k < product->depth; k++, weights += PANEL) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            V some = NAME(load)(weights + v * LANES);
            __builtin_prefetch(weights + v * LANES + AHEAD);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) sums[r][v] += some * x[r * product->depth + k];
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

TARGET static void NAME(activate)(enum activation activation, const float *x, float *y, int64_t count) {
    switch (activation) {
    case RELU:
        NAME(activate_all)(RELU, x, y, count);
        break;
    case RELU6:
        NAME(activate_all)(RELU6, x, y, count);
        break;
    case SIGMOID:
        NAME(activate_all)(SIGMOID, x, y, count);
        break;
    case SILU:
        NAME(activate_all)(SILU, x, y, count);
        break;
    case HARD_SIGMOID:
        NAME(activate_all)(HARD_SIGMOID, x, y, count);
        break;
    case HARD_SWISH:
        NAME(activate_all)(HARD_SWISH, x, y, count);
        break;
    case GELU:
        NAME(activate_all)(GELU, x, y, count);
        break;
    }
}

TARGET static void NAME(add)(const float *x, const float *other, float least, float most, float *y, int64_t count) {
    const int64_t whole = count / LANES * LANES, left = count - whole;
    for (int64_t place = 0; place < whole; place += LANES)
        NAME(store)(y + place, NAME(clamped)(NAME(load)(x + place) + NAME(load)(other + place), least, most));
    if (left > 0) {
        const V sum = NAME(load_some)(x + whole, left, 0) + NAME(load_some)(other + whole, left, 0);
        NAME(store_some)(y + whole, NAME(clamped)(sum, least, most), left);
    }
}

static const struct instructions NAME(instructions) = {
    .chunk = 2 * WIDE * LANES,
    .sums = NAME(sums),
    .multiply = NAME(multiply),
    .largest = NAME(largest),
    .copy_lines = NAME(copy_lines),
    .transpose = NAME(transpose),
    .layer_norm = NAME(layer_norm),
    .softmax = NAME(softmax),
    .activate = NAME(activate),
    .add = NAME(add),
};

/* For the next inclusion. */
#undef NAME
#undef TARGET
#undef LANES
#undef TALL
#undef WIDE
#undef HIGH
#undef BROAD
