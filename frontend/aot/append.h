/* append: data behind an object file of ELF, under symbols of their own, so that weights pass through no compiler and are never in
 * memory as a whole. Knows where things lie in such a file; never writes one. */
#ifndef KILN_FRONTEND_AOT_APPEND_H
#define KILN_FRONTEND_AOT_APPEND_H

#include "../../runtime/base.h"

enum { APPEND_MOST = 2, APPEND_HEAD = 64, APPEND_ALIGN = 64 };

typedef struct Append {
    const char *symbol[APPEND_MOST]; /* of each block of data */
    uint64_t bytes[APPEND_MOST];     /* multiples of APPEND_ALIGN; 0: none of it, and no symbol */
    /* set by append_to: */
    uint8_t head[APPEND_HEAD]; /* in place of the object's first bytes */
    size_t before;             /* zeros between the object and the data */
    Text tail;                 /* what follows the data; the caller frees it */
} Append;

bool append_fits(const char *triple); /* objects for it are of this format; NULL: this machine */
/* Says what goes around the data. False: st; it is no such object. */
bool append_to(Append *a, const uint8_t *object, size_t len, Status *st);

#endif
