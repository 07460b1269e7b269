/* fuzz npy: any bytes as a .npy file, and any bytes as what follows a right beginning: an error, or a tensor whose elements can all be read,
 * and which comes back the same from a file written of it. */
#include "fuzz.h"

#include <kiln/io.h>

static void read_one(kiln *k, const char *path)
{
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_npy_read(k, path);
    if (!kiln_failed(k)) {
        if (!kiln_npy_write(x, path)) abort();
        kiln_tensor *y = kiln_npy_read(k, path);
        if (kiln_failed(k) || !fuzz_same(x, y)) abort();
    }
    kiln_clear(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[96], *copy = malloc(size + 10);
    kiln *k = fuzz_open();
    snprintf(path, sizeof path, "%s/input.npy", fuzz_folder());
    fuzz_write(path, data, size);
    read_one(k, path);
    /* The header ends at the first line's end. */
    const uint8_t *line = size != 0 ? memchr(data, '\n', size) : NULL;
    size_t n = line != NULL ? (size_t)(line - data) + 1 : size;
    memcpy(copy, "\x93NUMPY\x01\x00", 8);
    copy[8] = (char)(n & 255);
    copy[9] = (char)(n >> 8);
    if (size != 0) memcpy(copy + 10, data, size);
    fuzz_write(path, copy, size + 10);
    read_one(k, path);
    free(copy);
    if (kiln_close(k) != 0) abort();
    return 0;
}
