/* threads: the one pool of an engine. Workers spin briefly after work, then park on a futex. Relies on base and POSIX threads.
 * Never knows tensors. Each thread has a share of the chunks, which lie side by side, and helps others when it is done, so that a
 * core that is late delays one chunk only; the grid of chunks is the caller's and never depends on the number of threads. */
#ifndef KILN_RUNTIME_THREADS_H
#define KILN_RUNTIME_THREADS_H

#include "buffer.h"

typedef struct ThreadPool ThreadPool;

/* Calls fn(arg, lo, hi) for every chunk of [0, n). fn should not call threads_run on the same pool (it then runs serially). */
typedef void (*ChunkFn)(void *arg, int64_t lo, int64_t hi);

/* threads: how many in all, the calling one included; 0: one per usable core (affinity mask). If creating a worker fails, there are
 * fewer; that is no error. If there is a core for each, workers that are woken keep off their caller's. NULL: no memory. */
ThreadPool *threads_new(int threads);
void threads_free(ThreadPool *p);
int threads_count(const ThreadPool *p);
/* Memory for the time of a job, kept for the next ones; any thread may ask for it. */
BufferPool *threads_memory(ThreadPool *p);

/* Covers [0, n) in chunks of `grain` (the last may be shorter) and returns when all are done. If n <= grain, there is one thread,
 * or the pool is busy (another thread's call, or a nested one), the caller runs chunk after chunk in order. */
void threads_run(ThreadPool *p, ChunkFn fn, void *arg, int64_t n, int64_t grain);

/* The user's own parallel-for in place of our workers (kiln_open option). */
typedef void (*ParallelFor)(void *user, void (*task)(void *arg, int64_t index), void *arg, int64_t tasks);
void threads_set_hook(ThreadPool *p, ParallelFor hook, void *user);

#endif
