/* A loop whose turns do not depend on each other, by several threads.
 *
 * The threads wait awake for a moment, since one operator follows the other, and then asleep. Whoever calls takes part,
 * and returns when the last turn is done. */

#define _GNU_SOURCE /* for the name of a thread */

#include "kernels.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

enum { MOST_THREADS = 64, TURNS_AWAKE = 1000 };

static struct {
    void (*turn)(const void *, int64_t);
    const void *what;
    int64_t count;
    atomic_int_least64_t next, left; /* turns that nobody has begun, or that are not done */
} loop;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, one_caller = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t begun = PTHREAD_COND_INITIALIZER;
static atomic_uint number; /* of the loop: odd while it runs */
static atomic_int inside;  /* threads that look at it */
static int running, wanted = 1;

static void pause_awhile(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    sched_yield();
#endif
}

static void take_turns(void) {
    for (int64_t turn; (turn = atomic_fetch_add(&loop.next, 1)) < loop.count;) {
        loop.turn(loop.what, turn);
        atomic_fetch_sub(&loop.left, 1);
    }
}

static void *help(void *nothing) {
    unsigned seen = 0;
    for (;;) {
        for (int turn = 0; turn < TURNS_AWAKE && atomic_load(&number) == seen; turn++) pause_awhile();
        pthread_mutex_lock(&mutex);
        while (atomic_load(&number) == seen) pthread_cond_wait(&begun, &mutex);
        seen = atomic_load(&number);
        const int is_running = seen & 1;
        if (is_running) atomic_fetch_add(&inside, 1);
        pthread_mutex_unlock(&mutex);
        if (is_running) {
            take_turns();
            atomic_fetch_sub(&inside, 1);
        }
    }
    return nothing;
}

int use_threads(int threads) {
    wanted = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    for (; running < wanted - 1; running++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, help, NULL) != 0) break;
        pthread_setname_np(thread, "kernels");
        pthread_detach(thread);
    }
    if (wanted > running + 1) wanted = running + 1;
    return wanted;
}

int threads_in_use(void) { return wanted; }

static void set_number(void) {
    pthread_mutex_lock(&mutex);
    atomic_fetch_add(&number, 1);
    pthread_cond_broadcast(&begun);
    pthread_mutex_unlock(&mutex);
}

void in_turns(void (*turn)(const void *, int64_t), const void *what, int64_t count) {
    if (wanted == 1 || count < 2 || pthread_mutex_trylock(&one_caller) != 0) {
        for (int64_t number = 0; number < count; number++) turn(what, number);
        return;
    }
    loop.turn = turn;
    loop.what = what;
    loop.count = count;
    atomic_store(&loop.next, 0);
    atomic_store(&loop.left, count);
    set_number();
    take_turns();
    for (int turn = 0; atomic_load(&loop.left) > 0; turn++)
        if (turn < TURNS_AWAKE)
            pause_awhile();
        else
            sched_yield(); /* somebody else may have the helper's core, or need this one */
    pthread_mutex_lock(&mutex);
    atomic_fetch_add(&number, 1); /* nobody enters any more */
    pthread_mutex_unlock(&mutex);
    while (atomic_load(&inside) > 0) sched_yield();
    pthread_mutex_unlock(&one_caller);
}
