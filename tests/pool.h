/* pool: threads for a group of tests. Relies on threads. */
#ifndef KILN_TESTS_POOL_H
#define KILN_TESTS_POOL_H

#include "runtime/threads.h"

static ThreadPool *threads;

static inline int open_pool(void **state)
{
    (void)state;
    threads = threads_new(3);
    return threads == NULL;
}

static inline int close_pool(void **state)
{
    (void)state;
    threads_free(threads);
    return 0;
}

#endif
