/* fuzz safetensors: any bytes as a file of tensors, as they are and with their checksums made right, and as a checkpoint of variables. */
#include "fuzz.h"

#include "frontend/io/safetensors.h"
#include <kiln/io.h>

static void read_all(kiln *k, const char *path)
{
    KILN_SCOPE(k);
    kiln_safetensors *f = kiln_safetensors_open(k, path);
    for (int i = 0, n = f != NULL ? kiln_safetensors_count(f) : 0; i < n; i++) {
        const char *name = kiln_safetensors_name(f, i);
        if (kiln_safetensors_find(f, name) < 0) abort();
        kiln_safetensors_shape(f, i);
        kiln_safetensors_metadata(f, name);
        kiln_tensor *x = kiln_safetensors_read(f, i);
        if (!kiln_failed(k)) fuzz_touch(x);
        kiln_clear(k);
    }
    kiln_safetensors_close(f);
    kiln_clear(k);
}

static char *found(char *at, size_t n, const char *what)
{
    size_t len = strlen(what);
    for (size_t i = 0; i + len <= n; i++)
        if (memcmp(at + i, what, len) == 0) return at + i + len;
    return NULL;
}

/* The header's length and checksum, if it begins as Kiln's do. */
static void repair_header(char *at, size_t size)
{
    size_t begin = strlen(SAFE_BEGIN), n = 0;
    char digits[9];
    if (size < 8) return;
    for (int i = 8; i-- > 0;) n = n << 8 | (unsigned char)at[i];
    if (n > size - 8) {
        n = size - 8;
        for (int i = 0; i < 8; i++) at[i] = (char)((uint64_t)n >> 8 * i);
    }
    if (n < begin + 8 || memcmp(at + 8, SAFE_BEGIN, begin) != 0) return;
    memcpy(at + 8 + begin, "00000000", 8);
    snprintf(digits, sizeof digits, "%08x", safe_crc(at + 8, n));
    memcpy(at + 8 + begin, digits, 8);
}

/* Each tensor's checksum, as the reader says that it should be. */
static void repair_tensors(kiln *k, const char *path, char *at, size_t size)
{
    kiln_safetensors *f = kiln_safetensors_open(k, path);
    for (int i = 0, n = f != NULL ? kiln_safetensors_count(f) : 0; i < n; i++) {
        char key[300];
        kiln_clear(k);
        kiln_safetensors_read(f, i);
        const char *said = kiln_failed(k) ? strstr(kiln_error(k)->text, "its checksum is ") : NULL;
        snprintf(key, sizeof key, SAFE_CRC "%s\":\"", kiln_safetensors_name(f, i));
        char *to = said != NULL ? found(at, size, key) : NULL;
        if (to != NULL && to + 8 <= at + size) memcpy(to, said + strlen("its checksum is "), 8);
    }
    kiln_safetensors_close(f);
    kiln_clear(k);
}

static void restore(kiln *k)
{
    KILN_SCOPE(k);
    kiln_checkpoint *c = kiln_checkpoint_new(k, fuzz_folder(), 3);
    kiln_variable *v = kiln_variable_new(k, "w", kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 3))), *s = kiln_variable_new(k, "s", kiln_scalar(k, KILN_I64, 4));
    kiln_checkpoint_add(c, v);
    kiln_checkpoint_add(c, s);
    kiln_checkpoint_restore(c, 1);
    kiln_clear(k);
    kiln_checkpoint_latest(c);
    fuzz_touch(kiln_value(v));
    kiln_checkpoint_free(c);
    kiln_clear(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[96], *copy = malloc(size + 1);
    kiln *k = fuzz_open();
    memcpy(copy, data, size);
    snprintf(path, sizeof path, "%s/ckpt-1.safetensors", fuzz_folder());
    fuzz_write(path, copy, size);
    read_all(k, path);
    repair_header(copy, size);
    fuzz_write(path, copy, size);
    repair_tensors(k, path, copy, size);
    repair_header(copy, size);
    fuzz_write(path, copy, size);
    read_all(k, path);
    restore(k);
    free(copy);
    if (kiln_close(k) != 0) abort();
    return 0;
}
