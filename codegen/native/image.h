/* image: machine code as flat bytes that hold no address, so that they may lie anywhere in memory, and on disk. An image is one
 * block: a head, three lists, then the bytes as memory will have them: whole pages of code, then data. What is outside (libm,
 * memcpy) is reached through slots in the data, which map.c fills; numbers in the lists are places in the bytes. Relies on base.
 * Never knows LLVM, programs or files. */
#ifndef KILN_CODEGEN_NATIVE_IMAGE_H
#define KILN_CODEGEN_NATIVE_IMAGE_H

#include "../imports.h"

#define IMAGE_ALIGN 64                 /* of the bytes within the block, and the most that a section may ask for */
#define IMAGE_MOST ((uint64_t)1 << 30) /* bytes of a block; so differences fit 32 bits */
#define IMAGE_NONE UINT32_MAX

typedef struct ImageHead {
    uint32_t machine;      /* EM_X86_64 ... */
    uint32_t code, bytes;  /* the first `code` of the `bytes` are code; whole pages */
    uint32_t entry, sizes; /* two functions; sizes IMAGE_NONE: there is none */
    uint32_t nimport, nsymbol, names;
    uint32_t start; /* where in the block the bytes begin */
} ImageHead;

typedef struct ImageImport { /* eight bytes that are to hold the address of import number `which` */
    uint32_t at, which;
} ImageImport;

typedef struct ImageSymbol { /* a function, for those who look at running code */
    uint32_t at, len, name;  /* name: where it begins in the names, which end in 0 */
} ImageSymbol;

typedef struct Image { /* a block with its parts found */
    const ImageHead *head;
    const ImageImport *import;
    const ImageSymbol *symbol;
    const char *names, *bytes;
} Image;

/* The block of an ELF object: its functions `entry` and `sizes` (NULL: none) are the image's. The block is the caller's, of *len
 * bytes for mem_free_aligned(..., IMAGE_ALIGN). NULL: st, which names what is not supported. */
char *image_of_object(const char *object, size_t bytes, const char *entry, const char *sizes, size_t *len, Status *st);
/* Finds the parts of a block, aligned to IMAGE_ALIGN, of whose every number it makes sure that it is in range. False: it is none.
 */
bool image_open(const char *block, size_t len, Image *out);

#endif
