/* entry: the C function that an object's header declares, read back from the header, for programs that call it. */
#ifndef KILN_FRONTEND_CLI_ENTRY_H
#define KILN_FRONTEND_CLI_ENTRY_H

#include "../../runtime/base.h"
#include "cli.h"

typedef enum ArgumentKind { ARGUMENT_WEIGHTS, ARGUMENT_IN, ARGUMENT_SYMBOL, ARGUMENT_OUT, ARGUMENT_TOLD } ArgumentKind;
typedef struct Argument { /* between the state and the workspace */
    ArgumentKind kind;
    char type[16], name[80];     /* "float", "in0" */
    char dtype[12], size[8][80]; /* of an input or output: f32, and each size as it is written */
    int rank;
    long long lo, hi; /* a symbol's bounds */
} Argument;

typedef struct Entry {
    char symbol[128], upper[128];
    Argument at[160];
    int n;
} Entry;

bool entry_read(const char *header, const char *symbol, Entry *e); /* false: it is not there, or not such a header */
/* A whole C program that calls it once: on files of bare elements, its arguments, or on zeros, and on the only value of what is
 * fixed, as fixed[i] has it in C (NULL: any); and prints the first elements of what comes out. */
void entry_example(Text *out, const Entry *e, const char *const *fixed);

#endif
