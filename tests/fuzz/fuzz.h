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

/* Nothing that an input of a few kilobytes asks for is worth more than this: larger blocks are refused, which is an error like any other. */
static inline void *fuzz_resize(void *user, void *old, size_t old_bytes, size_t bytes, size_t align)
{
    void *now = NULL;
    (void)user;
    if (bytes > (size_t)64 << 20) return NULL;
    if (bytes != 0 && (now = aligned_alloc(align, (bytes + align - 1) / align * align)) == NULL) return NULL;
    if (old != NULL && now != NULL) memcpy(now, old, old_bytes < bytes ? old_bytes : bytes);
    free(old);
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

/* A folder of this process's own, in memory where the machine has such a place. */
static inline const char *fuzz_folder(void)
{
    static char path[64];
    if (path[0] == '\0') {
        snprintf(path, sizeof path, "%s/kiln-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
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

#endif
