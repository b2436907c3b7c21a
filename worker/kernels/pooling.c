/* The largest of each window of an image: first down its rows, which are whole vectors, then along that one row. */

#include "kernels.h"

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>

enum { PIXELS = 1 << 14 }; /* that are worth another thread */

struct work {
    const float *x;
    float *y;
    int64_t planes, of_part;
    const struct window *window;
    atomic_int *is_without_memory;
};

static int is_of_all(const struct window *window) {
    for (int axis = ROWS; axis <= COLUMNS; axis++)
        if (window->out[axis] != 1 || window->kernel[axis] - window->before[axis] < window->in[axis]) return 0;
    return 1;
}

static void pool_plane(const float *x, float *y, const struct window *window, float *row) {
    const int64_t height = window->in[ROWS], width = window->in[COLUMNS];
    for (int64_t out = 0; out < window->out[ROWS]; out++, y += window->out[COLUMNS]) {
        const int64_t first = out * window->stride[ROWS] - window->before[ROWS], begin = first < 0 ? 0 : first;
        instructions()->largest(x + begin * width, width, least_of(first + window->kernel[ROWS], height) - begin,
                                row + window->before[COLUMNS], row, window->kernel[COLUMNS], window->stride[COLUMNS], y,
                                window->out[COLUMNS]);
    }
}

static void pool_part(const void *what, int64_t number) {
    const struct work *work = what;
    const struct window *window = work->window;
    const int64_t in = window->in[ROWS] * window->in[COLUMNS], out = window->out[ROWS] * window->out[COLUMNS];
    const int64_t reach = (window->out[COLUMNS] - 1) * window->stride[COLUMNS] + window->kernel[COLUMNS];
    const int64_t image = window->before[COLUMNS] + window->in[COLUMNS], room = reach > image ? reach : image;
    float *row = scratch(OF_STEP, room);
    if (row == NULL) {
        atomic_store(work->is_without_memory, 1);
        return;
    }
    for (int64_t place = 0; place < room; place++) row[place] = -INFINITY;
    const int64_t end = least_of((number + 1) * work->of_part, work->planes);
    for (int64_t plane = number * work->of_part; plane < end; plane++)
        if (is_of_all(window))
            work->y[plane] = instructions()->largest_of_all(work->x + plane * in, in);
        else
            pool_plane(work->x + plane * in, work->y + plane * out, window, row);
}

int max_pool(const float *x, float *y, int64_t planes, const struct window *window) {
    atomic_int is_without_memory = 0;
    const int64_t least = divided_up(PIXELS, window->in[ROWS] * window->in[COLUMNS]);
    const int64_t share = divided_up(planes, threads_in_use());
    const struct work work = {x, y, planes, share < least ? least : share, window, &is_without_memory};
    in_turns(pool_part, &work, divided_up(planes, work.of_part));
    return atomic_load(&is_without_memory) ? -1 : 0;
}
