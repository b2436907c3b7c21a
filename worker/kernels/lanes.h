/* Several floats at once, as many as a register of the instruction set has: LANES of them.
 *
 * Included once for each set by instructions.c, with NAME and TARGET for what is defined for it. */

#undef V
#undef FLOATS
#undef WORDS
#undef INLINE
#define V NAME(vector)
#define FLOATS NAME(floats)
#define WORDS NAME(words)
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float V __attribute__((vector_size(4 * LANES)));
typedef int32_t WORDS __attribute__((vector_size(4 * LANES)));
typedef float FLOATS __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* anywhere in memory */

INLINE V NAME(load)(const float *from) { return *(const FLOATS *)from; }
INLINE void NAME(store)(float *to, V value) { *(FLOATS *)to = value; }
INLINE V NAME(all)(float value) { return value - (V){0}; }

/* The one where the condition holds, the other elsewhere. */
INLINE V NAME(choose)(WORDS condition, V one, V other) {
    return (V)((condition & (WORDS)one) | (~condition & (WORDS)other));
}

/* NaN stays NaN. */
INLINE V NAME(at_least)(V value, V least) { return NAME(choose)(value < least, least, value); }
INLINE V NAME(at_most)(V value, V most) { return NAME(choose)(value > most, most, value); }

INLINE float NAME(sum)(V value) {
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += value[lane];
    return sum;
}

/* The first `count` of a vector, and `rest` in the lanes behind. */
INLINE V NAME(load_some)(const float *from, int64_t count, float rest) {
    float some[LANES];
    for (int lane = 0; lane < LANES; lane++) some[lane] = lane < count ? from[lane] : rest;
    return NAME(load)(some);
}

INLINE void NAME(store_some)(float *to, V value, int64_t count) {
    for (int lane = 0; lane < LANES; lane++)
        if (lane < count) to[lane] = value[lane];
}

/* e to the power of each: 2^n times e^r, with n the nearest whole number to x / ln 2, and the first terms of e^r's
 * series for |r| <= ln 2 / 2. Results below 2^-126 are 2^-126, those above 2^127.5 are infinite; NaN stays NaN. */
INLINE V NAME(exponential)(V given) {
    const float rounding = 12582912.0f; /* 1.5 * 2^23: a sum with it has no place for a fraction */
    const V most = NAME(all)(88.3762f);
    const V x = NAME(at_most)(NAME(at_least)(given, NAME(all)(-87.3365f)), most);
    V n = x * 1.44269504f + rounding;
    WORDS exponent = (WORDS)n << 23; /* of `rounding` nothing is left */
    n -= rounding;
    V r = x - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts, of which the first is short */
    V series = NAME(all)(1.0f / 5040);
    series = series * r + 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    const V power = (V)((WORDS)series + exponent);
    return NAME(choose)(given > most, NAME(all)(INFINITY), NAME(choose)(given != given, given, power));
}

INLINE V NAME(root)(V x) {
    V made;
    for (int lane = 0; lane < LANES; lane++) made[lane] = sqrtf(x[lane]);
    return made;
}
