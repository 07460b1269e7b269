/* kept: the image of a printed text, from the folder of compiled code (store.h) if it is there, else from the compiler. What it is
 * kept under is the text and all that the device's compiler says of itself. Relies on api.h. Never loads an image. */
#include "../store.h"
#include "api.h"

static bool use_kept(CodeStore *store, const Text *key, Text *image, Status *st)
{
    Found f;
    if (!store_find(store, key, &f)) return false;
    text_add(image, f.block, f.len);
    if (image->failed) status_fail(st, ST_MEMORY, "no memory for %zu bytes of code", f.len);
    found_free(&f);
    return true;
}

static bool make(const CudaDriver *d, CodeStore *store, const Text *key, const char *file, const char *source, const char *name,
    Text *image, Status *st)
{
    const size_t from = image->len;
    if (!d->build(d, source, name, image, st)) return false;
    if (!key->failed) store_keep(store, key, file, image->at + from, image->len - from);
    return true;
}

bool cuda_image(const CudaDriver *d, CodeStore *store, const char *source, const char *name, bool *kept, Text *image, Status *st)
{
    Text key = {0};
    char file[CUDA_PATH];
    if (!store && d->store) store = d->store();
    if (!store || !d->compiler) return d->build(d, source, name, image, st);
    if (!d->compiler(d, &key, file, st)) {
        text_free(&key);
        return false;
    }
    text_printf(&key, "%s", source);
    const bool found = !key.failed && use_kept(store, &key, image, st);
    const bool ok = found ? st->code == ST_OK : make(d, store, &key, file, source, name, image, st);
    if (ok && kept) *kept = found;
    text_free(&key);
    return ok;
}
