/* Several operators as one, and where what lies between them is kept.
 *
 * What is no tensor cannot be an input of an operator of MindSpore's, and shapes are told before values: so the steps of
 * a chain stand in the shape of its first input, which has no elements. Its dimensions are 0, how many inputs there are
 * besides, how many of these, the first ones, have instances along their first axis that do not depend on each other
 * (0: it is not known), and for each step: the number of its operator, how many values it takes, how many numbers it is
 * told, which values, these numbers. Values are those inputs, and then what the steps make, in order. The last step's is
 * what the chain makes; it is no view of an input. */

#include "chain.h"
#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static int read_inputs(struct chain *chain, struct shapes all, int64_t instances) {
    chain->inputs = all.shapes[0][1];
    chain->of_instances = all.shapes[0][2];
    if (chain->inputs < 0 || chain->inputs > MOST_INPUTS || chain->of_instances > chain->inputs) return -1;
    for (int64_t input = 0; input < chain->inputs; input++) {
        struct tensor *tensor = &chain->value[input];
        tensor->axes = all.counts[1 + input];
        if (tensor->axes > MOST_AXES) return -1;
        for (int64_t axis = 0; axis < tensor->axes; axis++) tensor->shape[axis] = all.shapes[1 + input][axis];
        if (input >= chain->of_instances) continue;
        if (tensor->axes == 0) return -1;
        if (instances != ALL_INSTANCES) tensor->shape[0] = instances;
    }
    return 0;
}

static int is_as_many(int wanted, int64_t count) { return wanted == ANY ? count > 0 : wanted == count; }

/* Returns where the next step begins, or NULL. */
static const int64_t *read_step(struct chain *chain, const int64_t *next, const int64_t *end) {
    const int64_t values = chain->inputs + chain->steps;
    if (chain->steps == MOST_STEPS || end - next < 3) return NULL;
    struct step *step = &chain->step[chain->steps++];
    step->operator = operator_of(next[0]);
    step->count_given = next[1];
    step->count_told = next[2];
    next += 3;
    if (step->operator == NULL || step->count_given > MOST_GIVEN) return NULL;
    if (end - next < step->count_given || end - next - step->count_given < step->count_told) return NULL;
    if (!is_as_many(step->operator->given, step->count_given)) return NULL;
    if (!is_as_many(step->operator->told, step->count_told)) return NULL;
    for (int64_t given = 0; given < step->count_given; given++, next++) {
        if (*next < 0 || *next >= values) return NULL;
        step->given[given] = &chain->value[*next];
    }
    step->told = next;
    step->made = &chain->value[values];
    return step->operator->infer(step) == 0 ? next + step->count_told : NULL;
}

int read_chain(struct chain *chain, struct shapes all, int64_t instances) {
    const int64_t *next = all.shapes[0] + 3, *end = all.shapes[0] + all.counts[0];
    chain->steps = 0;
    if (next >= end || read_inputs(chain, all, instances) != 0) return -1;
    while (next != NULL && next < end) next = read_step(chain, next, end);
    return next == NULL ? -1 : 0;
}

/* Where what a step makes lies in the memory of a call, until the last step that needs it. */
struct place {
    int64_t begin, end; /* floats */
    int64_t last;
};

enum { ALIGNED = 16 /* floats */ };

/* The first room of this size between those places that are still needed. */
static int64_t room_between(const struct place *places, int64_t count, int64_t size, int64_t step) {
    int64_t begin = 0;
    for (int64_t place = 0; place < count;) {
        const struct place *other = &places[place++];
        if (other->last >= step && other->begin < begin + size && begin < other->end) {
            begin = other->end;
            place = 0; /* it may lie on one that was passed */
        }
    }
    return begin;
}

/* For each step whose numbers the value of a step are: its own, or those that it is a view of. -1: an input's. */
static int64_t owner_of(const struct chain *chain, const struct tensor *value, const int64_t *owners) {
    const int64_t number = value - chain->value;
    return number < chain->inputs ? -1 : owners[number - chain->inputs];
}

/* Gives each value between steps a place. Returns how many floats there must be. */
static int64_t lay_out(const struct chain *chain, struct place *places, int64_t *owners) {
    int64_t room = 0;
    for (int64_t number = 0; number < chain->steps; number++) {
        const struct step *step = &chain->step[number];
        owners[number] = step->operator->is_view ? owner_of(chain, step->given[0], owners) : number;
        places[number].last = -1;
        for (int64_t given = 0; given < step->count_given; given++) {
            const int64_t owner = owner_of(chain, step->given[given], owners);
            if (owner >= 0) places[owner].last = number;
        }
    }
    for (int64_t number = 0; number < chain->steps; number++) {
        struct place *place = &places[number];
        if (owners[number] != number || number == owners[chain->steps - 1]) continue;
        const int64_t size = divided_up(count_of(chain->step[number].made), ALIGNED) * ALIGNED;
        place->begin = room_between(places, number, size, number);
        place->end = place->begin + size;
        if (place->end > room) room = place->end;
    }
    return room;
}

