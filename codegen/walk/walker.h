/* walker: the bytes of walker.c. They begin with where its functions are, counted from there, in the order in which walk.h names
 * them. Relies on nothing. */
#ifndef KILN_CODEGEN_WALK_WALKER_H
#define KILN_CODEGEN_WALK_WALKER_H

extern const char walker_bytes[], walker_end[];
#define WALKER_FUNCTIONS 5
#define WALKER_ALIGN 4096 /* code of some machines names places by their page */

#endif
