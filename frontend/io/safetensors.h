/* safetensors: the header of a safetensors file as a table, and files made of tensors in memory. Shared by safetensors.c, weights.c
 * and checkpoint.c. Relies on file.h. Never knows a variable. */
#ifndef KILN_FRONTEND_IO_SAFETENSORS_H
#define KILN_FRONTEND_IO_SAFETENSORS_H

#include <kiln/io.h>

#include "../engine/engine.h"
#include "../engine/escape.h"
#include "../engine/file.h"

#define SAFE_HEADER_MAX 100000000u /* the reference implementation's bound */
/* The beginning of a header that Kiln wrote; 8 hexadecimal digits follow: its CRC-32 with zeros in their place. */
#define SAFE_BEGIN "{\"__metadata__\":{\"format\":\"kiln\",\"kiln.crc32\":\""
#define SAFE_STEP "kiln.step"
#define SAFE_CRC "kiln.crc32." /* + the tensor's name: of dtype, shape, name and elements */

typedef struct SafeType {
    const char *name;
    uint8_t dtype; /* DT_NONE: Kiln has no such type */
    uint8_t bits;
} SafeType;

typedef struct SafeTensor {
    const char *name;
    const SafeType *format;
    Type type;           /* dtype NONE if Kiln has none */
    uint64_t begin, end; /* bytes of the data */
} SafeTensor;

typedef struct SafePair {
    const char *key, *value;
} SafePair;

typedef struct SafeHeader { /* both sorted by the bytes of name and key */
    VEC(SafeTensor) tensor;
    VEC(SafePair) meta;
} SafeHeader;

/* Checks everything that can be checked without the elements. All memory comes from the arena, which needs a border. */
bool safe_header_parse(Arena *a, const char *json, size_t n, uint64_t data_bytes, SafeHeader *out, Status *st);
uint32_t safe_crc(const void *bytes, size_t n);
uint32_t safe_checksum(const char *name, const Type *type, const void *data); /* of a tensor */
void safe_little(unsigned char *p, size_t n, size_t each);                    /* between this machine's order and the file's */
bool safe_utf8(const char *s, size_t n);
/* For errors: at most 64 bytes, printable. */
const char *safe_shown(const char *name, char buf[72]);

struct kiln_safetensors {
    Object o;
    FileIn file; /* its site and path are the opening's */
    char *path;
    Arena arena;
    SafeHeader header;
    uint64_t data; /* file offset of the elements */
    bool guarded;  /* the header had a checksum, and it was right */
};

kiln_safetensors *safe_open(Thread *t, kiln_site at, const char *what, const char *path);
/* Reads and checks the elements; the innermost scope owns the tensor. NULL: recorded. */
kiln_tensor *safe_read(kiln_safetensors *f, Thread *t, kiln_site at, const char *what, int i);

typedef struct SafeOut { /* a tensor to be written; contiguous elements */
    const char *name;
    const Type *type;
    const void *data;
} SafeOut;
/* step < 0: none. meta: key, value, ..., NULL; or NULL. stem: as file_begin's. */
typedef struct SafeWrite {
    const SafeOut *tensor;
    int count;
    const char *const *meta;
    int64_t step;
    const char *stem;
} SafeWrite;
bool safe_write(Thread *t, kiln_site at, const char *what, const char *path, const SafeWrite *w);

/* Checks that names are not empty, UTF-8 and unique; sorts the list. False: recorded. */
bool safe_names(Thread *t, kiln_site at, const char *what, const char **name, int n);

/* ---- weights.c: variables under names -------------------------------------------------------------------------- */
typedef struct Named {
    const char *name;
    kiln_variable *variable;
    bool or_zero; /* if absent from the file, it becomes 0 */
    bool widens;  /* it accepts a narrower float from the file */
} Named;
/* Whether names are usable and unique, and variables alive and of this engine; else recorded. */
bool named_save(
    Thread *t, kiln_site at, const char *what, const char *path, const Named *list, int n, int64_t step, const char *stem);
/* Loads all of them or none. whole: Kiln wrote the file, and it must hold nothing else. */
bool named_load(Thread *t, kiln_site at, const char *what, kiln_safetensors *f, const Named *list, int n, bool whole);

#endif
