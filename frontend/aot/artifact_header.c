/* artifact_header: the C header of an artifact: sizes, and typed functions over the entry's plain ABI. Includes only the C library.
 * Names from outside stand in comments alone, or behind a prefix of ours: none can end a comment, be a keyword or be some macro's.
 */
#include <stdio.h>

#include "aot.h"
#include "../engine/escape.h"

void artifact_upper(const char *symbol, char *out, size_t cap)
{
    size_t i = 0;
    for (; symbol[i] && i + 1 < cap; i++) out[i] = symbol[i] >= 'a' && symbol[i] <= 'z' ? (char)(symbol[i] - 'a' + 'A') : symbol[i];
    out[i] = 0;
}

static const DimExpr *symbol_of(const Program *p, uint32_t i) { return &p->module->dims.expr.at[-1 - p->symbol.at[i]]; }

/* Where result i (a new value of state) waits in the workspace until the call has succeeded. */
int64_t artifact_new_state(const Program *p, uint32_t noutput, uint32_t i)
{
    int64_t at = artifact_align(p->workspace);
    for (uint32_t j = noutput; j < i; j++) at = artifact_align(at + p->buf.at[p->ninput + j].bytes);
    return at;
}

int64_t artifact_workspace(const Program *p, uint32_t noutput) { return MAX_OF(artifact_new_state(p, noutput, p->noutput), 1); }

/* The parameters that give the symbols their values. */
void artifact_symbols(Text *out, const Program *p, const char *between)
{
    for (uint32_t i = 0; i < p->symbol.len; i++)
        text_printf(out, "%sint64_t n_%s /* %lld to %lld */", i ? ",\n    " : between, symbol_of(p, i)->name,
            (long long)symbol_of(p, i)->lo, (long long)symbol_of(p, i)->hi);
}

/* The size that output i tells; NULL: it is one of the function's own. */
static const DimExpr *count_of(const Artifact *a, const Program *p, uint32_t i)
{
    const uint32_t own = a->noutput - a->ncount;
    return i < own ? NULL : &p->module->dims.expr.at[-1 - a->count[i - own]];
}

static void put_outputs(Text *out, const Artifact *a, const Program *p)
{
    char type[512];
    for (uint32_t i = 0; i < a->noutput; i++) {
        const Buf *b = &p->buf.at[p->ninput + i];
        const DimExpr *count = count_of(a, p, i);
        type_print(&p->module->dims, &b->type, type, sizeof type);
        text_printf(out, ",\n    %s *", dtype_info[b->type.dtype].c);
        if (count) {
            dim_print(&p->module->dims, count->bound, type, sizeof type);
            text_printf(out, "n_%s /* the size, at most %s */", count->name, type);
            continue;
        }
        text_printf(out, "out%u /* %s", i, type);
        if (b->room) {
            type_print(&p->module->dims, buf_room(b), type, sizeof type);
            text_printf(out, ", with room for %s", type);
        }
        text_printf(out, " */");
    }
}

void artifact_prototype(Text *out, const Artifact *a, const Program *p, const char *begin)
{
    char type[512];
    text_printf(out, "static inline int %svoid *state", begin);
    if (a->weights) text_printf(out, ",\n    const void *weights /* as they lie in the file */");
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->ninput; i++)
        if (a->input[i].kind == PLACE_ARGUMENT) {
            type_print(&p->module->dims, &p->buf.at[i].type, type, sizeof type);
            text_printf(out, ",\n    const %s *in%u /* %s */", dtype_info[p->buf.at[i].type.dtype].c, n++, type);
        }
    artifact_symbols(out, p, ",\n    ");
    put_outputs(out, a, p);
    text_printf(out, ",\n    void *workspace)\n");
}

static void write_state(Text *out, const Place *place)
{
    text_printf(out, "\n        (char *)state + %lld, /* ", (long long)place->offset);
    text_comment(out, place->name);
    text_printf(out, " */");
}

