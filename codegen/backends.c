/* backends: the table of code generators, by name. The LLVM one lives in a module of its own, opened at the first question for it
 * and kept until the process ends: compiled code may outlast every engine. Relies on backend.h, module.h. Never includes a backend.
 */
#include "backend.h"
#include "cuda.h"
#include "module.h"

#include <dlfcn.h>
#include <pthread.h>

/* ---- the table ------------------------------------------------------------------------------------------------ */

static const struct {
    BackendRow row;
    const char *module, *mark, *symbol;
    BackendExport *here; /* module NULL: part of this library */
} table[] = {
    {{"cpu", "compiler", "compiler", {"llvm", "asm"}}, "libkiln-llvm.so", "kiln_llvm_mark", "kiln_llvm_backend", NULL},
    {{"cuda", "CUDA", "cuda", {"cuda", "ptx"}}, NULL, NULL, NULL, cuda_backend},
};

const BackendRow *backend_row(uint32_t i) { return i < COUNT_OF(table) ? &table[i].row : NULL; }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const Backend *loaded[COUNT_OF(table)]; /* under lock */

static const Backend *load(size_t i, Status *st)
{
    if (!table[i].module) return table[i].here();
    void *module = module_open(table[i].module, table[i].mark, st);
    if (!module) return NULL;
    /* A function pointer out of dlsym, as POSIX has it. */
    BackendExport *get;
    *(void **)&get = dlsym(module, table[i].symbol);
    if (!get) {
        status_fail(st, ST_DEVICE, "%s does not export %s", table[i].module, table[i].symbol);
        return NULL;
    }
    return get();
}

const Backend *backend_get(const char *name, Status *st)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (strcmp(table[i].row.name, name) != 0) continue;
        pthread_mutex_lock(&lock);
        if (!loaded[i]) loaded[i] = load(i, st);
        const Backend *b = loaded[i];
        pthread_mutex_unlock(&lock);
        return b;
    }
    status_fail(st, ST_UNSUPPORTED, "there is no backend called %.60s", name);
    return NULL;
}
