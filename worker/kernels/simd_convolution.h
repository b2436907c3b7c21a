/* Sums of a convolution, and what Winograd's method makes of its tiles.
 *
 * A tile of sums is TALL outputs by up to WIDE vectors of pixels: it stays in registers through all that is added to it,
 * as do the vectors of one side, and one number at a time of the other: with more of these, AVX2's sixteen registers are
 * too few, and what has no room takes twice as long. */

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
