/* artifact_device: the C header of an artifact for a device: what opens the caller's driver, and typed functions over the entry
 * that puts the program's work into a stream (codegen/walk.h). Includes only the C library and dlfcn.h. */
#include <stdio.h>

#include "../../codegen/walk.h"
#include "../engine/escape.h"
#include "aot.h"

typedef struct Header {
    Text *out;
    const Artifact *a;
    const Program *p;
    const char *symbol, *device;
    char big[160];
    int64_t state, constant;
    const DeviceObject *is;
} Header;

/* Bytes of the caller's memory before the workspace: sizes, and where blocks meet. */
static int64_t in_front(const Header *h) { return artifact_dims(h->p) + h->is->meeting; }

static void write_opening(const Header *h)
{
    text_printf(h->out, "/* %s.h: ", h->symbol);
    text_comment(h->out, h->a->name);
    text_printf(h->out, ", compiled ahead of time by Kiln %s for %s. Link %s.o, and -ldl with an older C library.\n",
        kiln_version(), h->device, h->symbol);
    text_printf(h->out,
        " * Nothing else is needed but the driver, libcuda, when it runs.\n"
        " * All pointers to state, workspace, inputs and results are addresses of the device's memory, which is yours, aligned to\n"
        " * %s_ALIGN. A call puts its work into a stream (CUstream; NULL: the default one) and returns; it waits only where the "
        "host\n"
        " * must know what was computed: a branch, a loop whose turns are computed, an assertion. Calls on one %s_device come one\n"
        " * after another; several of them, with state and workspace of their own, may be used at once. */\n",
        h->big, h->symbol);
    text_printf(
        h->out, "#ifndef %s_H\n#define %s_H\n\n#include <dlfcn.h>\n#include <stdint.h>\n#include <string.h>\n\n", h->big, h->big);
    text_printf(h->out, "#define %s_STATE_BYTES %lld\n", h->big, (long long)MAX_OF(h->state, 1));
    text_printf(
        h->out, "#define %s_WORKSPACE_BYTES %lld\n", h->big, (long long)(in_front(h) + artifact_workspace(h->p, h->a->noutput)));
    text_printf(h->out, "#define %s_ALIGN %d\n\n", h->big, ARTIFACT_ALIGN);
    artifact_codes(h->out, h->big, true);
}

static void write_object(const Header *h)
{
    const char *s = h->symbol;
    const Walk *known = NULL;
    text_printf(h->out,
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
        "/* A driver, and the code on one of its devices: from %s_open to %s_close. */\n"
        "typedef struct %s_device {\n"
        "    char error[%zu]; /* what went wrong last */\n"
        "    uint64_t constants;\n"
        "    int64_t own[%lld];\n"
        "} %s_device;\n\n",
        s, s, s, sizeof known->error, (long long)((h->is->room - (int64_t)sizeof known->error - 8 + 7) / 8), s);
    text_printf(h->out,
        "int32_t %s_begin(void *d, const void *const *part, void *driver, void *(*symbol)(void *, const char *), int32_t "
        "ordinal);\n"
        "void %s_end(void *d);\n"
        "int32_t %s_entry(void *d, void *stream, void *const *buf, const int64_t *dim, void *dims, void *work);\n"
        "int32_t %s_copy(void *d, void *stream, void *to, const void *from, size_t bytes, int32_t way);\n"
        "void %s_sizes(const void *table, const int64_t *dim, int64_t *out, int64_t *room);\n"
        "extern const unsigned char %s_table[], %s_image[];\n",
        s, s, s, s, s, s, s);
    if (h->is->ptx) text_printf(h->out, "extern const unsigned char %s_ptx[];\n", s);
    if (h->state) text_printf(h->out, "extern const unsigned char %s_initial[%lld];\n", s, (long long)h->state);
    if (h->constant) text_printf(h->out, "extern const unsigned char %s_constants[%lld];\n", s, (long long)h->constant);
}