static int compute_steps(struct chain *chain, float *made) {
    struct place places[MOST_STEPS] = {{0}};
    int64_t owners[MOST_STEPS];
    float *memory = scratch(BETWEEN_STEPS, lay_out(chain, places, owners));
    const int64_t last = owners[chain->steps - 1];
    if (memory == NULL) return -1;
    for (int64_t number = 0; number < chain->steps; number++) {
        const struct step *step = &chain->step[number];
        if (step->operator->is_view)
            step->made->numbers = step->given[0]->numbers;
        else
            step->made->numbers = number == last ? made : memory + places[number].begin;
        if (step->operator->compute(step) != 0) return -1;
    }
    const struct tensor *all = last_of(chain);
    if (last < 0) memcpy(made, all->numbers, count_of(all) * sizeof *made); /* an input, in another shape */
    return 0;
}

/* Some of the instances at a time, so that what lies between their steps stays in a core's cache. */
struct call {
    struct shapes shapes;
    void **values;
    int64_t instances, of_part;
    atomic_int *has_failed;
};

static void compute_part(const void *what, int64_t number) {
    const struct call *call = what;
    const int64_t first = number * call->of_part, count = least_of(call->of_part, call->instances - first);
    struct chain chain;
    if (read_chain(&chain, call->shapes, count) != 0) {
        atomic_store(call->has_failed, 1);
        return;
    }
    for (int64_t input = 0; input < chain.inputs; input++) {
        struct tensor *tensor = &chain.value[input];
        tensor->numbers = call->values[1 + input];
        if (input < chain.of_instances) tensor->numbers += first * (count_of(tensor) / count);
    }
    float *made = (float *)call->values[1 + chain.inputs] + first * (count_of(last_of(&chain)) / count);
    if (compute_steps(&chain, made) != 0) atomic_store(call->has_failed, 1);
}

enum {
    CACHED = 1 << 18,  /* floats: half of a core's second cache, or all of it */
    WORTH_WEIGHTS = 4, /* floats between steps, for each of the weights, which every part reads anew */
};

/* Floats that all steps make, and of all that each part needs. */
static void count_floats(const struct chain *chain, int64_t *made, int64_t *weights) {
    *made = *weights = 0;
    for (int64_t step = 0; step < chain->steps; step++)
        if (!chain->step[step].operator->is_view) *made += count_of(chain->step[step].made);
    for (int64_t input = chain->of_instances; input < chain->inputs; input++) *weights += count_of(&chain->value[input]);
}

/* How many instances to compute at a time; 0: all of them, for they may not be parted, or need not. */
static int64_t instances_of_part(const struct chain *chain, struct shapes shapes) {
    int64_t made, weights, owners[MOST_STEPS];
    struct place places[MOST_STEPS] = {{0}};
    struct chain part;
    count_floats(chain, &made, &weights);
    if (chain->of_instances == 0 || made < LEAST_FLOATS) return 0;
    const int64_t instances = chain->value[0].shape[0], threads = threads_in_use();
    for (int64_t input = 1; input < chain->of_instances; input++)
        if (chain->value[input].shape[0] != instances) return 0;
    const int64_t cached = divided_up(divided_up(lay_out(chain, places, owners), CACHED), threads) * threads;
    const int64_t parts = least_of(cached, least_of(made / (WORTH_WEIGHTS * weights + 1), instances));
    if (parts < 2 || parts < threads) return 0;
    const int64_t of_part = divided_up(instances, parts);
    if (read_chain(&part, shapes, of_part) != 0) return 0;
    return count_of(last_of(&part)) * instances == count_of(last_of(chain)) * of_part ? of_part : 0;
}

static int compute_all(struct chain *chain, void **values) {
    for (int64_t input = 0; input < chain->inputs; input++) chain->value[input].numbers = values[1 + input];
    return compute_steps(chain, values[1 + chain->inputs]);
}

int compute_chain(struct shapes all, int count, void **values) {
    struct chain chain;
    if (read_chain(&chain, all, ALL_INSTANCES) != 0 || count != chain.inputs + 2) return -1;
    const struct tensor *made = last_of(&chain);
    if (all.counts[count - 1] != made->axes) return -1;
    for (int64_t axis = 0; axis < made->axes; axis++)
        if (all.shapes[count - 1][axis] != made->shape[axis]) return -1;
    const int64_t of_part = instances_of_part(&chain, all);
    if (of_part == 0) return compute_all(&chain, values);
    atomic_int has_failed = 0;
    const struct call call = {all, values, chain.value[0].shape[0], of_part, &has_failed};
    in_turns(compute_part, &call, divided_up(call.instances, of_part));
    return atomic_load(&has_failed) ? -1 : 0;
}

int compute_each(struct shapes all, void **values, const int64_t *apart, int64_t count) {
    struct chain chain;
    if (read_chain(&chain, all, ALL_INSTANCES) != 0) return -1;
    for (int64_t number = 0; number < count; number++) {
        for (int64_t input = 0; input < chain.inputs; input++)
            chain.value[input].numbers = (float *)values[1 + input] + number * apart[1 + input];
        float *made = (float *)values[1 + chain.inputs] + number * count_of(last_of(&chain));
        if (compute_steps(&chain, made) != 0) return -1;
    }
    return 0;
}
