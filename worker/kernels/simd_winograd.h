/* What Winograd's method makes of the tiles of a convolution: the sums of Lavin and Gray's matrices B and A.
 *
 * For four outputs the points are 0, both roots of 1/2, both of 2, and infinity: these matrices are theirs, and their
 * errors are four times those of two outputs (with 0, 1, -1, 2, -2 they are ten times as large). */

#define ROOT_OF_HALF 0.70710678f
#define ROOT_OF_TWO 1.41421356f

/* Of numbers that are `apart` from each other. */
INLINE void NAME(transform_four)(V *numbers, int apart) {
    const V first = numbers[0], second = numbers[apart], third = numbers[2 * apart], fourth = numbers[3 * apart];
    numbers[0] = first - third;
    numbers[apart] = second + third;
    numbers[2 * apart] = third - second;
    numbers[3 * apart] = second - fourth;
}

INLINE void NAME(transform_six)(V *numbers, int apart) {
    const V first = numbers[0], second = numbers[apart], third = numbers[2 * apart], fourth = numbers[3 * apart];
    const V fifth = numbers[4 * apart], sixth = numbers[5 * apart];
    const V even = fifth - third * 2, odd = (fourth - second * 2) * ROOT_OF_HALF;
    const V other_even = fifth - third * 0.5f, other_odd = (fourth - second * 0.5f) * ROOT_OF_TWO;
    numbers[0] = first - third * 2.5f + fifth;
    numbers[apart] = even + odd;
    numbers[2 * apart] = even - odd;
    numbers[3 * apart] = other_even + other_odd;
    numbers[4 * apart] = other_even - other_odd;
    numbers[5 * apart] = second - fourth * 2.5f + sixth;
}

/* side: of the pixels. */
INLINE void NAME(transform_pixels)(const int side, const float *x, const int64_t *places, float *y, int64_t apart,
                                   int64_t tiles) {
    for (int64_t tile = 0; tile < tiles; tile += LANES) {
        V pixels[TRANSFORMED];
#pragma GCC unroll 36
        for (int one = 0; one < side * side; one++) pixels[one] = NAME(load)(x + places[one] + tile);
#pragma GCC unroll 6
        for (int column = 0; column < side; column++)
            side == 4 ? NAME(transform_four)(pixels + column, side) : NAME(transform_six)(pixels + column, side);
#pragma GCC unroll 6
        for (int row = 0; row < side; row++)
            side == 4 ? NAME(transform_four)(pixels + side * row, 1) : NAME(transform_six)(pixels + side * row, 1);
#pragma GCC unroll 36
        for (int one = 0; one < side * side; one++) NAME(store)(y + one * apart + tile, pixels[one]);
    }
}

TARGET static void NAME(transform_input)(const float *x, const int64_t *places, float *y, int64_t apart, int64_t tiles) {
    NAME(transform_pixels)(4, x, places, y, apart, tiles);
}

TARGET static void NAME(transform_larger_input)(const float *x, const int64_t *places, float *y, int64_t apart,
                                                int64_t tiles) {
    NAME(transform_pixels)(6, x, places, y, apart, tiles);
}

/* made: as far from each other. */
INLINE void NAME(join_four)(const V *numbers, int apart, V *made, int made_apart) {
    const V both = numbers[apart] + numbers[2 * apart], either = numbers[apart] - numbers[2 * apart];
    made[0] = numbers[0] + both;
    made[made_apart] = either - numbers[3 * apart];
}

INLINE void NAME(join_six)(const V *numbers, int apart, V *made, int made_apart) {
    const V both = numbers[apart] + numbers[2 * apart], either = (numbers[apart] - numbers[2 * apart]) * ROOT_OF_HALF;
    const V others = numbers[3 * apart] + numbers[4 * apart];
    const V other = (numbers[3 * apart] - numbers[4 * apart]) * ROOT_OF_TWO;
    made[0] = numbers[0] + both + others;
    made[made_apart] = either + other;
    made[2 * made_apart] = both * 0.5f + others * 2;
    made[3 * made_apart] = either * 0.5f + other * 2 + numbers[5 * apart];
}

/* side: of the sums. */
INLINE void NAME(transform_sums)(const int side, const float *sums, int64_t from_apart, float bias, float least, float most,
                                 float *y, int64_t to_apart, int64_t tiles) {
    const int outs = side - 2;
    for (int64_t tile = 0; tile < tiles; tile += LANES) {
        V numbers[TRANSFORMED], rows[TRANSFORMED], made[4];
#pragma GCC unroll 36
        for (int one = 0; one < side * side; one++) numbers[one] = NAME(load)(sums + one * from_apart + tile);
#pragma GCC unroll 6
        for (int column = 0; column < side; column++)
            side == 4 ? NAME(join_four)(numbers + column, side, rows + column, side)
                      : NAME(join_six)(numbers + column, side, rows + column, side);
#pragma GCC unroll 4
        for (int row = 0; row < outs; row++) {
            side == 4 ? NAME(join_four)(rows + side * row, 1, made, 1) : NAME(join_six)(rows + side * row, 1, made, 1);
#pragma GCC unroll 4
            for (int column = 0; column < outs; column++)
                NAME(store)(y + (outs * row + column) * to_apart + tile, NAME(clamped)(made[column] + bias, least, most));
        }
    }
}

TARGET static void NAME(transform_output)(const float *sums, int64_t from_apart, float bias, float least, float most,
                                          float *y, int64_t to_apart, int64_t tiles) {
    NAME(transform_sums)(4, sums, from_apart, bias, least, most, y, to_apart, tiles);
}

TARGET static void NAME(transform_larger_output)(const float *sums, int64_t from_apart, float bias, float least, float most,
                                                 float *y, int64_t to_apart, int64_t tiles) {
    NAME(transform_sums)(6, sums, from_apart, bias, least, most, y, to_apart, tiles);
}

#undef ROOT_OF_HALF
#undef ROOT_OF_TWO
