/* Convolutions of each channel by itself. */

#ifndef MINDSPORE_SERVING_CHANNELS_H
#define MINDSPORE_SERVING_CHANNELS_H

#include "kernels.h"

/* As convolve(), of groups of one channel and one output. It pays from as many channels as a vector has numbers. */
int convolve_channels(const float *x, const float *weights, const float *bias, float *y, int64_t images, int64_t channels,
                      const struct window *window, float least, float most);

#endif
