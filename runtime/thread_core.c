/* thread_core: a kernel may wake a thread on its caller's core though others are idle, as those of some virtual machines do to
 * spare a core that has slept for a while; the two then take turns there for tens of milliseconds. So threads lose the caller's
 * core before they are woken, until they are woken from another one. They need not have it back sooner: the caller has work of its
 * own, and where other programs crowd the cores that are left, the kernel may move the caller. Once anybody else has chosen cores
 * for one of them, other than those that it had, no more are chosen here. */
#define _GNU_SOURCE
#include "thread_core.h"

#include <unistd.h>

int usable_cores(cpu_set_t *set)
{
    if (sched_getaffinity(0, sizeof *set, set) == 0) return CPU_COUNT(set);
    CPU_ZERO(set);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more cores than a cpu_set_t has bits */
    return online > 0 ? (int)MIN_OF(online, INT32_MAX) : 1;
}

OffCore off_core(bool steer, const cpu_set_t *cores)
{
    return (OffCore){.steer = steer, .maker = getpid(), .cores = *cores, .avoided = -1};
}

static cpu_set_t cores_but(const OffCore *o, int core)
{
    cpu_set_t set = o->cores;
    if (core >= 0) CPU_CLR((size_t)core, &set);
    return set;
}

static bool all_have(const pthread_t *thread, int n, const cpu_set_t *set)
{
    cpu_set_t now;
    for (int i = 0; i < n; i++)
        if (pthread_getaffinity_np(thread[i], sizeof now, &now) != 0 || !CPU_EQUAL(&now, set)) return false;
    return true;
}

void keep_off_callers_core(OffCore *o, const pthread_t *thread, int n)
{
    int core = sched_getcpu();
    if (!o->steer || core == o->avoided || o->maker != getpid()) return;
    cpu_set_t had = cores_but(o, o->avoided), get = cores_but(o, core);
    o->steer = all_have(thread, n, &had);
    for (int i = 0; i < n && o->steer; i++) o->steer = pthread_setaffinity_np(thread[i], sizeof get, &get) == 0;
    o->avoided = core;
}
