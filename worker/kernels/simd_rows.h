/* What is made of a row, or of the numbers of a column. */

/* (x - mean) / sqrt(variance + epsilon) * scale + shift: Ba, Kiros, Hinton 2016, "Layer Normalization", section 3. The
 * mean is what is nearly it and the mean distance from that: a large one loses no digits. */
TARGET static void NAME(layer_norm)(const float *x, const float *scale, const float *shift, float epsilon, float *y,
                                    int64_t width) {
    const int64_t whole = width / LANES * LANES;
    V sum = NAME(load_some)(x + whole, width - whole, 0);
    for (int64_t place = 0; place < whole; place += LANES) sum += NAME(load)(x + place);
    const float mean = NAME(sum)(sum) / width;
    V away = NAME(load_some)(x + whole, width - whole, mean) - mean;
    V squares = away * away, distances = away;
    for (int64_t place = 0; place < whole; place += LANES) {
        away = NAME(load)(x + place) - mean;
        squares += away * away;
        distances += away;
    }
    const float rest = NAME(sum)(distances) / width, variance = NAME(sum)(squares) / width - rest * rest;
    const float factor = 1 / sqrtf((variance < 0 ? 0 : variance) + epsilon), less = rest * factor;
    for (int64_t place = 0; place < width; place++)
        y[place] = ((x[place] - mean) * factor - less) * scale[place] + shift[place];
}

/* Of a row of -infinity alone, which is all masked, nothing has a share: as in MindSpore. */
TARGET static void NAME(softmax)(const float *x, float *y, int64_t width) {
    const int64_t whole = width / LANES * LANES;
    V largest = NAME(load_some)(x + whole, width - whole, -INFINITY);
    for (int64_t place = 0; place < whole; place += LANES) {
        V values = NAME(load)(x + place);
        largest = NAME(choose)(values > largest, values, largest);
    }
    float top = largest[0];
    for (int lane = 1; lane < LANES; lane++) top = largest[lane] > top ? largest[lane] : top;
    if (top == -INFINITY) top = 0;
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
    const float factor = total == 0 ? 0 : 1 / total;
    for (int64_t place = 0; place < width; place++) y[place] *= factor;
}

/* Columns beside each other, as many as a vector has, or fewer. */
INLINE void NAME(softmax_of_some)(const float *x, float *y, int64_t rows, int64_t width, const int64_t count) {
    const int is_whole = count == LANES;
    V largest = NAME(all)(-INFINITY), sum = {0};
    for (int64_t place = 0; place < rows * width; place += width) {
        const V values = is_whole ? NAME(load)(x + place) : NAME(load_some)(x + place, count, 0);
        largest = NAME(choose)(values > largest, values, largest);
    }
    largest = NAME(choose)(largest == -INFINITY, NAME(all)(0), largest);
    for (int64_t place = 0; place < rows * width; place += width) {
        const V values = is_whole ? NAME(load)(x + place) : NAME(load_some)(x + place, count, 0);
        const V power = NAME(exponential)(values - largest);
        if (is_whole)
            NAME(store)(y + place, power);
        else
            NAME(store_some)(y + place, power, count);
        sum += power;
    }
    const V factor = NAME(choose)(sum == 0, NAME(all)(0), 1 / sum);
    for (int64_t place = 0; place < rows * width; place += width)
        if (is_whole)
            NAME(store)(y + place, NAME(load)(y + place) * factor);
        else
            NAME(store_some)(y + place, NAME(load_some)(y + place, count, 0) * factor, count);
}

TARGET static void NAME(softmax_columns)(const float *x, float *y, int64_t rows, int64_t width) {
    int64_t column = 0;
    for (; column + LANES <= width; column += LANES) NAME(softmax_of_some)(x + column, y + column, rows, width, LANES);
    if (column < width) NAME(softmax_of_some)(x + column, y + column, rows, width, width - column);
}

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

/* In two passes: a mean that is large takes no digits from the variance. */
TARGET static struct moments NAME(moments)(const float *x, int64_t count) {
    const float middle = NAME(sum_of)(x, count) / count;
    V squares[4] = {{0}}, distances[4] = {{0}};
    int64_t place = 0;
    for (; place + 4 * LANES <= count; place += 4 * LANES)
#pragma GCC unroll 4
        for (int one = 0; one < 4; one++) {
            const V away = NAME(load)(x + place + one * LANES) - middle;
            squares[one] += away * away;
            distances[one] += away;
        }
    for (; place < count; place += LANES) {
        const int64_t left = least_of(count - place, LANES);
        const V away = (left == LANES ? NAME(load)(x + place) : NAME(load_some)(x + place, left, middle)) - middle;
        squares[0] += away * away;
        distances[0] += away;
    }
    const float rest = NAME(sum)((distances[0] + distances[1]) + (distances[2] + distances[3])) / count;
    const float square = NAME(sum)((squares[0] + squares[1]) + (squares[2] + squares[3])) / count;
    return (struct moments){middle, rest, square < rest * rest ? 0 : square - rest * rest};
}

TARGET static void NAME(scale)(const float *x, float middle, float factor, float shift, float least, float most, float *y,
                               int64_t count) {
    for (int64_t place = 0; place < count; place += LANES) {
        const int64_t left = count - place;
        const V away = (left < LANES ? NAME(load_some)(x + place, left, 0) : NAME(load)(x + place)) - middle;
        const V made = NAME(clamped)(away * factor + shift, least, most);
        if (left < LANES)
            NAME(store_some)(y + place, made, left);
        else
            NAME(store)(y + place, made);
    }
}
