/* kept: the image of a printed text, from the folder of compiled code (store.h) if it is there, else from the compiler. What it is
 * kept under is the text and all that the device's compiler says of itself. Relies on parts.h. Never loads an image. */
#include "../store.h"
#include "parts.h"

static bool use_kept(CodeStore *store, const Text *key, Text *image, Status *st)
{
    Found f;
    if (!store_find(store, key, &f)) return false;
    text_add(image, f.block, f.len);
    if (image->failed) status_fail(st, ST_MEMORY, "no memory for %zu bytes of code", f.len);
    found_free(&f);
    return true;
}

typedef struct Asked {
    const CudaDriver *driver;
    ThreadPool *threads;
    bool modules;    /* the image may be several, however many: it is kept apart from those that must be one */
    uint32_t groups; /* that threads compile the text in now; 1: it is compiled whole */
    const char *source, *name;
} Asked;

static bool build(const Asked *a, Text *image, Status *st)
{
    return a->groups > 1 ? parts_build(a->driver, a->threads, a->groups, a->source, a->name, image, st)
                         : a->driver->build(a->driver, a->source, a->name, image, st);
}

static bool make(const Asked *a, CodeStore *store, const Text *key, const char *file, Text *image, Status *st)
{
    const size_t from = image->len;
    if (!build(a, image, st)) return false;
    if (!key->failed) store_keep(store, key, file, image->at + from, image->len - from);
    return true;
}

static bool find_or_make(const Asked *a, CodeStore *store, bool *kept, Text *image, Status *st)
{
    const CudaDriver *d = a->driver;
    Text key = {0};
    char file[CUDA_PATH];
    if (!store && d->store) store = d->store();
    if (!store || !d->compiler) return build(a, image, st);
    if (!d->compiler(d, &key, file, st)) {
        text_free(&key);
        return false;
    }
    if (a->modules) text_printf(&key, "in modules\n");
    text_printf(&key, "%s", a->source);
    const bool found = !key.failed && use_kept(store, &key, image, st);
    const bool ok = found ? st->code == ST_OK : make(a, store, &key, file, image, st);
    if (ok && kept) *kept = found;
    text_free(&key);
    return ok;
}

bool cuda_image(const CudaDriver *d, CodeStore *store, const char *source, const char *name, bool *kept, Text *image, Status *st)
{
    return find_or_make(&(Asked){.driver = d, .groups = 1, .source = source, .name = name}, store, kept, image, st);
}

bool cuda_images(const CudaDriver *d, CodeStore *store, ThreadPool *threads, const char *source, const char *name, bool *kept,
    Text *image, Status *st)
{
    const uint32_t most = d->parts && threads ? MIN_OF((uint32_t)threads_count(threads), (uint32_t)CUDA_PARTS) : 1;
    const Asked a = {.driver = d,
        .threads = threads,
        .modules = d->parts,
        .groups = most > 1 ? MIN_OF(most, parts_of(source)) : 1,
        .source = source,
        .name = name};
    return find_or_make(&a, store, kept, image, st);
}
