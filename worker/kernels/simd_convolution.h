/* Sums of a convolution.
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
