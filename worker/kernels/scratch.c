/* Memory that a thread keeps from call to call: fresh pages for each would cost more than what is done with them. */

#include "kernels.h"

#include <stdlib.h>

float *scratch(enum scratch use, int64_t floats) {
    static _Thread_local struct {
        float *kept;
        int64_t room;
    } all[SCRATCHES];
    if (floats > all[use].room || all[use].kept == NULL) {
        free(all[use].kept);
        all[use].room = 0;
        all[use].kept = aligned_alloc(64, (floats * sizeof(float) + 64) / 64 * 64);
        if (all[use].kept == NULL) return NULL;
        all[use].room = floats;
    }
    return all[use].kept;
}
