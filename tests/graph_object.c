/* graph_object: graphs as objects: compiled without a host, linked by the C compiler into a library of their own, and called from
 * there. Relies on graph_run. */
#include "graph_run.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


static void write_object(void *user, const void *bytes, size_t len)
{
    fwrite(bytes, 1, len, user);
}

/* What an object cannot do, as frontend/aot says. */
static bool needs_host(const Module *m)
{
    for (uint32_t i = 0; i < m->graph.len; i++)
        for (uint32_t j = 0; j < m->graph.at[i]->node.len; j++)
            if (m->graph.at[i]->node.at[j].op == OP_callback || op_factors((Op)m->graph.at[i]->node.at[j].op)) return true;
    return false;
}

static bool linked(const char *base, Status *st)
{
    char command[256];
    snprintf(command, sizeof command, "${CC:-cc} -shared -o %s.so %s.o -lm", base, base);
    return system(command) == 0 || status_fail(st, ST_INTERNAL, "an object could not be linked");
}

static bool call_library(const GraphRun *r, const Program *p, const char *base, const void *const *in, void **result)
{
    char path[96];
    snprintf(path, sizeof path, "%s.so", base);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return status_fail(r->st, ST_INTERNAL, "%s", dlerror());
    EntryFn *entry;
    SizesFn *sizes;
    void *at[2] = {dlsym(library, "drawn_entry"), dlsym(library, "drawn_sizes")};
    memcpy(&entry, &at[0], sizeof entry);
    memcpy(&sizes, &at[1], sizeof sizes);
    bool ok = entry != NULL ? graph_call(r, p, entry, p->symbol.len ? sizes : NULL, NULL, in, result) : status_fail(r->st, ST_INTERNAL, "an object has no entry");
    dlclose(library);
    return ok;
}

bool graph_as_object(const GraphRun *r, Module *m, const void *const *in, void **result)
{
    const Backend *b = backend_get("cpu", r->st);
    LowerOptions o = {.host_products = false};
    char base[64], object[96];
    if (needs_host(m)) return status_fail(r->st, ST_VALUE, "it needs a host");
    if (b == NULL || !b->target(NULL, &o.target, r->st)) return false;
    o.target.threads = false;
    if (!graph_passes(m, &o.target, false, -1, r->st)) return false;
    Program *p = program_lower(r->arena, m, &o, r->st);
    if (p == NULL) return false;
    if (p->nstack != 0 || p->workspace > GRAPH_WORKSPACE) return status_fail(r->st, ST_VALUE, "its memory grows, or is too much");
    snprintf(base, sizeof base, "/tmp/kiln-object-%d", (int)getpid());
    snprintf(object, sizeof object, "%s.o", base);
    FILE *file = fopen(object, "wb");
    bool ok = file != NULL && b->object(p, &(CompileOptions){0}, "drawn_entry", "drawn_sizes", NULL, 0, write_object, file, r->st);
    if (file != NULL) ok = fclose(file) == 0 && ok;
    ok = ok && linked(base, r->st) && call_library(r, p, base, in, result);
    unlink(object);
    snprintf(object, sizeof object, "%s.so", base);
    unlink(object);
    return ok;
}
