/* How the images of a convolution lie in memory while it is computed. */

#ifndef MINDSPORE_SERVING_PLANES_H
#define MINDSPORE_SERVING_PLANES_H

#include "kernels.h"

struct range {
    int64_t begin, end;
};

static inline struct range slice_of(int64_t count, int64_t number, int64_t slices) {
    return (struct range){count * number / slices, count * (number + 1) / slices};
}

/* images: in a run. rows: of the output, of one image. lines, columns: of a plane's part with one remainder each. behind:
 * zeros that there must be behind the last plane. */
struct layout {
    int64_t images, rows, lines, columns, plane, behind;
};

/* How many places of an axis the windows of so many outputs meet, with padding. */
int64_t reach(const struct window *window, int axis, int64_t outs);

/* How many remainders of an axis' places there are that any tap meets. */
static inline int64_t remainders(const struct window *window, int axis) {
    return window->dilation[axis] == 1 ? least_of(window->stride[axis], window->kernel[axis]) : window->stride[axis];
}

/* Several small images, or a part of a large one: about so many pixels of the output at most. */
struct layout lay_out(const struct window *window, int64_t images, int64_t pixels);

int has_padding(const struct window *window);

/* A channel of an image into its plane, from this row of the output on. What is padding stays. */
void copy_channel(const float *from, float *to, const struct window *window, const struct layout *layout, int64_t row);

/* Where the run of each tap is, from the start of the planes. */
void find_taps(int64_t *away, int64_t channels, const struct window *window, const struct layout *layout);

#endif
