/* The largest of each window of an image: first down its rows, which are whole vectors, then along that one row. */

#include "kernels.h"

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

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

static void pool_plane(const float *x, float *y, const struct window *window, struct pooled pooled) {
    for (int64_t out = 0; out < window->out[ROWS]; out++) {
        const int64_t first = out * window->stride[ROWS] - window->before[ROWS], begin = first < 0 ? 0 : first;
        pooled.x = x + begin * window->in[COLUMNS];
        pooled.rows = least_of(first + window->kernel[ROWS], window->in[ROWS]) - begin;
        pooled.y = y + out * window->out[COLUMNS];
        instructions()->largest(&pooled);
    }
}

/* What all rows have in common. */
static struct pooled pooled_by(const struct window *window) {
    const int64_t reach = (window->out[COLUMNS] - 1) * window->stride[COLUMNS] + window->kernel[COLUMNS];
    const int64_t behind = reach - window->before[COLUMNS] - window->in[COLUMNS];
    return (struct pooled){
        .width = window->in[COLUMNS], .before = window->before[COLUMNS], .behind = behind > 0 ? behind : 0,
        .columns = window->kernel[COLUMNS], .stride = window->stride[COLUMNS], .count = window->out[COLUMNS],
    };
}

static void pool_part(const void *what, int64_t number) {
    const struct work *work = what;
    const struct window *window = work->window;
    const int64_t in = window->in[ROWS] * window->in[COLUMNS], out = window->out[ROWS] * window->out[COLUMNS];
    const int64_t end = least_of((number + 1) * work->of_part, work->planes);
    struct pooled pooled = pooled_by(window);
    const int64_t room = pooled.before + pooled.width + pooled.behind + ROOM;
    pooled.row = scratch(OF_STEP, room + in + ROOM);
    pooled.end = work->y + end * out;
    if (pooled.row == NULL) {
        atomic_store(work->is_without_memory, 1);
        return;
    }
    for (int64_t place = 0; place < pooled.before; place++) pooled.row[place] = -INFINITY;
    for (int64_t plane = number * work->of_part; plane < end; plane++) {
        const float *x = work->x + plane * in;
        if (is_of_all(window)) {
            work->y[plane] = instructions()->extreme(LARGER, x, in);
            continue;
        }
        if ((work->planes - 1 - plane) * in < ROOM) x = memcpy(pooled.row + room, x, in * sizeof *x); /* too little is behind it */
        pool_plane(x, work->y + plane * out, window, pooled);
    }
}

int max_pool(const float *x, float *y, int64_t planes, const struct window *window) {
    atomic_int is_without_memory = 0;
    const int64_t least = divided_up(PIXELS, window->in[ROWS] * window->in[COLUMNS]);
    const int64_t share = divided_up(planes, threads_in_use());
    const struct work work = {x, y, planes, share < least ? least : share, window, &is_without_memory};
    in_turns(pool_part, &work, divided_up(planes, work.of_part));
    return atomic_load(&is_without_memory) ? -1 : 0;
}
