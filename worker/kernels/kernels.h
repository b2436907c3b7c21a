/* What the parts of this library share. All numbers are float32; images are NCHW. */

#ifndef MINDSPORE_SERVING_KERNELS_H
#define MINDSPORE_SERVING_KERNELS_H

#include <stdint.h>

/* For MindSpore and Python. Whatever else has a name here is not seen from without: others may have one of that name. */
#define EXPORTED __attribute__((visibility("default")))

static inline int64_t least_of(int64_t one, int64_t other) { return one < other ? one : other; }
static inline int64_t divided_up(int64_t number, int64_t by) { return (number + by - 1) / by; }

#define PACKED 8 /* weights of so many outputs of a convolution lie beside each other: rewrites/windows.py */
#define ROOM 64  /* floats behind a run of pixels that are read or written as well: at least one vector's */

/* Sums of products for the pixels of a run: y[o][p] = bias[o] + sum over taps of x[away[tap] + p] * weights[tap][o]. */
struct run {
    const float *x, *weights, *bias;
    const int64_t *away; /* from x, for each tap */
    int64_t taps, step;  /* step: floats between the weights of two taps */
    float *y;
    int64_t pixels, apart; /* apart: floats between the pixels of two outputs in y */
    float least, most;     /* what becomes of anything below and above */
};

#define PANEL 64 /* so many columns of a product's weights lie beside each other: rewrites/dense.py */

/* Of fewer columns, all of them, as vectors. */
static inline int64_t panel_of(int64_t columns) { return columns < PANEL ? divided_up(columns, 16) * 16 : PANEL; }

#define AHEAD (16 * PANEL) /* floats: where few rows meet many weights, these come from further than their sums take */

/* y[row][column] = bias[column] + sum over k of x[row][k] * weights[column / panel][k][column % panel], where
 * a panel is panel_of(columns). */
struct product {
    const float *x, *weights, *bias;
    float *y;
    int64_t rows, depth, columns; /* depth: of the sum. Weights and bias go on to a whole panel. */
    int64_t apart;                /* floats between the bias of a row and that of the next; 0: they have one */
    float least, most;
};

/* What a recurrent layer does at each moment: in the order of rewrites/recurrence.py. */
enum cell { LSTM_CELL, GRU_CELL, TANH_CELL, RELU_CELL, CELLS };

/* How many units of a layer have their gates in one panel: four each, or one. */
static inline int64_t units_of_panel(enum cell cell) { return cell <= GRU_CELL ? PANEL / 4 : PANEL; }

/* In the order of rewrites/elements.py, both. */
enum activation {
    RELU, RELU6, SIGMOID, SILU, HARD_SIGMOID, HARD_SWISH, GELU, TANH, ERF,
    EXPONENTIAL, ROOT, INVERSE_ROOT, SQUARE, ABSOLUTE, NEGATIVE, EXPONENTIAL_LINEAR, SINE, COSINE,
    MISH, LOGARITHM, ACTIVATIONS
};
/* PARAMETRIC_RELU: the one, times the other where it is negative. FILLED, KEPT: the one, or the filling, where the other is
 * not 0, and where it is. */
enum combination {
    SUM, DIFFERENCE, PRODUCT, QUOTIENT, LARGER, SMALLER, PARAMETRIC_RELU,
    IS_MORE, IS_NOT_LESS, IS_EQUAL, IS_ANOTHER, /* 1 or 0 */
    FILLED, KEPT
};

/* y[place] of one value at x and another one: of each the numbers from there on, or this one number for all places. */
struct combined {
    enum combination combination;
    const float *values[2];
    int is_one[2];
    float least, most; /* what becomes of anything below and above */
    float *y;
    int64_t count;
    float filling;
};

/* y[place] is the largest of x[line][place * stride - before .. + columns - 1] in so many lines, each `width` floats; what
 * is beside these is no number at all. row: room for one of them, with what is before and behind, and ROOM; -infinity
 * before. end: of what may be written; what is there behind y comes later. */
