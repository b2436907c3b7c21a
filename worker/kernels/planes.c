/* Images in planes, one for each channel, whose rows and columns are sorted by what remains of their numbers divided by the
 * stride. There, what a tap of the window meets for all pixels of the output is one run of floats, and the run of each
 * tap is at a fixed place from that of the first: no tap needs a look at edges, and memory holds no number twice. Between
 * two rows of the output a run has columns, and between two images rows, that no output has. As few as may be: what is
 * behind a row, or an image, and what is before the next one are the same zeros, where the window moves by one place. */

#include "planes.h"

int64_t reach(const struct window *window, int axis, int64_t outs) {
    return (outs - 1) * window->stride[axis] + (window->kernel[axis] - 1) * window->dilation[axis] + 1;
}

int has_padding(const struct window *window) {
    for (int axis = ROWS; axis <= COLUMNS; axis++)
        if (window->before[axis] > 0 || reach(window, axis, window->out[axis]) > window->in[axis]) return 1;
    return 0;
}

/* How many places of padding before the image are behind the one before it, too. Each output has a place of its own. */
static int64_t shared(const struct window *window, int axis) {
    const int64_t all = reach(window, axis, window->out[axis]), behind = all - window->before[axis] - window->in[axis];
    if (window->stride[axis] > 1 || behind < 0) return 0;
    return least_of(least_of(behind, window->before[axis]), all - window->out[axis]);
}

struct layout lay_out(const struct window *window, int64_t images, int64_t pixels) {
    struct layout layout = {1, window->out[ROWS], 0, 0, 0, 0};
    const int64_t shared_columns = shared(window, COLUMNS), shared_rows = shared(window, ROWS);
    layout.columns = divided_up(reach(window, COLUMNS, window->out[COLUMNS]), window->stride[COLUMNS]) - shared_columns;
    const int64_t most = pixels / layout.columns; /* rows */
    const int64_t all_rows = divided_up(reach(window, ROWS, layout.rows), window->stride[ROWS]);
    layout.behind = shared_columns;
    if (all_rows > most) {
        const int64_t rows = most - (all_rows - layout.rows);
        layout.rows = divided_up(layout.rows, divided_up(layout.rows, rows < 1 ? 1 : rows));
        layout.lines = divided_up(reach(window, ROWS, layout.rows), window->stride[ROWS]);
    } else {
        layout.lines = all_rows - shared_rows;
        layout.images = least_of(divided_up(images, threads_in_use()), most / layout.lines);
        layout.behind += shared_rows * layout.columns;
    }
    layout.plane = layout.images * layout.lines * layout.columns;
    return layout;
}

/* Which of so many rows or columns of a part of a plane are not padding. first: what the first one is in the image. */
static struct range within(int64_t first, int64_t stride, int64_t count, int64_t size) {
    struct range range;
    range.end = first < size ? least_of(divided_up(size - first, stride), count) : 0;
    range.begin = first < 0 ? least_of(divided_up(-first, stride), range.end) : 0;
    return range;
}

void copy_channel(const float *from, float *to, const struct window *window, const struct layout *layout,
                         int64_t row) {
    const int64_t *stride = window->stride, width = window->in[COLUMNS];
    for (int64_t r = 0; r < remainders(window, ROWS); r++)
        for (int64_t c = 0; c < remainders(window, COLUMNS); c++, to += layout->plane) {
            const int64_t y = row * stride[ROWS] + r - window->before[ROWS], x = c - window->before[COLUMNS];
            const struct range lines = within(y, stride[ROWS], layout->lines, window->in[ROWS]);
            const struct range columns = within(x, stride[COLUMNS], layout->columns, width);
            instructions()->copy_rows(from + (y + lines.begin * stride[ROWS]) * width + x + columns.begin * stride[COLUMNS],
                                      stride[ROWS] * width, stride[COLUMNS],
                                      to + lines.begin * layout->columns + columns.begin, layout->columns,
                                      lines.end - lines.begin, columns.end - columns.begin);
        }
}

void find_taps(int64_t *away, int64_t channels, const struct window *window, const struct layout *layout) {
    const int64_t *stride = window->stride, across = remainders(window, COLUMNS), parts = remainders(window, ROWS) * across;
    for (int64_t channel = 0; channel < channels; channel++)
        for (int64_t r = 0; r < window->kernel[ROWS]; r++)
            for (int64_t c = 0; c < window->kernel[COLUMNS]; c++) {
                int64_t row = r * window->dilation[ROWS], column = c * window->dilation[COLUMNS];
                int64_t part = row % stride[ROWS] * across + column % stride[COLUMNS];
                *away++ = (channel * parts + part) * layout->plane +
                          row / stride[ROWS] * layout->columns + column / stride[COLUMNS];
            }
}
