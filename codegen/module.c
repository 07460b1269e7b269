/* module: where modules are, and whether they belong to this build. A module shares structs with the library, so one of another
 * build must not be entered: both carry a mark, a hash of the shared headers, the compiler and its flags. Relies on dlopen. */
#define _GNU_SOURCE
#include "module.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <unistd.h>

#include "kiln_config.h"

typedef struct Search {
    const char *file, *mark, *here; /* here: the file that holds this code */
    void *handle;
    bool ended; /* found, fit or not */
    Status *st;
    char tried[300]; /* for the error */
} Search;

/* ---- whether it fits --------------------------------------------------------------------------------------- */

static void tried(Search *s, const char *what)
{
    size_t used = strlen(s->tried);
    snprintf(s->tried + used, sizeof s->tried - used, "%s%s", used == 0 ? "" : "; ", what);
}

static void try_file(Search *s, const char *path)
{
    if (s->ended || access(path, F_OK) != 0) return;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *why = dlerror(); /* it names the path */
        tried(s, why ? why : path);
        return;
    }
    s->ended = true;
    const char *mark = dlsym(handle, s->mark);
    if (mark && strcmp(mark, KILN_CONFIG_MARK) == 0)
        s->handle = handle;
    else
        status_fail(s->st, ST_DEVICE,
            "%s is of another build (%s) than %s (%s): install both from one build, or name its folder in KILN_LIBDIR", path,
            mark ? mark : "without a mark", s->here, KILN_CONFIG_MARK);
}

/* dir: the first len bytes. */
static void try_dir(Search *s, const char *dir, size_t len)
{
    char path[PATH_MAX];
    if (len == 0) return;
    if ((size_t)snprintf(path, sizeof path, "%.*s/kiln/%s/%s", (int)len, dir, KILN_CONFIG_VERSION, s->file) < sizeof path)
        try_file(s, path);
    if ((size_t)snprintf(path, sizeof path, "%.*s/%s", (int)len, dir, s->file) < sizeof path) try_file(s, path);
}

/* ---- where it may be --------------------------------------------------------------------------------------- */

/* The real path of the library or program that holds this code; "this program" if it cannot be known. */
static bool own_path(char path[PATH_MAX], bool *program)
{
    Dl_info info;
    struct link_map *map = NULL;
    if (dladdr1((void *)(uintptr_t)module_open, &info, (void **)&map, RTLD_DL_LINKMAP) != 0 && map) {
        *program = map->l_name[0] == 0; /* its dli_fname is whatever the caller said: the last resort, without /proc */
        if (realpath(*program ? "/proc/self/exe" : map->l_name, path) || realpath(info.dli_fname, path)) return true;
    }
    snprintf(path, PATH_MAX, "this program");
    return false;
}

static void try_beside(Search *s, bool program)
{
    char dir[PATH_MAX + sizeof KILN_CONFIG_LIB_FROM_BIN + 1];
    size_t len = (size_t)(strrchr(s->here, '/') - s->here);
    try_dir(s, s->here, len);
    if (!program) return;
    snprintf(dir, sizeof dir, "%.*s/%s", (int)len, s->here, KILN_CONFIG_LIB_FROM_BIN);
    try_dir(s, dir, strlen(dir));
}

/* Only what the kernel loads without an interpreter has no dynamic loader. The program comes first. */
static int interpreter(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) *(bool *)found |= info->dlpi_phdr[i].p_type == PT_INTERP;
    return 1;
}

bool module_possible(const char *what, Status *st)
{
    bool dynamic = false;
    dl_iterate_phdr(interpreter, &dynamic);
    return dynamic || status_fail(st, ST_UNSUPPORTED,
                          "%s cannot be opened in a program that is linked statically (-static): link libkiln.a, but the C library "
                          "dynamically; eager code and code compiled ahead of time need no module",
                          what);
}

void *module_open(const char *file, const char *mark, Status *st)
{
    char here[PATH_MAX];
    bool program = false;
    if (!module_possible(file, st)) return NULL;
    bool known = own_path(here, &program);
    Search s = {.file = file, .mark = mark, .here = here, .st = st};
    const char *env = getenv("KILN_LIBDIR");
    if (env) try_dir(&s, env, strlen(env));
    if (known) try_beside(&s, program);
    try_dir(&s, KILN_CONFIG_LIBDIR, strlen(KILN_CONFIG_LIBDIR));
    if (!s.ended)
        status_fail(st, ST_DEVICE, "%s was not found in $KILN_LIBDIR (%s), beside %s or in %s/kiln/%s%s%s", file,
            env ? env : "not set", here, KILN_CONFIG_LIBDIR, KILN_CONFIG_VERSION, s.tried[0] != 0 ? ": " : "", s.tried);
    return s.handle;
}
