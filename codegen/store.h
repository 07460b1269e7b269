/* store: a folder of what programs were compiled to, machine code or a device's image, by what it was compiled from and for. Any
 * thread and any process may use it at the same time. It is trusted as far as it is its owner's alone: a folder or file of somebody
 * else, that others may write or read, or that is a link, is not looked at; bytes that are not what was written are not run.
 * Whatever is wrong there, compiling goes on without. Relies on base. Never knows what the bytes are. */
#ifndef KILN_CODEGEN_STORE_H
#define KILN_CODEGEN_STORE_H

#include "../runtime/base.h"

#define STORE_ALIGN 64                 /* of what is found */
#define STORE_MOST ((uint64_t)1 << 30) /* bytes of a file */

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
