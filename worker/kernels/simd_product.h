/* Products of matrices. A tile is HIGH rows by up to BROAD vectors of columns, or twice as many rows by half of
 * these, in registers as those of simd_convolution.h. */

/* Rows by a part of a panel, as far as there are columns. */
INLINE void NAME(product_tile)(const int rows, const int vectors, const struct product *product, int64_t row,
                               int64_t column) {
    V sums[2 * HIGH][4];
    const int64_t width = panel_of(product->columns);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
            sums[r][v] = NAME(load)(product->bias + (row + r) * product->apart + column + v * LANES);
    const float *x = product->x + row * product->depth;
    const float *weights = product->weights + column / PANEL * PANEL * product->depth + column % PANEL;
    for (int64_t k = 0; k < product->depth; k++, weights += width) {
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
    if (2 * vectors <= BROAD)
        for (; row + 2 * HIGH <= end_row; row += 2 * HIGH) NAME(product_tile)(2 * HIGH, vectors, product, row, column);
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
