/* Numbers that go to another place. */

INLINE void NAME(copy_with)(const float *from, int64_t from_line, const int64_t stride, float *to, int64_t to_line,
                            int64_t lines, int64_t count) {
    for (int64_t line = 0; line < lines; line++, from += from_line, to += to_line)
        for (int64_t place = 0; place < count; place++) to[place] = from[place * stride];
}

TARGET static void NAME(copy_lines)(const float *from, int64_t from_line, int64_t stride, float *to, int64_t to_line,
                                    int64_t lines, int64_t count) {
    if (stride == 1)
        NAME(copy_with)(from, from_line, 1, to, to_line, lines, count);
    else if (stride == 2)
        NAME(copy_with)(from, from_line, 2, to, to_line, lines, count);
    else
        NAME(copy_with)(from, from_line, stride, to, to_line, lines, count);
}

/* The first, the third, ... of two vectors. */
INLINE V NAME(every_other)(V one, V other) {
    WORDS even;
    for (int lane = 0; lane < LANES; lane++) even[lane] = 2 * lane;
    return NAME(shuffled)(one, other, even);
}

/* As many numbers as a vector has, each `stride`th one from here: 1, 2 or 4. */
INLINE V NAME(load_by)(const int stride, const float *from) {
    V parts[4];
#pragma GCC unroll 4
    for (int part = 0; part < stride; part++) parts[part] = NAME(load)(from + part * LANES);
    if (stride == 1) return parts[0];
    if (stride == 2) return NAME(every_other)(parts[0], parts[1]);
    return NAME(every_other)(NAME(every_other)(parts[0], parts[1]), NAME(every_other)(parts[2], parts[3]));
}

/* The rest of a line is a vector of its own, as long as that reads nothing behind the last line, and writes nothing. */
INLINE void NAME(copy_rows_with)(const float *from, int64_t from_line, const int stride, float *to, int64_t to_line,
                                 int64_t lines, int64_t count) {
    const int64_t whole = (count - 1) / LANES * LANES, end = whole + LANES;
    const int64_t close_from = divided_up((end - count + 1) * stride - 1, from_line), close_to = divided_up(end - count, to_line);
    const int64_t close = least_of(close_from > close_to ? close_from : close_to, lines);
    WORDS mask;
    for (int lane = 0; lane < LANES; lane++) mask[lane] = whole + lane < count ? -1 : 0;
    for (int64_t line = 0; line < lines - close; line++, from += from_line, to += to_line) {
        for (int64_t place = 0; place < whole; place += LANES)
            NAME(store)(to + place, NAME(load_by)(stride, from + place * stride));
        NAME(store)(to + whole, (V)((WORDS)NAME(load_by)(stride, from + whole * stride) & mask));
    }
    NAME(copy_with)(from, from_line, stride, to, to_line, close, count);
}

TARGET static void NAME(copy_rows)(const float *from, int64_t from_line, int64_t stride, float *to, int64_t to_line,
                                   int64_t lines, int64_t count) {
    if (lines < 1 || count < 1) return;
    if (stride == 1)
        NAME(copy_rows_with)(from, from_line, 1, to, to_line, lines, count);
    else if (stride == 2)
        NAME(copy_rows_with)(from, from_line, 2, to, to_line, lines, count);
    else if (stride == 4)
        NAME(copy_rows_with)(from, from_line, 4, to, to_line, lines, count);
    else
        NAME(copy_with)(from, from_line, stride, to, to_line, lines, count);
}

/* As many lines by as many columns as a vector has: each turn deals the first half of them out among the second. */
INLINE void NAME(transpose_block)(const float *from, int64_t from_line, float *to, int64_t to_line) {
    V lines[LANES], dealt[LANES];
    WORDS low, high;
    for (int lane = 0; lane < LANES; lane++) {
        low[lane] = lane / 2 + lane % 2 * LANES;
        high[lane] = low[lane] + LANES / 2;
    }
#pragma GCC unroll 16
    for (int line = 0; line < LANES; line++) lines[line] = NAME(load)(from + line * from_line);
#pragma GCC unroll 4
    for (int turn = 1; turn < LANES; turn *= 2) {
#pragma GCC unroll 8
        for (int line = 0; line < LANES / 2; line++) {
            dealt[2 * line] = NAME(shuffled)(lines[line], lines[line + LANES / 2], low);
            dealt[2 * line + 1] = NAME(shuffled)(lines[line], lines[line + LANES / 2], high);
        }
#pragma GCC unroll 16
        for (int line = 0; line < LANES; line++) lines[line] = dealt[line];
    }
#pragma GCC unroll 16
    for (int line = 0; line < LANES; line++) NAME(store)(to + line * to_line, lines[line]);
}

/* Of fewer lines, or columns, than a vector has numbers. */
INLINE void NAME(transpose_few)(const float *from, int64_t from_line, const int64_t lines, int64_t columns, float *to,
                                const int64_t to_line) {
    for (int64_t column = 0; column < columns; column++)
        for (int64_t line = 0; line < lines; line++) to[column * to_line + line] = from[line * from_line + column];
}

/* The last block has some lines, or columns, of the one before it once more, if it would have fewer. */
TARGET static void NAME(transpose)(const float *from, int64_t from_line, int64_t lines, int64_t columns, float *to,
                                   int64_t to_line) {
    if (lines == 2 && to_line == 2) {
        NAME(transpose_few)(from, from_line, 2, columns, to, 2);
    } else if (lines == 4 && to_line == 4) {
        NAME(transpose_few)(from, from_line, 4, columns, to, 4);
    } else if (lines < LANES || columns < LANES) {
        int64_t line = 0;
        for (; line + 4 <= lines; line += 4) NAME(transpose_few)(from + line * from_line, from_line, 4, columns, to + line, to_line);
        NAME(transpose_few)(from + line * from_line, from_line, lines - line, columns, to + line, to_line);
    } else {
        for (int64_t next = 0; next < lines; next += LANES)
            for (int64_t other = 0; other < columns; other += LANES) {
                const int64_t line = least_of(next, lines - LANES), column = least_of(other, columns - LANES);
                NAME(transpose_block)(from + line * from_line + column, from_line, to + column * to_line + line, to_line);
            }
    }
}
