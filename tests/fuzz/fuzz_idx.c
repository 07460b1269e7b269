/* fuzz idx: any bytes as an IDX file: an error or a tensor whose elements can all be read. */
#include "fuzz.h"

#include <kiln/data.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[96];
    kiln *k = fuzz_open();
    snprintf(path, sizeof path, "%s/input", fuzz_folder());
    fuzz_write(path, data, size);
    kiln_tensor *x = kiln_idx_read(k, path);
    if (!kiln_failed(k)) fuzz_touch(x);
    kiln_clear(k);
    if (kiln_close(k) != 0) abort();
    return 0;
}
