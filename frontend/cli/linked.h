/* linked: an object that was compiled ahead of time, linked into a library by this machine's C compiler and called from here. */
#ifndef KILN_FRONTEND_CLI_LINKED_H
#define KILN_FRONTEND_CLI_LINKED_H

#include "value.h"

typedef struct Linked {
    void *library;
    int (*call)(void *state, const void *weights, const void *const *in, void *const *out, void *workspace);
    int64_t bytes[3]; /* of state, workspace and weights */
    void *state, *workspace, *weights;
    void *out[VALUES];
    int64_t out_bytes[VALUES]; /* of each; where a call counts sizes, at most */
    int nout;
    bool counts; /* calls count sizes */
} Linked;

/* Of FOLDER/SYMBOL.o and .h makes FOLDER/SYMBOL.so. NULL, or why it could not, in `why`. */
const char *linked_build(const char *folder, const char *symbol, char *why, size_t cap);
/* Opens it, with memory for all that a call needs; weights are mapped. NULL, or why not. */
const char *linked_open(Linked *l, const char *folder, const char *symbol);
void linked_close(Linked *l); /* also what was opened in part */

#endif
