/* embed: the walker's bytes, which the build makes of walker.c, as part of the library. The Makefile knows that this file depends
 * on them, and where they are. Relies on the assembler. */
#include "walker.h"

/* clang-format off */
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        ".globl walker_bytes\n"
        ".hidden walker_bytes\n"
        "walker_bytes:\n"
        ".incbin \"walker.bin\"\n"
        ".globl walker_end\n"
        ".hidden walker_end\n"
        "walker_end:\n"
        ".popsection\n");
/* clang-format on */
