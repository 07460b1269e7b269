/* native: what the rest of the library sees of the CPU's backend: code that runs in this process, compiled by the LLVM module at
 * need, or found in a folder of code that was compiled before (CodeStore), for which LLVM is not loaded. Relies on backend. */
#ifndef KILN_CODEGEN_NATIVE_H
#define KILN_CODEGEN_NATIVE_H

#include "backend.h"

/* The row named "cpu". compile, object and describe load the module. */
const Backend *native_backend(void);

/* From now on each compiled function of this process is named in /tmp/perf-PID.map, for `perf`. False: why, a buffer that was
 * empty. */
bool perf_open(char *why, size_t cap);

/* ---- code on disk ---------------------------------------------------------------------------------------------------------
 * A folder of compiled programs, by what they were compiled from and for. Any thread and any process may use it at the same time.
 * It is trusted as far as it is its owner's alone: a folder or file of somebody else, that others may write or read, or that is a
 * link, is not looked at; bytes that are not what was written are not run. Whatever is wrong there, compiling goes on without. */
typedef struct CodeStore CodeStore;
typedef void StoreNote(void *user, const char *text); /* one line about what was refused or failed; from any thread */

/* most: bytes of all files together. NULL, and noted: no memory, or no such folder. */
CodeStore *store_open(const char *folder, uint64_t most, StoreNote *note, void *user);
void store_close(CodeStore *s); /* NULL allowed */

typedef struct StoreCount {
    uint64_t hits, misses;        /* of this engine */
    uint64_t refused, evicted;    /* files that were no good; files that were removed for room */
    uint64_t bytes_in, bytes_out; /* read by hits; written */
    uint64_t files, bytes, most;  /* in the folder now, and at most */
} StoreCount;
void store_count(CodeStore *s, StoreCount *out);

typedef struct Found { /* a file's bytes, and the image in them */
    char *file;
    size_t bytes;
    const char *block; /* aligned to 64 bytes */
    size_t len;
} Found;
/* What is kept under the key. False: nothing is, or nothing that can be trusted. */
bool store_find(CodeStore *s, const Text *key, Found *out);
void found_free(Found *f);
/* maker: the file of the library or program that compiled it; if that changes, the code is compiled anew. What fails is noted once.
 */
void store_keep(CodeStore *s, const Text *key, const char *maker, const char *block, size_t len);

#endif
