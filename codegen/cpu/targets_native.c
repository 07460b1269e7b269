/* targets_native: what the module that compiles for this process' own CPU starts of LLVM: the code generator of that instruction
 * set. Nothing here names another, so that the linker leaves the others out. targets_all.c stands in its place in the other module.
 */
#include "cpu.h"

#include <llvm-c/Target.h>

void targets_start(void)
{
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
}
