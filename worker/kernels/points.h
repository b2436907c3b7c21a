/* Convolutions of points, whose images need no planes. */

#ifndef MINDSPORE_SERVING_POINTS_H
#define MINDSPORE_SERVING_POINTS_H

#include "kernels.h"

enum { LEAST_POINTS = 128 }; /* pixels of an image: of smaller ones, several are a run */

int is_of_points(const struct window *window);

/* As convolve(), of one group, and images of so many pixels: LEAST_POINTS or more. */
int convolve_points(const float *x, const float *weights, const float *bias, float *y, int64_t images, int64_t channels,
                    int64_t outs, int64_t pixels, float least, float most);

#endif
