/* image: how modules of emulated devices are made, the form that they have then, and where files lie for a moment. Relies on
 * codegen/cuda/api.h. */
#ifndef KILN_CODEGEN_EMU_IMAGE_H
#define KILN_CODEGEN_EMU_IMAGE_H

#include "../cuda/api.h"

#define IMAGE_MAGIC "kiln-emu"
typedef struct ImageHead { /* a shared object follows */
    char magic[8];
    uint64_t bytes;
} ImageHead;

/* build.c: compiles as CudaDriver.build. */
bool emu_build(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st);
bool emu_compiler(const CudaDriver *d, Text *key, char file[CUDA_PATH], Status *st); /* as CudaDriver.compiler */
bool emu_compiles(Status *st);                                                       /* there is a compiler */
extern const char emu_device_side[];                                                 /* the text of device_side.h */

/* files.c: this process' own folder, made when it is first needed; it goes when the process ends. */
#define EMU_PATH 300
/* What this process compiled, in that folder, as CudaDriver.store. */
struct CodeStore *emu_store(void);
/* Makes a new file there, whose name begins so; its descriptor, or -1: errno says why. */
int emu_temporary(char path[EMU_PATH], const char *name);
bool emu_write(int fd, const char *at, size_t n);
/* Appends what a file holds. False: it cannot be read. */
bool emu_read(Text *out, const char *path);

#endif
