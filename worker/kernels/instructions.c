/* simd.h for each set of instructions that a machine of this kind may have, and the choice among them. */

#include "kernels.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)

#define NAME(name) name##_avx512
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))
#define LANES 16
#define TALL 8
#define WIDE 3
#define HIGH 6
#define BROAD 4
#include "simd.h"

#define NAME(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define TALL 4
#define WIDE 3
#define HIGH 6
#define BROAD 2
#include "simd.h"

#endif

/* What every machine has: SSE2, or NEON. */
#define NAME(name) name##_any
#define TARGET
#define LANES 4
#define TALL 4
#define WIDE 2
#define HIGH 4
#define BROAD 2
#include "simd.h"

static int is_here(const struct instructions *set) {
#if defined(__x86_64__)
    if (set == &instructions_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (set == &instructions_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return set == &instructions_any;
}

static const struct instructions *const SETS[] = {
#if defined(__x86_64__)
    &instructions_avx512,
    &instructions_avx2,
#endif
    &instructions_any,
};

static const struct instructions *_Atomic chosen;

int choose_instructions(int number) {
    if (number < 0 || number >= (int)(sizeof SETS / sizeof *SETS)) return -1;
    if (!is_here(SETS[number])) return 0;
    chosen = SETS[number];
    return 1;
}

const struct instructions *instructions(void) {
    for (int number = 0; chosen == NULL; number++) choose_instructions(number);
    return chosen;
}
