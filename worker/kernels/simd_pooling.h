/* The largest of several numbers. */

/* Each `stride`th number from here on, so many of them where they are far apart: no memory is behind the last one. */
INLINE V NAME(load_each)(const float *from, const int64_t stride, int64_t count) {
    if (stride == 1) return NAME(load)(from);
    if (stride == 2) return NAME(load_by)(2, from);
    V some;
    for (int lane = 0; lane < LANES; lane++) some[lane] = from[least_of(lane, count - 1) * stride];
    return some;
}

INLINE void NAME(largest_along)(const struct pooled *pooled, const int64_t stride) {
    for (int64_t place = 0; place < pooled->count; place += LANES) {
        const int64_t left = pooled->count - place;
        const float *from = pooled->row + place * stride;
        float *y = pooled->y + place;
        V most = NAME(load_each)(from, stride, left);
        for (int64_t column = 1; column < pooled->columns; column++)
            most = NAME(larger)(NAME(load_each)(from + column, stride, left), most);
        if (pooled->end - y >= LANES)
            NAME(store)(y, most);
        else
            NAME(store_some)(y, most, least_of(left, LANES));
    }
}

TARGET static void NAME(largest)(const struct pooled *pooled) {
    float *row = pooled->row + pooled->before;
    for (int64_t place = 0; place < pooled->width; place += LANES) {
        const float *x = pooled->x + place;
        V most = NAME(load)(x);
        for (int64_t line = 1; line < pooled->rows; line++) most = NAME(larger)(NAME(load)(x + line * pooled->width), most);
        NAME(store)(row + place, most);
    }
    for (int64_t place = 0; place < pooled->behind; place++) row[pooled->width + place] = -INFINITY;
    if (pooled->stride == 1)
        NAME(largest_along)(pooled, 1);
    else if (pooled->stride == 2)
        NAME(largest_along)(pooled, 2);
    else
        NAME(largest_along)(pooled, pooled->stride);
}

/* In two vectors, of which neither waits for the other. */
INLINE float NAME(extreme_by)(const enum combination combination, const float *x, int64_t count) {
    const float none = combination == LARGER ? -INFINITY : INFINITY;
    V found = NAME(all)(none), other = found;
    int64_t place = 0;
    for (; place + 2 * LANES <= count; place += 2 * LANES) {
        found = NAME(combination)(combination, NAME(load)(x + place), found);
        other = NAME(combination)(combination, NAME(load)(x + place + LANES), other);
    }
    for (; place < count; place += LANES)
        found = NAME(combination)(combination, NAME(load_some)(x + place, count - place, none), found);
    found = NAME(combination)(combination, found, other);
    float most[LANES];
    NAME(store)(most, found);
    for (int lanes = LANES / 2; lanes > 0; lanes /= 2)
        for (int lane = 0; lane < lanes; lane++)
            most[lane] = NAME(combination)(combination, NAME(all)(most[lane]), NAME(all)(most[lane + lanes]))[0];
    return most[0];
}

TARGET static float NAME(extreme)(enum combination combination, const float *x, int64_t count) {
    return combination == LARGER ? NAME(extreme_by)(LARGER, x, count) : NAME(extreme_by)(SMALLER, x, count);
}
