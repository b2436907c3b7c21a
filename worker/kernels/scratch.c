/* Memory that a thread keeps from call to call: fresh pages for each would cost more than what is done with them. */

#include "kernels.h"

#include <stdlib.h>

float *scratch(int64_t floats) {
    static _Thread_local float *kept;
    static _Thread_local int64_t room;
    if (floats > room) {
        free(kept);
        room = 0;
        kept = aligned_alloc(64, (floats * sizeof *kept + 63) / 64 * 64);
        if (kept == NULL) return NULL;
        room = floats;
    }
    return kept;
}
