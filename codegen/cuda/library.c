/* library: see library.h. Relies on libdl. */
#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "../module.h"

static const char *const usual[] = {"/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib",
    "/usr/local/cuda/targets/sbsa-linux/lib", "/opt/cuda/lib64", "/usr/lib/cuda/lib64"};

static void *open_in(const char *folder, const char *under, const char *const *name, size_t n)
{
    char path[1024];
    void *lib = NULL;
    for (size_t i = 0; i < n && !lib; i++) {
        snprintf(path, sizeof path, "%s%s/%s", folder, under, name[i]);
        lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return lib;
}

static void not_found(const char *title, const char *variable, const char *const *name, size_t n, Status *st)
{
    char names[200] = "";
    for (size_t i = 0, at = 0; i < n && at < sizeof names; i++) {
        const char *ending = strstr(name[i], ".so");
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", i && ending ? ending : name[i]);
    }
    status_fail(st, ST_DEVICE,
        "cuda: no %s on this machine (looked for %s on the library path, in lib64 of $CUDA_HOME and $CUDA_PATH, in "
        "/usr/local/cuda, "
        "/opt/cuda and /usr/lib/cuda; %s=FILE names it)",
        title, names, variable);
}

void *library_find(const char *title, const char *variable, const char *const *name, size_t n, Status *st)
{
    static const char *const folder_of[] = {"CUDA_HOME", "CUDA_PATH"};
    char what[64];
    void *lib = NULL;
    snprintf(what, sizeof what, "cuda: %s", title);
    if (!module_possible(what, st)) return NULL;
    const char *asked = getenv(variable);
    if (asked && *asked != '\0') {
        lib = dlopen(asked, RTLD_NOW | RTLD_LOCAL);
        if (!lib) status_fail(st, ST_DEVICE, "cuda: cannot open %s, which %s names: %s", asked, variable, dlerror());
        return lib;
    }
    for (size_t i = 0; i < n && !lib; i++) lib = dlopen(name[i], RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; i < COUNT_OF(folder_of) && !lib; i++) {
        const char *folder = getenv(folder_of[i]);
        if (folder && *folder != '\0') lib = open_in(folder, "/lib64", name, n);
    }
    for (size_t i = 0; i < COUNT_OF(usual) && !lib; i++) lib = open_in(usual[i], "", name, n);
    if (!lib) not_found(title, variable, name, n, st);
    return lib;
}

bool library_symbol(void *lib, const char *name, void *slot, const char *from, Status *st)
{
    void *at = dlsym(lib, name);
    if (!at) return status_fail(st, ST_DEVICE, "cuda: %s is too old: it has no %s", from, name);
    memcpy(slot, &at, sizeof at);
    return true;
}
