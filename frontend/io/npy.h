/* npy: what a .npy file is, for all that holds one: read from its beginning on, whatever it lies in. Relies on file.h. */
#ifndef KILN_FRONTEND_IO_NPY_H
#define KILN_FRONTEND_IO_NPY_H

#include "../engine/file.h"

enum { NPY_HEAD = 640 };

typedef struct NpyIn {
    FileIn *f;                                              /* for errors, and where it is a file of its own */
    const char *where;                                      /* the part of the file, for errors; NULL: all of it */
    uint64_t at, size;                                      /* how much was read, of how much */
    bool (*read)(struct NpyIn *in, void *to, size_t bytes); /* the next bytes, which `at` is moved by; false: recorded */
} NpyIn;

kiln_tensor *npy_read(NpyIn *in); /* poison: recorded */
/* What stands before the elements of x, a tensor of the host's; returns its bytes, or 0 if NumPy has no such dtype. */
size_t npy_head(const kiln_tensor *x, char to[NPY_HEAD]);

#endif