void artifact_buffers(Text *out, const Artifact *a, const Program *p, const char *constants, const char *workspace)
{
    uint32_t n = 0;
    text_printf(out, "    void *const buf[] = {");
    for (uint32_t i = 0; i < p->ninput; i++) {
        const Place *place = &a->input[i];
        if (place->kind == PLACE_ARGUMENT)
            text_printf(out, "\n        (void *)(uintptr_t)in%u,", n++);
        else if (place->kind == PLACE_STATE)
            write_state(out, place);
        else if (p->buf.at[i].bytes == 0) /* no elements: there may be no block of constants */
            text_printf(out, "\n        %s,", workspace);
        else
            text_printf(out, "\n        (void *)(uintptr_t)(%s + %lld),", constants, (long long)place->offset);
    }
    for (uint32_t i = 0; i < p->noutput; i++) {
        if (i < a->noutput && count_of(a, p, i))
            text_printf(out, "\n        n_%s,", count_of(a, p, i)->name);
        else if (i < a->noutput)
            text_printf(out, "\n        out%u,", i);
        else
            text_printf(out, "\n        %s + %lld,", workspace, (long long)artifact_new_state(p, a->noutput, i));
    }
    text_printf(out, "\n        (void *)0};\n");
}

/* Leaves the symbols' values in `dim`, once they are within bounds. */
void artifact_bounds(Text *out, const Program *p, const char *symbol)
{
    char big[160];
    artifact_upper(symbol, big, sizeof big);
    for (uint32_t i = 0; i < p->symbol.len; i++) {
        const DimExpr *s = symbol_of(p, i);
        text_printf(out, "    if (n_%s < %lld || n_%s > %lld)\n        return %s_ESHAPE;\n", s->name, (long long)s->lo, s->name,
            (long long)s->hi, big);
    }
    text_printf(out, "    const int64_t dim[] = {");
    for (uint32_t i = 0; i < p->symbol.len; i++) text_printf(out, "n_%s, ", symbol_of(p, i)->name);
    text_printf(out, "0};\n");
}

/* New state waits behind the workspace at the bounds, so with state the whole of it is needed. */
static void write_needs(Text *out, const Artifact *a, const Program *p, const char *symbol, const char *big)
{
    uint32_t n = 1;
    for (uint32_t i = 0; i < a->noutput; i++) n += p->buf.at[p->ninput + i].type.rank;
    text_printf(out,
        "/* What a call with these sizes needs. size[0]: bytes of workspace, at most %s_WORKSPACE_BYTES; then the sizes\n"
        " * of out0's axes, of out1's, and so on%s: %u numbers in all. Returns as the call does. */\n"
        "static inline int %s_needs(",
        big, a->ncount ? ", or the most that they may be" : "", n, symbol);
    artifact_symbols(out, p, "");
    text_printf(out, "%sint64_t *size)\n{\n    int64_t all[%u];\n", p->symbol.len ? ",\n    " : "", program_sizes(p));
    artifact_bounds(out, p, symbol);
    text_printf(out, "    %s_sizes(dim, all);\n", symbol);
    if (p->noutput > a->noutput) text_printf(out, "    all[0] = %s_WORKSPACE_BYTES;\n", big);
    text_printf(out, "    memcpy(size, all, %u * sizeof *size);\n    return 0;\n}\n\n", n);
}

static void write_body(Text *out, const Artifact *a, const Program *p, const char *symbol)
{
    text_printf(out, "{\n    (void)state;\n    (void)workspace;\n");
    artifact_bounds(out, p, symbol);
    char constants[160];
    snprintf(constants, sizeof constants, a->weights ? "(const char *)weights" : "%s_constants", symbol);
    if (a->weights) text_printf(out, "    (void)weights;\n");
    artifact_buffers(out, a, p, constants, "(char *)workspace");
    text_printf(out, "    int rc = (int)%s_entry(buf, dim, workspace, (const void *)0) %% %d;\n", symbol, ENTRY_LOOP);
    if (p->noutput > a->noutput) {
        text_printf(out, "    if (rc)\n        return rc; /* state is as it was */\n");
        for (uint32_t i = a->noutput; i < p->noutput; i++)
            text_printf(out, "    memcpy((char *)state + %lld, (char *)workspace + %lld, %lld);\n",
                (long long)a->input[a->changed[i - a->noutput]].offset, (long long)artifact_new_state(p, a->noutput, i),
                (long long)p->buf.at[p->ninput + i].bytes);
    }
    text_printf(out, "    return rc;\n}\n");
}

