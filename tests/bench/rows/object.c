/* object: the rows whose function is an object file. It is compiled ahead of time, linked by cc into a shared library beside a
 * small caller, and opened: the call that is timed knows nothing of Kiln. Never of more than one input and result of f32. */
#include <kiln/aot.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "row.h"

static const char caller[] = "#include \"row.h\"\n"
                             "static _Alignas(ROW_ALIGN) unsigned char state[ROW_STATE_BYTES + 1], work[ROW_WORKSPACE_BYTES + 1];\n"
                             "void start(void) { row_init(state); }\n"
                             "int call(const float *x, float *y) { return row(state, x, y, work); }\n";

static bool link_object(const char *folder)
{
    char path[128], command[512];
    snprintf(path, sizeof path, "%s/caller.c", folder);
    FILE *f = fopen(path, "w");
    if (!f) return perror(path), false;
    fputs(caller, f);
    if (fclose(f) != 0) return perror(path), false;
    snprintf(command, sizeof command, "cd %s && cc -std=c11 -O2 -fPIC -shared caller.c row.o -lm -o row.so", folder);
    return system(command) == 0;
}

static bool find(void *library, const char *name, void *to)
{
    void *symbol = dlsym(library, name);
    memcpy(to, &symbol, sizeof symbol);
    return symbol;
}

bool object_open(Bench *b)
{
    char path[128];
    void (*start)(void);
    snprintf(path, sizeof path, "%s/row", b->folder);
    bench_call(b); /* whose inputs become the object's */
    if (!kiln_aot(b->f, path, NULL) || !link_object(b->folder)) return false;
    snprintf(path, sizeof path, "%s/row.so", b->folder);
    b->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!b->library) return fprintf(stderr, "%s\n", dlerror()), false;
    if (!find(b->library, "start", &start) || !find(b->library, "call", &b->object)) return false;
    start();
    return true;
}

void object_close(Bench *b)
{
    if (b->library) dlclose(b->library);
}
