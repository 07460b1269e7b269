/* dump: KILN_DUMP=ir,passes,program,llvm,asm,cuda,ptx writes what each stage of a compile produced, one file each, into
 * KILN_DUMP_DIR. */
#include "function.h"

#include <stdatomic.h>
#include <stdio.h>

#include "../../codegen/cuda.h"
#include "../../ir/text.h"
#include "../engine/escape.h"
#include "../engine/file.h"

/* Whether word, len bytes of KILN_DUMP, names a stage. */
static bool stage_known(const char *word, size_t len)
{
    static const char *const stages[] = {"ir", "passes", "program", "llvm", "asm", "cuda", "ptx"};
    for (size_t i = 0; i < COUNT_OF(stages); i++)
        if (strlen(stages[i]) == len && !memcmp(word, stages[i], len)) return true;
    return false;
}

void dump_open(kiln *k)
{
    const char *word = getenv("KILN_DUMP");
    for (size_t len; word && *word; word += len + (word[len] == ',')) {
        len = strcspn(word, ",");
        if (!stage_known(word, len))
            log_line(k, "KILN_DUMP: there is no stage %.*s; there are ir, passes, program, llvm, asm, cuda, ptx", (int)len, word);
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

#define OLDEST_SM 80

/* Names from outside may stand in it. */
static void why_not(Text *out, const Status *st)
{
    text_printf(out, "// ");
    text_comment(out, st->text);
    text_printf(out, "\n");
}

static void dump_cuda(const char *function, Arena *arena, const Module *m)
{
    bool ptx_too = dump_wants("ptx");
    if (!ptx_too && !dump_wants("cuda")) return;
    LowerOptions lower = {.blas = false};
    Text source = {0}, ptx = {0};
    Status st = {0};
    cuda_target(&lower.target);
    const Program *p = program_lower(arena, m, &lower, &st);
    if (!p || !cuda_program_ptx(p, OLDEST_SM, &source, ptx_too ? &ptx : NULL, &st))
        why_not(ptx_too && source.len ? &ptx : &source, &st);
    if (dump_wants("cuda") && source.at) dump_write(function, "cuda", source.at, source.len);
    if (ptx_too && ptx.at) dump_write(function, "ptx", ptx.at, ptx.len);
    text_free(&source);
    text_free(&ptx);
}

void dump_program(const char *function, Arena *arena, const Module *m, const Program *p)
{
    if (dump_wants("program")) {
        Text text = {0};
        program_print(&text, p);
        dump_write(function, "program", text.at ? text.at : "", text.len);
        text_free(&text);
    }
    dump_cuda(function, arena, m);
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
    snprintf(both, sizeof both, "%s%s%s", stage, name ? "." : "", name ? name : "");
    dump_write(user, both, text, len);
}
