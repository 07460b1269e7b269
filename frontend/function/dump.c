/* dump: KILN_DUMP=ir,passes,program,llvm,asm,cuda,ptx writes what each stage of a compile produced, one file each, into
 * KILN_DUMP_DIR. */
#include "function.h"

#include <stdatomic.h>
#include <stdio.h>

#include "../../ir/text.h"
#include "../engine/escape.h"
#include "../engine/file.h"

/* The stages that there are, one after the other from 0: the front end's, then the backends'. NULL beyond the last. */
static const char *stage_name(uint32_t i, const BackendRow **of)
{
    static const char *const own[] = {"ir", "passes", "program"};
    *of = NULL;
    if (i < COUNT_OF(own)) return own[i];
    i -= (uint32_t)COUNT_OF(own);
    for (uint32_t b = 0; (*of = backend_row(b)); b++)
        for (uint32_t k = 0; (*of)->stage[k]; k++)
            if (i-- == 0) return (*of)->stage[k];
    return NULL;
}

/* Whether word, len bytes of KILN_DUMP, names a stage; all of them are listed in known. */
static bool stage_known(const char *word, size_t len, char *known, size_t cap)
{
    const BackendRow *of;
    bool found = false;
    size_t n = 0;
    for (uint32_t i = 0; stage_name(i, &of); i++) {
        const char *name = stage_name(i, &of);
        n += (size_t)snprintf(known + n, cap - n, "%s%s", i ? ", " : "", name);
        found = found || (strlen(name) == len && !memcmp(word, name, len));
    }
    return found;
}

void dump_open(kiln *k)
{
    char known[128];
    const char *word = getenv("KILN_DUMP");
    for (size_t len; word && *word; word += len + (word[len] == ',')) {
        len = strcspn(word, ",");
        if (!stage_known(word, len, known, sizeof known))
            log_line(k, "KILN_DUMP: there is no stage %.*s (allowed: %s)", (int)MIN_OF(len, 60), word, known);
    }
}

bool dump_wants(const char *stage)
{
    const char *want = getenv("KILN_DUMP");
    size_t n = strlen(stage);
    while (want && *want) {
        size_t len = strcspn(want, ",");
        if (len == n && !memcmp(want, stage, n)) return true;
        want += len + (want[len] == ',');
    }
    return false;
}

/* A function's name as part of a file's. */
static void file_name(const char *function, char *to, size_t cap)
{
    size_t n = 0;
    for (; function[n] && n + 1 < cap; n++) {
        char c = function[n];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        to[n] = plain || c == '_' || c == '-' || c == '.' ? c : '_';
    }
    to[n] = 0;
}

static void dump_write(const char *function, const char *stage, const char *text, size_t len)
{
    static atomic_uint number;
    const char *dir = getenv("KILN_DUMP_DIR");
    char name[96];
    Thread *t = thread_last();
    FailureAside before;
    Text path = {0};
    failure_aside(t, &before);
    file_name(function, name, sizeof name);
    text_printf(&path, "%s/%03u-%s.%s", dir && *dir ? dir : ".", atomic_fetch_add(&number, 1), name, stage);
    if (path.failed)
        log_line(t->k, "KILN_DUMP: no memory");
    else if (!file_put(t, (kiln_site){0}, "KILN_DUMP", path.at, text, len)) /* no error of the program's: the log tells of it */
        log_line(t->k, "%s", t->text);
    failure_back(t, &before);
    text_free(&path);
}

/* What a backend prints of the module as it was traced, or why it does not: names from outside may stand in that. */
static void dump_printed(const char *function, const char *stage, const Backend *b, Arena *arena, const Module *traced)
{
    Text text = {0};
    Status st = {0};
    BuildOptions o = {.stop_after = -1};
    b->assumed(&o.target);
    Module *m = module_copy(arena, traced->graph.at, traced->graph.len, &traced->dims);
    const Program *p = module_to_program(m, arena, &o, &st);
    if (!p || !b->print(stage, p, &text, &st)) {
        text_printf(&text, "// ");
        text_comment(&text, st.text);
        text_printf(&text, "\n");
    }
    if (text.at) dump_write(function, stage, text.at, text.len);
    text_free(&text);
}

static void dump_backends(const BuildOptions *o, Arena *arena, const Module *traced)
{
    const BackendRow *of;
    const char *stage;
    for (uint32_t i = 0; (stage = stage_name(i, &of)); i++) {
        Status st = {0};
        const Backend *b = of && dump_wants(stage) ? backend_get(of->name, &st) : NULL;
        if (b && b->print && b != o->dumps) dump_printed(o->dump, stage, b, arena, traced);
    }
}

void dump_program(const BuildOptions *o, Arena *arena, const Module *traced, const Program *p)
{
    if (dump_wants("program")) {
        Text text = {0};
        program_print(&text, p);
        dump_write(o->dump, "program", text.at ? text.at : "", text.len);
        text_free(&text);
    }
    dump_backends(o, arena, traced);
}

void dump_module(void *user, const char *pass, const Module *m)
{
    Text text = {0};
    module_print(&text, m);
    if (text.at) dump_write(user, pass, text.at, text.len);
    text_free(&text);
}

void dump_stage(void *user, const char *stage, const char *name, const char *text, size_t len)
{
    char both[128];
    const bool own = !name || strcmp(name, user) == 0; /* what a program's name adds, where it is another than the function's */
    snprintf(both, sizeof both, "%s%s%s", stage, own ? "" : ".", own ? "" : name);
    dump_write(user, both, text, len);
}