void artifact_codes(Text *out, const char *big, bool device)
{
    static const struct {
        const char *name, *meaning;
        int code;
    } codes[] = {{"OK", "done", ST_OK}, {"ESHAPE", "a size outside its bounds", ST_SHAPE},
        {"EVALUE", "an assertion failed, or a loop went on after its bound", ST_VALUE},
        {"EDEVICE", "the driver refused something, which `error` tells; the state may have changed", ST_DEVICE}};
    text_printf(out, "/* what calls return; after any but the first the state is as it was */\n");
    for (size_t i = 0; i < COUNT_OF(codes) - !device; i++)
        text_printf(out, "#define %s_%s %d /* %s */\n", big, codes[i].name, codes[i].code, codes[i].meaning);
    text_printf(out, "\n");
}

static void write_about(Text *out, const char *about)
{
    char line[400];
    for (const char *end; about && *about; about = *end ? end + 1 : end) {
        end = about + strcspn(about, "\n");
        snprintf(line, sizeof line, "%.*s", (int)MIN_OF(end - about, (ptrdiff_t)sizeof line - 1), about);
        text_printf(out, " * ");
        text_comment(out, line);
        text_printf(out, "\n");
    }
}

static void write_sizes(Text *out, const Artifact *a, const Program *p, const char *symbol, const char *big, int64_t state_bytes,
    int64_t constant_bytes)
{
    if (a->weights)
        text_printf(out,
            "/* the size of %s.weights, which must lie in memory aligned to %s_ALIGN */\n#define %s_WEIGHTS_BYTES %lld\n", symbol,
            big, big, (long long)constant_bytes);
    text_printf(out, "#define %s_STATE_BYTES %lld\n", big, (long long)MAX_OF(state_bytes, 1));
    text_printf(out, "#define %s_WORKSPACE_BYTES %lld\n", big, (long long)artifact_workspace(p, a->noutput));
    text_printf(out, "#define %s_ALIGN %d\n\n", big, ARTIFACT_ALIGN);
}

void artifact_header(
    Text *out, const Artifact *a, const Program *p, const char *symbol, int64_t state_bytes, int64_t constant_bytes)
{
    char big[160];
    artifact_upper(symbol, big, sizeof big);
    text_printf(out, "/* %s.h: ", symbol);
    text_comment(out, a->name);
    text_printf(out, ", compiled ahead of time by Kiln %s. Link %s.o and -lm; nothing else is needed.\n", kiln_version(), symbol);
    text_printf(out,
        " * State and workspace are yours, aligned to %s_ALIGN; calls with different state and "
        "workspace may run at once.\n",
        big);
    text_printf(out, " * %s_init gives state its first value.\n", symbol);
    write_about(out, a->about);
    text_printf(out, " */\n");
    text_printf(out, "#ifndef %s_H\n#define %s_H\n\n#include <stdint.h>\n#include <string.h>\n\n", big, big);
    write_sizes(out, a, p, symbol, big, state_bytes, constant_bytes);
    artifact_codes(out, big, false);
    text_printf(out, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    text_printf(out,
        "int32_t %s_entry(void *const *buf, const int64_t *dim, void *work, const void *host);\n"
        "void %s_sizes(const int64_t *dim, int64_t *out);\n",
        symbol, symbol);
    if (state_bytes) text_printf(out, "extern const unsigned char %s_initial[%lld];\n", symbol, (long long)state_bytes);
    if (constant_bytes && !a->weights)
        text_printf(out, "extern const unsigned char %s_constants[%lld];\n", symbol, (long long)constant_bytes);
    text_printf(out, "\nstatic inline void %s_init(void *state)\n{\n", symbol);
    if (state_bytes)
        text_printf(out, "    memcpy(state, %s_initial, %lld);\n}\n\n", symbol, (long long)state_bytes);
    else
        text_printf(out, "    (void)state;\n}\n\n");
    write_needs(out, a, p, symbol, big);
    char begin[160];
    snprintf(begin, sizeof begin, "%s(", symbol);
    artifact_prototype(out, a, p, begin);
    write_body(out, a, p, symbol);
    text_printf(out, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}
