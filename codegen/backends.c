/* backends: the table of code generators, by name. The LLVM one lives in a module of its own, opened at the first question for it
 * and kept until the process ends: compiled code may outlast every engine. Relies on backend.h, dlopen. Never includes a backend. */
#define _GNU_SOURCE
#include "backend.h"
#include "cuda.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "kiln_config.h"

#define LLVM_MODULE "libkiln-llvm.so"
#define PATH_CAP 4096

/* ---- where modules are ----------------------------------------------------------------------------------- */

typedef struct Search {
    const char *module;
    void *handle;
    char tried[400]; /* for the error */
} Search;

/* Tries dir/module; dir is the first len bytes. */
static void try_dir(Search *s, const char *dir, size_t len)
{
    char path[PATH_CAP];
    if (s->handle != NULL || len == 0) return;
    if ((size_t)snprintf(path, sizeof path, "%.*s/%s", (int)len, dir, s->module) >= sizeof path) return;
    s->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (s->handle != NULL) return;
    const char *why = dlerror();
    size_t used = strlen(s->tried);
    /* dlerror names the path itself when the file is there but unfit. */
    snprintf(s->tried + used, sizeof s->tried - used, "%s%s", used == 0 ? "" : "; ", why != NULL ? why : path);
}

/* Beside the library or program that holds this code. */
static void try_beside(Search *s)
{
    Dl_info info;
    if (dladdr((void *)(uintptr_t)backend_get, &info) == 0 || info.dli_fname == NULL) return;
    const char *slash = strrchr(info.dli_fname, '/');
    if (slash != NULL) try_dir(s, info.dli_fname, (size_t)(slash - info.dli_fname));
}

static void *open_module(const char *module, Status *st)
{
    Search s = {.module = module};
    const char *env = getenv("KILN_LIBDIR");
    if (env != NULL) try_dir(&s, env, strlen(env));
    try_beside(&s);
    try_dir(&s, KILN_CONFIG_LIBDIR, strlen(KILN_CONFIG_LIBDIR));
    if (s.handle == NULL)
        status_fail(st, ST_DEVICE, "%s was not found in $KILN_LIBDIR, beside Kiln or in %s: %s", module, KILN_CONFIG_LIBDIR, s.tried);
    return s.handle;
}

/* ---- the table ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name, *module, *symbol;
    BackendExport *here; /* module NULL: part of this library */
} table[] = {
    {"cpu", LLVM_MODULE, "kiln_llvm_backend", NULL},
    {"cuda", NULL, NULL, cuda_backend},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const Backend *loaded[COUNT_OF(table)]; /* under lock */

static const Backend *load(size_t i, Status *st)
{
    if (table[i].module == NULL) return table[i].here();
    void *module = open_module(table[i].module, st);
    if (module == NULL) return NULL;
    /* A function pointer out of dlsym, as POSIX has it. */
    BackendExport *get;
    *(void **)&get = dlsym(module, table[i].symbol);
    if (get == NULL) {
        status_fail(st, ST_DEVICE, "%s has no %s", table[i].module, table[i].symbol);
        return NULL;
    }
    return get();
}

const Backend *backend_get(const char *name, Status *st)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (strcmp(table[i].name, name) != 0) continue;
        pthread_mutex_lock(&lock);
        if (loaded[i] == NULL) loaded[i] = load(i, st);
        const Backend *b = loaded[i];
        pthread_mutex_unlock(&lock);
        return b;
    }
    status_fail(st, ST_UNSUPPORTED, "there is no backend called %s", name);
    return NULL;
}
