/* Sums of a convolution for as many channels as a vector has numbers. */

INLINE void NAME(channel_tile)(const int pixels, const struct channel_run *run, int64_t pixel) {
    V sums[8];
#pragma GCC unroll 8
    for (int one = 0; one < pixels; one++) sums[one] = NAME(load)(run->bias);
    const float *start = run->x + pixel * run->step, *weights = run->weights;
    for (int64_t tap = 0; tap < run->taps; tap++, weights += LANES) {
        const float *x = start + run->away[tap];
        const V weight = NAME(load)(weights);
#pragma GCC unroll 8
        for (int one = 0; one < pixels; one++) sums[one] += NAME(load)(x + one * run->step) * weight;
    }
#pragma GCC unroll 8
    for (int one = 0; one < pixels; one++)
        NAME(store)(run->y + (pixel + one) * LANES, NAME(clamped)(sums[one], run->least, run->most));
}

TARGET static void NAME(sum_channels)(const struct channel_run *run) {
    int64_t pixel = 0;
    for (; pixel + 8 <= run->pixels; pixel += 8) NAME(channel_tile)(8, run, pixel);
    for (; pixel + 4 <= run->pixels; pixel += 4) NAME(channel_tile)(4, run, pixel);
    for (; pixel + 2 <= run->pixels; pixel += 2) NAME(channel_tile)(2, run, pixel);
    if (pixel < run->pixels) NAME(channel_tile)(1, run, pixel);
}
