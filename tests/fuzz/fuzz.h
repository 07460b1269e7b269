/* fuzz: what the targets that read files share: the input as a file in memory, and one engine for all of them. */
#ifndef KILN_TESTS_FUZZ_H
#define KILN_TESTS_FUZZ_H

#include <kiln/kiln.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing that an input of a few kilobytes asks for is worth more than this: larger blocks are refused, which is an error like any
 * other. `left` is what may be allocated in all before nothing is given any more: a loop that goes on for ever ends there. */
typedef struct FuzzMemory {
    int64_t live, peak, left;
} FuzzMemory;
static FuzzMemory fuzz_memory = {0, 0, INT64_MAX};

static inline void *fuzz_resize(void *user, void *old, size_t old_bytes, size_t bytes, size_t align)
{
    void *now = NULL;
    (void)user;
    if (bytes > (size_t)64 << 20 ||
        (bytes > old_bytes && __atomic_sub_fetch(&fuzz_memory.left, (int64_t)bytes, __ATOMIC_RELAXED) < 0))
        return NULL;
    if (bytes != 0 && (now = aligned_alloc(align, (bytes + align - 1) / align * align)) == NULL) return NULL;
    if (old != NULL && now != NULL) memcpy(now, old, old_bytes < bytes ? old_bytes : bytes);
    free(old);
    const int64_t live = __atomic_add_fetch(&fuzz_memory.live, (int64_t)bytes - (int64_t)(old ? old_bytes : 0), __ATOMIC_RELAXED);
    if (live > fuzz_memory.peak) fuzz_memory.peak = live; /* the peak of a thread alone is asked for */
    return now;
}

static inline kiln *fuzz_open(void)
{
    static bool limited;
    if (!limited) kiln_set_allocator(&(kiln_allocator){.resize = fuzz_resize});
    limited = true;
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .no_log = true});
    if (k == NULL) abort();
    return k;
}

/* A folder of this process's own, inside the one that run.sh made for its run and removes. */
static inline const char *fuzz_folder(void)
{
    static char path[64];
    if (path[0] == '\0') {
        const char *within = getenv("KILN_FUZZ_FOLDER");
        snprintf(path, sizeof path, "%.40s/fuzz-XXXXXX", within != NULL ? within : "/tmp");
        if (mkdtemp(path) == NULL) abort();
    }
    return path;
}

static inline void fuzz_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || (size != 0 && fwrite(data, 1, size, f) != size)) abort();
    fclose(f);
}

/* Reads every element, so that a sanitizer sees each. */
static inline void fuzz_touch(const kiln_tensor *t)
{
    static volatile unsigned char sum;
    size_t n = kiln_bytes(t);
    const unsigned char *at = n != 0 ? kiln_data((kiln_tensor *)(uintptr_t)t) : NULL;
    for (size_t i = 0; at != NULL && i < n; i++) sum = (unsigned char)(sum + at[i]);
}

/* NaN is one value. */
static inline bool fuzz_same_floats(kiln_tensor *x, kiln_tensor *y)
{
    int64_t n = kiln_elements(x);
    double *a = calloc((size_t)n + 1, 8), *b = calloc((size_t)n + 1, 8);
    bool equal = kiln_read_doubles(x, a, n) && kiln_read_doubles(y, b, n);
    for (int64_t i = 0; i < n; i++) equal = equal && (memcmp(&a[i], &b[i], 8) == 0 || (a[i] != a[i] && b[i] != b[i]));
    free(a);
    free(b);
    return equal;
}

static inline bool fuzz_same(kiln_tensor *x, kiln_tensor *y)
{
    size_t n = kiln_bytes(x);
    if (kiln_dtype_of(x) != kiln_dtype_of(y) || kiln_rank(x) != kiln_rank(y)) return false;
    for (int i = 0; i < kiln_rank(x); i++)
        if (kiln_dim(x, i) != kiln_dim(y, i)) return false;
    if (kiln_dtype_of(x) >= KILN_F16) return fuzz_same_floats(x, y);
    char *a = calloc(n + 1, 1), *b = calloc(n + 1, 1);
    bool equal = kiln_read(x, a, n) && kiln_read(y, b, n) && memcmp(a, b, n) == 0;
    free(a);
    free(b);
    return equal;
}

#endif