static void write_open(const Header *h)
{
    const char *s = h->symbol;
    text_printf(h->out,
        "\n/* Opens device `ordinal` of a driver whose functions `symbol` finds by their names in libcuda, as dlsym does with a "
        "handle.\n"
        " * After an error there is nothing to close. */\n"
        "static inline int %s_open_by(%s_device *d, void *(*symbol)(void *, const char *), void *driver, int ordinal)\n{\n"
        "    const void *const part[] = {%s_table, %s_image, ",
        s, s, s, s);
    text_printf(h->out, h->is->ptx ? "%s_ptx, " : "(const void *)0, ", s);
    text_printf(h->out, h->constant ? "%s_constants};\n" : "(const void *)0};\n", s);
    text_printf(h->out, "    memset(d, 0, sizeof *d);\n    return (int)%s_begin(d, part, driver, symbol, ordinal);\n}\n\n", s);
    text_printf(h->out,
        "/* driver: what dlopen gave for libcuda; NULL: it is opened here. */\n"
        "static inline int %s_open(%s_device *d, void *driver, int ordinal)\n{\n"
        "    const char *why;\n"
        "    if (!driver) driver = dlopen(\"libcuda.so.1\", RTLD_NOW | RTLD_LOCAL);\n"
        "    if (driver) return %s_open_by(d, dlsym, driver, ordinal);\n"
        "    memset(d, 0, sizeof *d);\n"
        "    why = dlerror();\n"
        "    strncpy(d->error, why ? why : \"libcuda.so.1 cannot be opened\", sizeof d->error - 1);\n"
        "    return %s_EDEVICE;\n}\n\n"
        "/* What was asked of the device before must be done. */\n"
        "static inline void %s_close(%s_device *d)\n{\n    %s_end(d);\n}\n\n",
        s, s, s, h->big, s, s, s);
    text_printf(h->out,
        "/* Gives state its first value. */\nstatic inline int %s_init(%s_device *d, void *stream, void *state)\n{\n", s, s);
    if (h->state)
        text_printf(h->out, "    return (int)%s_copy(d, stream, state, %s_initial, %lld, 0);\n}\n\n", s, s, (long long)h->state);
    else
        text_printf(h->out, "    (void)d, (void)stream, (void)state;\n    return 0;\n}\n\n");
}

/* New state waits behind the workspace at the bounds, so with state the whole of it is needed. */
static void write_needs(const Header *h)
{
    const Program *p = h->p;
    uint32_t n = 1;
    for (uint32_t i = 0; i < h->a->noutput; i++) n += p->buf.at[p->ninput + i].type.rank;
    text_printf(h->out,
        "/* What a call with these sizes needs. size[0]: bytes of workspace, at most %s_WORKSPACE_BYTES; then the sizes\n"
        " * of out0's axes, of out1's, and so on: %u numbers in all. Returns as the call does. */\n"
        "static inline int %s_needs(",
        h->big, n, h->symbol);
    artifact_symbols(h->out, p, "");
    text_printf(h->out, "%sint64_t *size)\n{\n    int64_t all[%u], room[%u];\n", p->symbol.len ? ",\n    " : "", program_sizes(p),
        (uint32_t)p->module->dims.expr.len + 1);
    artifact_bounds(h->out, p, h->symbol);
    text_printf(h->out, "    %s_sizes(%s_table, dim, all, room);\n", h->symbol, h->symbol);
    if (p->noutput > h->a->noutput)
        text_printf(h->out, "    all[0] = %s_WORKSPACE_BYTES;\n", h->big);
    else
        text_printf(h->out, "    all[0] += %lld;\n", (long long)in_front(h));
    text_printf(h->out, "    memcpy(size, all, %u * sizeof *size);\n    return 0;\n}\n\n", n);
}

static void write_call(const Header *h)
{
    const Program *p = h->p;
    char begin[320];
    const char *s = h->symbol;
    snprintf(begin, sizeof begin, "%s(%s_device *device, void *stream, ", s, s);
    artifact_prototype(h->out, h->a, p, begin);
    text_printf(h->out, "{\n    char *work = (char *)workspace + %lld;\n    (void)state;\n", (long long)in_front(h));
    artifact_bounds(h->out, p, s);
    artifact_buffers(h->out, h->a, p, "(char *)(uintptr_t)device->constants", "work");
    text_printf(h->out, "    int rc = (int)%s_entry(device, stream, buf, dim, workspace, work) %% %d;\n", s, ENTRY_LOOP);
    for (uint32_t i = h->a->noutput; i < p->noutput; i++)
        text_printf(h->out, "    if (!rc) rc = (int)%s_copy(device, stream, (char *)state + %lld, work + %lld, %lld, 1);\n", s,
            (long long)h->a->input[h->a->changed[i - h->a->noutput]].offset, (long long)artifact_new_state(p, h->a->noutput, i),
            (long long)p->buf.at[p->ninput + i].bytes);
    text_printf(h->out, "    return rc;\n}\n\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}

void artifact_device_header(Text *out, const Artifact *a, const Program *p, const char *symbol, int64_t state_bytes,
    int64_t constant_bytes, const char *device, const DeviceObject *is)
{
    Header h = {
        .out = out, .a = a, .p = p, .symbol = symbol, .device = device, .state = state_bytes, .constant = constant_bytes, .is = is};
    artifact_upper(symbol, h.big, sizeof h.big);
    write_opening(&h);
    write_object(&h);
    write_open(&h);
    write_needs(&h);
    write_call(&h);
}
