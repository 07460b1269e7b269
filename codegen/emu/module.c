/* module: modules and their kernels. Each module that is loaded is a shared object of its own, whatever it was made from, so that
 * two devices share no variable of one. Relies on dlopen. */
#define _GNU_SOURCE
#include "emulated.h"
#include "image.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

/* Modules name no library; what they call of libm must be found although the program may have asked for it under a plugin's. */
static void show_libm(void) { dlopen("libm.so.6", RTLD_NOW | RTLD_GLOBAL); }

/* Through a file of a new name, which nobody needs once it is open. */
static void *open_object(Emu *e, const char *bytes, size_t n)
{
    char path[EMU_PATH];
    void *lib = NULL;
    const int fd = emu_temporary(path, "module");
    if (fd < 0) return NULL;
    static pthread_once_t shown = PTHREAD_ONCE_INIT;
    pthread_once(&shown, show_libm);
    const bool written = emu_write(fd, bytes, n);
    if (close(fd) == 0 && written) lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *why = written && !lib ? dlerror() : NULL;
    if (why) snprintf(e->fault, sizeof e->fault, "%.400s", why), e->about = CUDA_ERROR_INVALID_IMAGE;
    unlink(path);
    return lib;
}

static bool find_functions(CUmodule m)
{
    while (m->is->kernel[m->n].name) m->n++;
    m->shared = m->is->shared;
    m->shared_bytes = (size_t)(m->is->shared_end - m->is->shared);
    m->function = calloc(m->n + 1, sizeof *m->function);
    for (uint32_t i = 0; m->function && i < m->n; i++)
        m->function[i] = (struct CUfunc_st){.kernel = &m->is->kernel[i], .module = m};
    return m->function;
}

CUresult image_load(Emu *e, const void *image, CUmodule *out)
{
    ImageHead head;
    memcpy(&head, image, sizeof head.magic); /* others may be shorter */
    if (memcmp(head.magic, IMAGE_MAGIC, sizeof head.magic) != 0) return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&head, image, sizeof head);
    CUmodule m = calloc(1, sizeof *m);
    if (!m) return CUDA_ERROR_OUT_OF_MEMORY;
    m->emu = e;
    m->lib = open_object(e, (const char *)image + sizeof head, (size_t)head.bytes);
    m->is = m->lib ? dlsym(m->lib, "emu_module") : NULL;
    const CUresult wrong = !m->is ? CUDA_ERROR_INVALID_IMAGE : !find_functions(m) ? CUDA_ERROR_OUT_OF_MEMORY : 0;
    m->next = e->module;
    e->module = m;
    if (wrong != 0) image_unload(m);
    if (wrong == 0) *out = m;
    return wrong;
}

void image_unload(CUmodule m)
{
    CUmodule *p = &m->emu->module;
    while (*p != m) p = &(*p)->next;
    *p = m->next;
    if (m->lib) dlclose(m->lib);
    free(m->function);
    free(m);
}
