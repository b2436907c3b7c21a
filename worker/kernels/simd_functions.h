/* Functions of each number of a vector. */

/* e to the power of each: 2^n times e^r, with n the nearest whole number to x / ln 2, and the first terms of e^r's
 * series for |r| <= ln 2 / 2. Results below 2^-126 are 0, as what is masked has to be; NaN stays NaN. */
INLINE V NAME(exponential)(V given) {
    const float rounding = 12582912.0f; /* 1.5 * 2^23: a sum with it has no place for a fraction */
    const V least = NAME(all)(-87.3365f), most = NAME(all)(88.7228317f);
    const V x = NAME(at_most)(NAME(at_least)(given, least), most);
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
    const V power = (V)(((WORDS)series + exponent) & (given >= least)); /* with n = 128 the series is below 1 */
    return NAME(choose)(given <= most, power, given + INFINITY);
}

/* x * tanh(ln(1 + e^x)), which is x * n / (n + 2) with n = e^x (e^x + 2): Misra 2019, "Mish", section 2. */
INLINE V NAME(mish)(V x) {
    const V power = NAME(exponential)(NAME(at_most)(x, NAME(all)(20))), n = power * (power + 2.0f);
    return NAME(choose)(x < -80.0f, NAME(all)(0), x * (n / (n + 2.0f)));
}

/* Of 2^n m, with m between the roots of 1/2 and 2: n ln 2, and the first terms of the series of ln m in s, where
 * s = (m - 1) / (m + 1) and ln m = 2 artanh(s). */
INLINE V NAME(logarithm)(V given) {
    const WORDS is_tiny = given < 1.17549435e-38f; /* its exponent says nothing */
    const V x = NAME(choose)(is_tiny, given * 8388608.0f, given);
    const WORDS exponent = ((WORDS)x - 0x3f3504f3) >> 23; /* which is the root of 1/2 */
    const V m = (V)((WORDS)x - (exponent << 23)), s = (m - 1.0f) / (m + 1.0f), square = s * s;
    const V n = __builtin_convertvector(exponent, V) - NAME(choose)(is_tiny, NAME(all)(23), NAME(all)(0));
    V series = square * (2.0f / 9) + 2.0f / 7;
    series = series * square + 2.0f / 5;
    series = series * square + 2.0f / 3;
    const V made = n * 0.693359375f + (n * -2.12194440e-4f + (series * square * s + 2.0f * s));
    const V edge = NAME(choose)(given == 0, NAME(all)(-INFINITY), NAME(choose)(given < 0, NAME(all)(NAN), given));
    return NAME(choose)((given > 0) & (given < INFINITY), made, edge);
}

INLINE V NAME(root)(V x) {
    V made;
    for (int lane = 0; lane < LANES; lane++) made[lane] = sqrtf(x[lane]);
    return made;
}

INLINE V NAME(absolute)(V x) { return (V)((WORDS)x & 0x7fffffff); }
INLINE V NAME(with_sign_of)(V x, V other) { return (V)((WORDS)x | ((WORDS)other & ~0x7fffffff)); }

/* x times a quotient of polynomials of x^2, which is within 6e-9 of tanh(x) / x up to 8; from there on it is 1 - 2e-7. */
INLINE V NAME(hyperbolic_tangent)(V given) {
    const V x = NAME(clamped)(given, -8, 8), square = x * x;
    V above = square * 1.5230423e-8f + 2.18946661e-5f;
    above = above * square + 3.5715983e-3f;
    above = above * square + 0.13444498f;
    above = above * square + 1.0f;
    V below = square * 8.5224491e-7f + 3.4112926e-4f;
    below = below * square + 2.61644442e-2f;
    below = below * square + 0.46777827f;
    below = below * square + 1.0f;
    return x * above / below;
}

/* Near 0 by x times a polynomial of x^2, which is within 2e-9 of erf(x) / x; elsewhere by 1 - e^-p(x), where the
 * polynomial p is so near to -ln(erfc(x)) that this is within 1e-9. From 4 on it is 1. */
INLINE V NAME(error_function)(V x) {
    const V away = NAME(absolute)(x), square = x * x, most = NAME(at_most)(away, NAME(all)(4));
    V near = square * 7.88911500e-5f + -8.02083992e-4f;
    near = near * square + 5.18953519e-3f;
    near = near * square + -2.68544445e-2f;
    near = near * square + 1.12836002e-1f;
    near = near * square + -3.76126271e-1f;
    near = (near * square + 1.12837917f) * x;
    V power = most * 2.16869516e-5f + -4.41337627e-4f;
    power = power * most + 4.20456833e-3f;
    power = power * most + -2.52082749e-2f;
    power = power * most + 1.08418607e-1f;
    power = power * most + 6.33219864e-1f;
    power = power * most + 1.12957844f;
    power = power * most + -1.88043667e-4f;
    const V far = 1.0f - NAME(exponential)(-power);
    return NAME(choose)(away < 1.0f, near, NAME(with_sign_of)(far, x));
}

/* sin(x + ahead): what is left of that by whole multiples of pi, in double precision, times a polynomial of its square,
 * which is within 5e-9 of sin(x) / x; each second multiple has it the other way around. Far away the C library does it. */
INLINE V NAME(sine)(V given, const double ahead) {
    const double rounding = 6755399441055744.0; /* 1.5 * 2^52: a sum with it has no place for a fraction */
    const DOUBLES x = __builtin_convertvector(given, DOUBLES) + ahead;
    const DOUBLES turns = x * 0.31830988618379067 + rounding, whole = turns - rounding;
    const DOUBLES left = x - whole * 3.141592653589793 - whole * 1.2246467991473532e-16;
    const V near = __builtin_convertvector((DOUBLES)((LONGS)left ^ (LONGS)turns << 63), V), square = near * near;
    V series = square * 2.608749799e-6f + -1.981103686e-4f;
    series = series * square + 8.333087236e-3f;
    series = series * square + -1.666666043e-1f;
    V made = near + near * square * series;
    const WORDS is_far = NAME(absolute)(given) > 1e9f;
    int any = 0;
    for (int lane = 0; lane < LANES; lane++) any |= is_far[lane];
    if (any)
        for (int lane = 0; lane < LANES; lane++)
            if (is_far[lane]) made[lane] = ahead == 0 ? sinf(given[lane]) : cosf(given[lane]);
    return made;
}
