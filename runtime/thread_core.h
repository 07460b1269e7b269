/* thread_core: on which cores threads of our own run: not on that of the thread which wakes them. Relies on POSIX threads and the
 * kernel's sets of cores; who includes it asks for _GNU_SOURCE. Never wakes anybody. */
#ifndef KILN_RUNTIME_THREAD_CORE_H
#define KILN_RUNTIME_THREAD_CORE_H

#include "base.h"

#include <pthread.h>
#include <sched.h>

/* The cores that this thread may use; how many those are. */
int usable_cores(cpu_set_t *set);

/* Some threads, as their maker has them. */
typedef struct OffCore {
    bool steer;      /* whether it is for us to say where they run; the maker may say no */
    pid_t maker;     /* the process that has them */
    cpu_set_t cores; /* those that they had at first, if known */
    int avoided;     /* the one of them that they keep off, -1 before there is one */
} OffCore;

/* cores: those of the maker, of whom the threads have them. */
OffCore off_core(bool steer, const cpu_set_t *cores);
/* Before the threads are woken: they leave the core of this thread to it. */
void keep_off_callers_core(OffCore *o, const pthread_t *thread, int n);

#endif
