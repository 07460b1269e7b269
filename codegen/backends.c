/* backends: the table of code generators, by name. What a backend needs from outside it loads at the first compile. Relies on
 * backend.h and what backends offer. Never includes a backend's folder. */
#include "backend.h"
#include "cuda.h"
#include "native.h"

static const struct {
    BackendRow row;
    BackendExport *get;
} table[] = {
    {{"cpu", "compiler", "compiler", {"llvm", "asm"}}, native_backend},
    {{"cuda", "CUDA", "cuda", {"cuda", "ptx"}}, cuda_backend},
};

const BackendRow *backend_row(uint32_t i) { return i < COUNT_OF(table) ? &table[i].row : NULL; }

const Backend *backend_get(const char *name, Status *st)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(table[i].row.name, name) == 0) return table[i].get();
    status_fail(st, ST_UNSUPPORTED, "there is no backend called %.60s", name);
    return NULL;
}
