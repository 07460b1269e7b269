/* launches: a device whose launches are noted: emu:0 by another table of functions, one line for each launch: the kernel, blocks,
 * threads of a block, and how many operands the kernel's text says that it has. It has no graphs. Relies on codegen/gpu.h and emu.h. */
#ifndef KILN_TESTS_LAUNCHES_H
#define KILN_TESTS_LAUNCHES_H

#include <stdbool.h>

/* Adds the device under the name "noted:0", once. False: there is no emulated device here. */
bool launches_device(void);
/* What was launched since the last call; stands until the next. Everything asked of the device must be done. */
const char *launches_noted(void);

#endif
