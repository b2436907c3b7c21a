/* Numbers that go to other places as they are: axes in another order, or a part of each. */

#include "kernels.h"

#include <stddef.h>

/* Two axes by one function, and the others around them. */
struct work {
    struct axis lines, line, others[MOST_COPIED];
    int count, is_transposed; /* then numbers of one line are apart, and those of the other axis beside each other */
    const float *from;
    float *to;
    int64_t turns, of_part;
};

static void copy_two_axes(const struct work *work, const float *from, float *to) {
    if (work->is_transposed)
        instructions()->transpose(from, work->line.from, work->line.size, work->lines.size, to, work->lines.to);
    else
        instructions()->copy_lines(from, work->lines.from, work->line.from, to, work->lines.to, work->lines.size,
                                   work->line.size);
}

static void copy_part(const void *what, int64_t number) {
    const struct work *work = what;
    const int64_t end = least_of((number + 1) * work->of_part, work->turns);
    for (int64_t turn = number * work->of_part; turn < end; turn++) {
        const float *from = work->from;
        float *to = work->to;
        int64_t place = turn;
        for (int axis = 0; axis < work->count; axis++) {
            from += place % work->others[axis].size * work->others[axis].from;
            to += place % work->others[axis].size * work->others[axis].to;
            place /= work->others[axis].size;
        }
        copy_two_axes(work, from, to);
    }
}

/* Those of one number go; those that are one behind the other become one. Returns how many there are. */
static int merge(const struct axis *axes, int count, struct axis *merged) {
    int made = 0;
    for (int axis = 0; axis < count; axis++) {
        const struct axis *inner = &axes[axis];
        struct axis *outer = made > 0 ? &merged[made - 1] : NULL;
        if (inner->size == 1) continue;
        if (outer != NULL && outer->from == inner->from * inner->size && outer->to == inner->to * inner->size)
            *outer = (struct axis){outer->size * inner->size, inner->from, inner->to};
        else
            merged[made++] = *inner;
    }
    if (made == 0 || merged[made - 1].to != 1) merged[made++] = (struct axis){1, 1, 1};
    return made;
}

void copy_axes(const float *from, float *to, const struct axis *axes, int count) {
    struct axis merged[MOST_COPIED + 1];
    struct work work = {.from = from, .to = to, .turns = 1};
    int last = merge(axes, count, merged) - 1, lines = last - 1;
    work.line = merged[last];
    for (int axis = 0; axis < last && work.line.from != 1; axis++)
        if (merged[axis].from == 1) {
            lines = axis;
            work.is_transposed = 1;
        }
    work.lines = lines < 0 ? (struct axis){1, 0, 0} : merged[lines];
    for (int axis = last - 1; axis >= 0; axis--) {
        if (axis == lines) continue;
        work.others[work.count++] = merged[axis];
        work.turns *= merged[axis].size;
    }
    const int64_t floats = work.line.size * work.lines.size;
    if (floats * work.turns == 0) return;
    work.of_part = divided_up(work.turns, threads_in_use());
    if (work.of_part < LEAST_FLOATS / floats) work.of_part = LEAST_FLOATS / floats;
    in_turns(copy_part, &work, divided_up(work.turns, work.of_part));
}
