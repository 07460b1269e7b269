/* targets_all: what the module that compiles for other machines starts of LLVM: all of its code generators. targets_native.c stands
 * in its place in the module that is loaded for this one. */
#include "cpu.h"

#include <llvm-c/Target.h>

void targets_start(void)
{
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
}
