/* One moment of a recurrent layer. */

/* Hochreiter and Schmidhuber 1997, "Long Short-Term Memory", with the forget gate of Gers et al. 2000, "Learning to
 * Forget"; Cho et al. 2014, "Learning Phrase Representations", with the reset gate behind the product, as in cuDNN. */
INLINE V NAME(remembered)(const enum cell cell, const float *gates, float *kept) {
    const V first = NAME(load)(gates);
    if (cell == TANH_CELL) return NAME(hyperbolic_tangent)(first);
    if (cell == RELU_CELL) return NAME(at_least)(first, NAME(all)(0));
    const V one = NAME(activated)(SIGMOID, first), other = NAME(activated)(SIGMOID, NAME(load)(gates + PANEL / 4));
    const V third = NAME(load)(gates + PANEL / 2), fourth = NAME(load)(gates + 3 * PANEL / 4), before = NAME(load)(kept);
    if (cell == GRU_CELL) {
        const V given = NAME(hyperbolic_tangent)(third + one * fourth), made = given + other * (before - given);
        NAME(store)(kept, made);
        return made;
    }
    const V made = other * before + one * NAME(hyperbolic_tangent)(third);
    NAME(store)(kept, made);
    return NAME(activated)(SIGMOID, fourth) * NAME(hyperbolic_tangent)(made);
}

INLINE void NAME(remember_all)(const enum cell cell, const float *gates, float *kept, float *y, int64_t units) {
    const int64_t of_panel = units_of_panel(cell);
    for (int64_t unit = 0; unit < units; unit += LANES) {
        const V made = NAME(remembered)(cell, gates + unit / of_panel * PANEL + unit % of_panel, kept + unit);
        if (units - unit < LANES)
            NAME(store_some)(y + unit, made, units - unit);
        else
            NAME(store)(y + unit, made);
    }
}

#define FOR(cell)                                                                                                      \
    case cell:                                                                                                         \
        NAME(remember_all)(cell, gates, kept, y, units);                                                               \
        break;

TARGET static void NAME(remember)(enum cell cell, const float *gates, float *kept, float *y, int64_t units) {
    switch (cell) {
        FOR(LSTM_CELL)
        FOR(GRU_CELL)
        FOR(TANH_CELL)
        FOR(RELU_CELL)
    default:
        break;
    }
}

#undef FOR
