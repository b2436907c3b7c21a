/* What becomes of each number by itself, or of two of them. */

/* GELU: x * 0.5 * (1 + tanh(z)) is x / (1 + e^-2z), with z = sqrt(2 / pi) * (x + 0.044715 x^3): Hendrycks, Gimpel
 * 2016, "Gaussian Error Linear Units", section 2. The hard ones: Howard et al. 2019, "Searching for MobileNetV3", 5.2. */
INLINE V NAME(activated)(const enum activation activation, V x) {
    const float linear = 1.5957691216f, cubic = 0.0713548162726f; /* 2 sqrt(2 / pi), and 0.044715 times that */
    switch (activation) {
    case RELU:
        return NAME(at_least)(x, NAME(all)(0));
    case RELU6:
        return NAME(clamped)(x, 0, 6);
    case SIGMOID:
        return 1.0f / (NAME(exponential)(-x) + 1.0f);
    case SILU:
        return x / (NAME(exponential)(-x) + 1.0f);
    case HARD_SIGMOID:
        return NAME(clamped)(x + 3.0f, 0, 6) * (1.0f / 6);
    case HARD_SWISH:
        return x * (NAME(clamped)(x + 3.0f, 0, 6) * (1.0f / 6));
    case TANH:
        return NAME(hyperbolic_tangent)(x);
    case ERF:
        return NAME(error_function)(x);
    case EXPONENTIAL:
        return NAME(exponential)(x);
    case ROOT:
        return NAME(root)(x);
    case INVERSE_ROOT:
        return 1.0f / NAME(root)(x);
    case SQUARE:
        return x * x;
    case ABSOLUTE:
        return NAME(absolute)(x);
    case NEGATIVE:
        return -x;
    case EXPONENTIAL_LINEAR:
        return NAME(choose)(x > 0, x, NAME(exponential)(x) - 1.0f);
    case SINE:
        return NAME(sine)(x, 0);
    case COSINE:
        return NAME(sine)(x, 1.5707963267948966);
    case MISH:
        return NAME(mish)(x);
    case LOGARITHM:
        return NAME(logarithm)(x);
    default:
        return x / (NAME(exponential)(-x * (x * x * cubic + linear)) + 1.0f);
    }
}

INLINE void NAME(activate_all)(const enum activation activation, const float *x, float *y, int64_t count) {
    const int64_t whole = count / LANES * LANES, left = count - whole;
    for (int64_t place = 0; place < whole; place += LANES)
        NAME(store)(y + place, NAME(activated)(activation, NAME(load)(x + place)));
    if (left > 0) NAME(store_some)(y + whole, NAME(activated)(activation, NAME(load_some)(x + whole, left, 0)), left);
}

#define FOR(activation)                                                                                                \
    case activation:                                                                                                   \
        NAME(activate_all)(activation, x, y, count);                                                                   \
        break;

TARGET static void NAME(activate)(enum activation activation, const float *x, float *y, int64_t count) {
    switch (activation) {
        FOR(RELU)
        FOR(RELU6)
        FOR(SIGMOID)
        FOR(SILU)
        FOR(HARD_SIGMOID)
        FOR(HARD_SWISH)
        FOR(GELU)
        FOR(TANH)
        FOR(ERF)
        FOR(EXPONENTIAL)
        FOR(ROOT)
        FOR(INVERSE_ROOT)
        FOR(SQUARE)
        FOR(ABSOLUTE)
        FOR(NEGATIVE)
        FOR(EXPONENTIAL_LINEAR)
        FOR(SINE)
        FOR(COSINE)
        FOR(MISH)
        FOR(LOGARITHM)
    default:
        break;
    }
}

#undef FOR

/* NaN is larger than any number, and smaller. */
INLINE V NAME(combination)(const enum combination combination, V one, V other) {
    switch (combination) {
    case SUM:
        return one + other;
    case DIFFERENCE:
        return one - other;
    case PRODUCT:
        return one * other;
    case QUOTIENT:
        return one / other;
    case LARGER:
        return NAME(larger)(one, other);
    case PARAMETRIC_RELU:
        return NAME(choose)(one < 0, one * other, one);
    case IS_MORE:
        return NAME(choose)(one > other, NAME(all)(1), NAME(all)(0));
    case IS_NOT_LESS:
        return NAME(choose)(one >= other, NAME(all)(1), NAME(all)(0));
    case IS_EQUAL:
        return NAME(choose)(one == other, NAME(all)(1), NAME(all)(0));
    case IS_ANOTHER:
        return NAME(choose)(one != other, NAME(all)(1), NAME(all)(0));
    default:
        return NAME(choose)((one < other) | (one != one), one, other);
    }
}

INLINE V NAME(made_of)(const enum combination combination, V one, V other, float filling) {
    if (combination == FILLED) return NAME(choose)(other != 0, NAME(all)(filling), one);
    if (combination == KEPT) return NAME(choose)(other != 0, one, NAME(all)(filling));
    return NAME(combination)(combination, one, other);
}

INLINE V NAME(side)(const struct combined *combined, int side, const int is_one, int64_t place, int64_t left) {
    const float *from = combined->values[side];
    if (is_one) return NAME(all)(*from);
    return left < LANES ? NAME(load_some)(from + place, left, 1) : NAME(load)(from + place);
}

INLINE void NAME(combine_all)(const enum combination combination, const int is_one, const int is_other_one,
                              const struct combined *combined) {
    for (int64_t place = 0; place < combined->count; place += LANES) {
        const int64_t left = combined->count - place;
        const V one = NAME(side)(combined, 0, is_one, place, left), other = NAME(side)(combined, 1, is_other_one, place, left);
        const V made = NAME(clamped)(NAME(made_of)(combination, one, other, combined->filling), combined->least, combined->most);
        if (left < LANES)
            NAME(store_some)(combined->y + place, made, left);
        else
            NAME(store)(combined->y + place, made);
    }
}

/* Either value may be one number, or both: then it does not matter how the second one is read. */
#define FOR(combination)                                                                                               \
    case combination:                                                                                                  \
        if (combined->is_one[0] && combined->is_one[1])                                                                \
            NAME(combine_all)(combination, 1, 1, combined);                                                            \
        else if (combined->is_one[0])                                                                                  \
            NAME(combine_all)(combination, 1, 0, combined);                                                            \
        else if (combined->is_one[1])                                                                                  \
            NAME(combine_all)(combination, 0, 1, combined);                                                            \
        else                                                                                                           \
            NAME(combine_all)(combination, 0, 0, combined);                                                            \
        break;

TARGET static void NAME(combine)(const struct combined *combined) {
    switch (combined->combination) {
        FOR(SUM)
        FOR(DIFFERENCE)
        FOR(PRODUCT)
        FOR(QUOTIENT)
        FOR(LARGER)
        FOR(SMALLER)
        FOR(PARAMETRIC_RELU)
        FOR(IS_MORE)
        FOR(IS_NOT_LESS)
        FOR(IS_EQUAL)
        FOR(IS_ANOTHER)
        FOR(FILLED)
        FOR(KEPT)
    default:
        break;
    }
}

#undef FOR
