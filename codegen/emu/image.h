/* image: the form of what CudaDriver.build makes for emulated devices, and where files lie for a moment. Relies on base. */
#ifndef KILN_CODEGEN_EMU_IMAGE_H
#define KILN_CODEGEN_EMU_IMAGE_H

#include "../../runtime/base.h"

#define IMAGE_MAGIC "kiln-emu"
typedef struct ImageHead { /* a shared object follows */
    char magic[8];
    uint64_t bytes;
} ImageHead;

/* files.c: this process' own folder, made when it is first needed; it goes when the process ends. */
#define EMU_PATH 300
/* The path of a file there. False: there can be no folder, and errno says why. */
bool emu_path(char path[EMU_PATH], const char *name);
/* Makes a new file there, whose name begins so; its descriptor, or -1. */
int emu_temporary(char path[EMU_PATH], const char *name);
bool emu_write(int fd, const char *at, size_t n);
/* Appends what a file holds. False: it cannot be read. */
bool emu_read(Text *out, const char *path);

#endif
