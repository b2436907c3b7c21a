/* Numbers that go to another place. */

TARGET static void NAME(interleave)(const float *one, const float *other, float *to, int64_t count) {
    for (int64_t pair = 0; pair < count / 2; pair++) {
        to[2 * pair] = one[pair];
        to[2 * pair + 1] = other[pair];
    }
    if (count % 2) to[count - 1] = one[count / 2];
}

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

/* By blocks of four lines, of which each column is written at once. */
TARGET static void NAME(transpose)(const float *from, int64_t from_line, int64_t lines, int64_t columns, float *to,
                                   int64_t to_line) {
    int64_t line = 0;
    if (lines == 2 && to_line == 2) {
        NAME(interleave)(from, from + from_line, to, 2 * columns);
        return;
    }
    for (; line + 4 <= lines; line += 4, from += 4 * from_line)
        for (int64_t column = 0; column < columns; column++)
            for (int64_t one = 0; one < 4; one++) to[column * to_line + line + one] = from[one * from_line + column];
    for (; line < lines; line++, from += from_line)
        for (int64_t column = 0; column < columns; column++) to[column * to_line + line] = from[column];
}