struct pooled {
    const float *x;
    int64_t width, rows, before, behind, columns, stride;
    float *row, *y;
    int64_t count;
    const float *end;
};

/* Sums of products for pixels of as many channels as a vector has numbers: of each pixel, and each tap, one vector.
 * y[p] = bias + sum over taps of x[p * step + away[tap]] * weights[tap]. */
struct channel_run {
    const float *x, *weights, *bias;
    const int64_t *away;
    int64_t taps, step; /* step: floats between two pixels of x */
    float *y;
    int64_t pixels;
    float least, most;
};

/* Of some numbers: nearly their mean, what it is more than that, and the mean of the squares of their distances from it. */
struct moments {
    float middle, rest, variance;
};

#define TRANSFORMED 36 /* numbers of a transformed tile, at most: winograd.c */

/* The same functions for each set of instructions. */
struct instructions {
    int64_t lanes, chunk; /* numbers of a vector; pixels that are worth a call of `sums` */
    /* For 1 to PACKED outputs. It reads up to ROOM pixels more of x, and writes as many of y, of 1, 4 or 8 outputs: none
     * more if pixels are whole vectors. */
    void (*sums)(const struct run *run, int64_t outs);
    void (*sum_channels)(const struct channel_run *run);
    /* Tiles, whose 4 x 4 pixels, or 6 x 6 ones, are at these places from x, transformed: each number `apart` from the next.
     * It reads, and writes, whole vectors. */
    void (*transform_input[2])(const float *x, const int64_t *places, float *y, int64_t apart, int64_t tiles);
    /* Of sums of products, each `from_apart` from the next, a tile's outputs: 4, or 16, `to_apart` from each other. */
    void (*transform_output[2])(const float *sums, int64_t from_apart, float bias, float least, float most, float *y, int64_t to_apart,
                   int64_t tiles);
    /* For the rows and the panels from the first to the one before the last. */
    void (*multiply)(const struct product *product, int64_t row, int64_t end_row, int64_t panel, int64_t end_panel);
    /* A row of what is pooled. It reads up to a vector more of x. */
    void (*largest)(const struct pooled *pooled);
    /* The LARGER of all of so many numbers, or the SMALLER; NaN is either. */
    float (*extreme)(enum combination combination, const float *x, int64_t count);
    /* Of each line every `stride`th, so many. */
    void (*copy_lines)(const float *from, int64_t from_line, int64_t stride, float *to, int64_t to_line, int64_t lines,
                       int64_t count);
    /* The same, where what is between two lines of `to` may become 0: it is nothing, or comes later. */
    void (*copy_rows)(const float *from, int64_t from_line, int64_t stride, float *to, int64_t to_line, int64_t lines,
                      int64_t count);
    /* to[column * to_line + line] = from[line * from_line + column] */
    void (*transpose)(const float *from, int64_t from_line, int64_t lines, int64_t columns, float *to, int64_t to_line);
    void (*layer_norm)(const float *x, const float *scale, const float *shift, float epsilon, float *y, int64_t width);
    struct moments (*moments)(const float *x, int64_t count);
    /* (x - middle) * factor + shift; what is below and above becomes these. */
    void (*scale)(const float *x, float middle, float factor, float shift, float least, float most, float *y, int64_t count);
    void (*softmax)(const float *x, float *y, int64_t width);
    /* Of each column of so many rows. */
    void (*softmax_columns)(const float *x, float *y, int64_t rows, int64_t width);
    void (*activate)(enum activation activation, const float *x, float *y, int64_t count);
    void (*combine)(const struct combined *combined);
    float (*sum)(const float *x, int64_t count);
    /* One moment of so many units: y, and what they keep in `kept`, which goes on to a whole panel's, of sums of gates. */
    void (*remember)(enum cell cell, const float *gates, float *kept, float *y, int64_t units);
    /* y[column] is that column's sum over so many rows, times `factor`. */
    void (*sum_rows)(const float *x, int64_t rows, int64_t width, float factor, float *y);
};

