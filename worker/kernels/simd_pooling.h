/* The largest of several numbers. */

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

TARGET static float NAME(largest_of_all)(const float *x, int64_t count) {
    V found = NAME(all)(-INFINITY);
    int64_t place = 0;
    for (; place + LANES <= count; place += LANES) found = NAME(larger)(NAME(load)(x + place), found);
    found = NAME(larger)(NAME(load_some)(x + place, count - place, -INFINITY), found);
    float most = found[0];
    for (int lane = 1; lane < LANES; lane++) most = NAME(is_larger)(found[lane], most) ? found[lane] : most;
    return most;
}
