/* Several floats at once, as many as a register of the instruction set has: LANES of them.
 *
 * Included once for each set by instructions.c, with NAME and TARGET for what is defined for it. */

#undef V
#undef FLOATS
#undef WORDS
#undef DOUBLES
#undef LONGS
#undef INLINE
#define V NAME(vector)
#define FLOATS NAME(floats)
#define WORDS NAME(words)
#define DOUBLES NAME(doubles)
#define LONGS NAME(longs)
#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float V __attribute__((vector_size(4 * LANES)));
typedef int32_t WORDS __attribute__((vector_size(4 * LANES)));
typedef double DOUBLES __attribute__((vector_size(8 * LANES)));
typedef int64_t LONGS __attribute__((vector_size(8 * LANES)));
typedef float FLOATS __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* anywhere in memory */

INLINE V NAME(load)(const float *from) { return *(const FLOATS *)from; }
INLINE void NAME(store)(float *to, V value) { *(FLOATS *)to = value; }
INLINE V NAME(all)(float value) { return value - (V){0}; }

/* The one where the condition holds, the other elsewhere. */
INLINE V NAME(choose)(WORDS condition, V one, V other) {
    return (V)((condition & (WORDS)one) | (~condition & (WORDS)other));
}

/* Of two vectors, one behind the other, the numbers at these places. */
INLINE V NAME(shuffled)(V one, V other, WORDS places) {
#if defined(__GNUC__) && !defined(__clang__)
    return __builtin_shuffle(one, other, places);
#else
    V made;
    for (int lane = 0; lane < LANES; lane++) made[lane] = places[lane] < LANES ? one[places[lane]] : other[places[lane] - LANES];
    return made;
#endif
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

INLINE V NAME(clamped)(V x, float least, float most) {
    return NAME(at_most)(NAME(at_least)(x, NAME(all)(least)), NAME(all)(most));
}

/* NaN is larger than any number. */
INLINE V NAME(larger)(V value, V other) { return NAME(choose)((value > other) | (value != value), value, other); }