/* The best of what this machine has. */
const struct instructions *instructions(void);

/* For tests: all calls use the set of this number, the best first. 1, or 0: this machine lacks it, or -1: it is none. */
EXPORTED int choose_instructions(int number);

enum { ROWS, COLUMNS };

/* How a window moves over an image. before: rows and columns of padding above and left of it. */
struct window {
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], before[2];
};

/* Memory of this thread, for one call of an operator, or of a chain of them: this many floats. NULL: there is none. */
enum scratch { OF_STEP, BETWEEN_STEPS, SCRATCHES };
float *scratch(enum scratch use, int64_t floats);

/* How many threads a call uses: 1, until this is called, which starts them. Returns how many it is from now on. */
EXPORTED int use_threads(int threads);
EXPORTED int threads_in_use(void);

enum { LEAST_FLOATS = 1 << 14 }; /* that are worth another thread, of numbers that one pass makes */

/* turn(what, 0), turn(what, 1), ... by several threads, in any order. */
void in_turns(void (*turn)(const void *what, int64_t number), const void *what, int64_t count);

/* weights: [group][block of PACKED outputs][tap][PACKED], where taps are [channel][row][column], and bias:
 * [group][block][PACKED]; or [channel][tap] and [channel], where each channel is a group with one output.
 * y is [image][group][output]; numbers below `least` and above `most` become these. 0, or -1: there is no memory. */
int convolve(const float *x, const float *weights, const float *bias, float *y, int64_t images, int64_t channels,
             int64_t outs, int64_t groups, const struct window *window, float least, float most);

/* The same for windows of 3 x 3 that move by one place, of one group, without dilation. weights: transformed, [number of a
 * transformed tile][block of PACKED outputs][channel][PACKED]; bias: [block][PACKED]. */
int convolve_by_winograd(const float *x, const float *weights, const float *bias, float *y, int64_t images,
                      int64_t channels, int64_t outs, int64_t side, const struct window *window, float least, float most);

/* The product, by all threads. */
void multiply(const struct product *product);

enum { MOST_AXES_OF_PAIRS = 6 };

/* Many products of two matrices, [rows][depth] by [depth][columns], or [columns][depth] where these are transposed. They
 * stand along some axes; two that follow each other are `apart` so many matrices, or 0: there is one for all. */
struct pairs {
    const float *x, *weights;
    float *y;
    int64_t axes, sizes[MOST_AXES_OF_PAIRS], apart[2][MOST_AXES_OF_PAIRS];
    int64_t rows, depth, columns;
    int is_transposed;
};

/* By all threads. 0, or -1: there is no memory. */
int multiply_pairs(const struct pairs *pairs);

/* A recurrent layer over a sequence: x is [moment][row][ins], y [moment][row][units]. A panel of `weights`, of x, of
 * `back`, of what the moment before made, and of `bias` has for each gate one number of each of its units. LSTM: input,
 * forget, what is kept, output. GRU: reset, update, what x adds to the new y, what the moment before adds. first_y,
 * first_kept: [row][units] before all moments; NULL: zeros. last_kept: [row][units] behind them; NULL: nobody asks. */
struct recurrence {
    enum cell cell;
    const float *x, *weights, *bias, *back, *first_y, *first_kept;
    float *y, *last_kept;
    int64_t moments, rows, ins, units;
    int is_backward; /* from the last moment to the first */
};

/* By all threads. 0, or -1: there is no memory. */
int recur(const struct recurrence *layer);

/* Along an axis, so many numbers: so many floats apart where they come from, and where they go. */
struct axis {
    int64_t size, from, to;
};

enum { MOST_COPIED = 8 };

/* All numbers of these axes, up to MOST_COPIED of them. By all threads. */
void copy_axes(const float *from, float *to, const struct axis *axes, int count);

/* The largest of each window; padding is none. 0, or -1: there is no memory. */
int max_pool(const float *x, float *y, int64_t planes, const struct window *window);

#endif
