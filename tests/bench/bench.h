/* bench: what benchmarks share: the clock, medians, the machine's line, and OpenBLAS as a rival, where it is there. */
#ifndef KILN_TESTS_BENCH_H
#define KILN_TESTS_BENCH_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    return v[n / 2];
}

/* Of this thread alone, so that other programs disturb little. */
static inline double now_here(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The processor as Linux names it. */
static inline const char *processor(void)
{
    static char line[512];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f) && strncmp(line, "model name", 10)) line[0] = 0;
    if (f) fclose(f);
    line[strcspn(line, "\n")] = 0;
    char *colon = strchr(line, ':');
    return colon ? colon + 2 : "unknown processor";
}

/* ---- OpenBLAS -------------------------------------------------------------------------------------------------- */
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* CBLAS's */

typedef struct Openblas {
    void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
        float beta, float *c, int ldc);
    void (*dgemm)(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb,
        double beta, double *c, int ldc);
    void (*sgemv)(int order, int ta, int m, int n, float alpha, const float *a, int lda, const float *x, int x_step, float beta,
        float *y, int y_step);
    void (*set_threads)(int);
    char *(*core)(void);   /* whose kernels it runs; OPENBLAS_CORETYPE in the environment chooses others */
    char *(*config)(void); /* version and options */
} Openblas;

static inline bool openblas_symbol(void *library, const char *name, void *to)
{
    void *symbol = dlsym(library, name);
    memcpy(to, &symbol, sizeof symbol);
    return symbol;
}

/* NULL, after a line that says why, where it is not there. */
static inline const Openblas *openblas(void)
{
    static Openblas b;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library && openblas_symbol(library, "cblas_sgemm", &b.sgemm) && openblas_symbol(library, "cblas_dgemm", &b.dgemm) &&
        openblas_symbol(library, "cblas_sgemv", &b.sgemv) &&
        openblas_symbol(library, "openblas_set_num_threads", &b.set_threads) &&
        openblas_symbol(library, "openblas_get_corename", &b.core) && openblas_symbol(library, "openblas_get_config", &b.config))
        return &b;
    const char *why = dlerror();
    printf("skip: no OpenBLAS (%s)\n", why ? why : "libopenblas.so.0 lacks a function");
    return NULL;
}

#endif
