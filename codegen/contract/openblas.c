/* openblas: opens OpenBLAS's shared library at the first use of one of its functions, for the whole process: the one file that
 * knows its name. It keeps to one thread, since Kiln's own threads call it. Relies on contract_parts, dlopen. */
#include "contract_parts.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define LIBRARY "libopenblas.so.0"

static void *library;
static char missing[256];

static void open_library(void)
{
    void (*set_threads)(int);
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    const char *text = library ? NULL : dlerror();
    if (!library) snprintf(missing, sizeof missing, "%s", text ? text : LIBRARY " does not open");
    if (!library) return;
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    if (set_threads) {
        set_threads(1);
        return;
    }
    snprintf(missing, sizeof missing, LIBRARY " lacks openblas_set_num_threads");
    library = NULL; /* it stays open */
}

bool openblas_find(const char *name, void *to, char *why, size_t cap)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    void *symbol = library ? dlsym(library, name) : NULL;
    if (!library)
        snprintf(why, cap, "%s", missing);
    else if (!symbol)
        snprintf(why, cap, LIBRARY " lacks %s", name);
    memcpy(to, &symbol, sizeof symbol);
    return symbol;
}
