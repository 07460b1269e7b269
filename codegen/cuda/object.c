/* object: a program as an object for a device: its table (codegen/walk.h), the image that the device's compiler made, and PTX
 * beside it where that is NVRTC. Relies on table.h, api.h, walk.h. */
#include "object.h"

#include <stdio.h>

#include "api.h"
#include "table.h"

typedef struct Making {
    const Program *p;
    const CudaDriver *driver;
    const CompileOptions *o;
    const char *prefix;
    const ObjectData *data;
    int ndata;
    DeviceObject *is;
    Arena arena;
    Text table, image, ptx;
    Status *st;
    bool ok;
} Making;

static bool make_table(Making *m)
{
    const Program *p = m->p;
    CudaFunctions text;
    WalkHead h;
    int64_t constants = 0;
    cuda_functions(&m->arena, p, &text);
    for (int i = 0; i < m->ndata; i++)
        if (m->data[i].held) constants = (int64_t)m->data[i].len;
    if (!cuda_table(p, cuda_sm(m->driver), &text, constants, &m->table, m->st)) return false;
    memcpy(&h, m->table.at, sizeof h);
    m->is->meeting = h.meeting;
    m->is->room = (int64_t)sizeof(Walk) + walk_words(&h) * (int64_t)sizeof(int64_t);
    return true;
}

/* In PTX a zero ends the text. */
static bool make_code(Making *m)
{
    Text source = {0};
    const CudaDriver *d = m->driver;
    m->is->ptx = d->build == nvrtc_build;
    bool ok = cuda_program_text(m->p, cuda_sm(d), &source, m->st) &&
              cuda_image(d, m->o->store, source.at, m->p->name, NULL, &m->image, m->st) &&
              (!m->is->ptx || cuda_compile(source.at, m->p->name, cuda_sm(d), false, &m->ptx, NULL, m->st));
    if (m->is->ptx) text_add(&m->ptx, "", 1);
    text_free(&source);
    return ok && ((!m->image.failed && !m->ptx.failed) || status_fail(m->st, ST_MEMORY, "no memory for code"));
}

static void make(void *arg)
{
    Making *m = arg;
    m->ok = make_table(m) && make_code(m);
}

static bool write_object(const Making *m, ObjectSink *sink, void *user, Status *st)
{
    char name[3][160];
    static const char *const ending[] = {"table", "image", "ptx"};
    const Text *own[] = {&m->table, &m->image, &m->ptx};
    ObjectData all[8];
    int n = 0;
    for (; n < 3; n++) {
        snprintf(name[n], sizeof name[n], "%.140s_%s", m->prefix, ending[n]);
        all[n] = (ObjectData){.symbol = name[n], .bytes = own[n]->at, .len = own[n]->len};
    }
    for (int i = 0; i < m->ndata && n < (int)COUNT_OF(all); i++) all[n++] = m->data[i];
    Text object = {0};
    const bool ok = walk_object(m->prefix, all, n, &object, st);
    if (ok) sink(user, object.at, object.len);
    text_free(&object);
    return ok;
}

bool cuda_object(const Program *p, const CompileOptions *o, const char *prefix, const ObjectData *data, int ndata, DeviceObject *is,
    ObjectSink *sink, void *user, Status *st)
{
    Making m = {.p = p, .driver = o->there, .o = o, .prefix = prefix, .data = data, .ndata = ndata, .is = is, .st = st};
    arena_init(&m.arena);
    bool ok = arena_try(&m.arena, st, make, &m) && m.ok;
    ok = ok && write_object(&m, sink, user, st);
    text_free(&m.table);
    text_free(&m.image);
    text_free(&m.ptx);
    arena_free(&m.arena);
    return ok;
}
