/* targets_native: what the module that compiles for this process' own CPU starts of LLVM: the code generator of that instruction
 * set. Nothing here names another, so that the linker leaves the others out. targets_all.c stands in its place in the other module.
 */
#define _GNU_SOURCE /* dladdr */
#include "cpu.h"

#include <llvm-c/Support.h>
#include <llvm-c/Target.h>

#include <dlfcn.h>

/* Whether LLVM is in this module; else it is a library that others of the process may use, too. */
static bool llvm_is_ours(void)
{
    Dl_info here, there;
    return dladdr((void *)(uintptr_t)targets_start, &here) && dladdr((void *)(uintptr_t)LLVMGetVersion, &there) &&
           here.dli_fbase == there.dli_fbase;
}

/* Addresses are small sums of what registers hold, as they are emitted. LLVM's search for better ones takes a quarter to a third of
 * the time of compiling, and the code is as fast without (docs/design.md). It can only be left out for all users of an LLVM. */
static void leave_addresses(void)
{
    static const char *const args[] = {"kiln", "-disable-lsr"};
    if (llvm_is_ours()) LLVMParseCommandLineOptions(COUNT_OF(args), args, NULL);
}

void targets_start(void)
{
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    leave_addresses();
}
