/* embed: the text of device_side.h as part of the library, so that it is there wherever the library is. The Makefile knows that
 * this file depends on it. Relies on the assembler. */
#include "emulated.h"

/* clang-format off */
__asm__(".pushsection .rodata\n"
        ".globl emu_device_side\n"
        ".hidden emu_device_side\n"
        "emu_device_side:\n"
        ".incbin \"codegen/emu/device_side.h\"\n"
        ".byte 0\n"
        ".popsection\n");
/* clang-format on */
