/* dump: KILN_DUMP=ir,passes,program,llvm,asm,cuda,ptx writes what each stage of a compile produced, one file each, into KILN_DUMP_DIR. */
#include "function.h"

#include <stdatomic.h>
#include <stdio.h>

bool dump_wants(const char *stage)
{
    const char *want = getenv("KILN_DUMP");
    size_t n = strlen(stage);
    while (want && *want) {
        size_t len = strcspn(want, ",");
        if (len == n && !memcmp(want, stage, n))
            return true;
        want += len + (want[len] == ',');
    }
    return false;
}

void dump_write(const char *function, const char *stage, const char *text, size_t len)
{
    static atomic_uint number;
    const char *dir = getenv("KILN_DUMP_DIR");
    char path[512];
    snprintf(path, sizeof path, "%s/%03u-%s.%s", dir && *dir ? dir : ".", atomic_fetch_add(&number, 1), function, stage);
    FILE *f = fopen(path, "wb");
    if (!f)
        return;
    fwrite(text, 1, len, f);
    fclose(f);
}
