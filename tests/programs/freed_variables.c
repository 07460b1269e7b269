/* Layers made and freed again leave nothing behind: as much memory is in use after the last round as after the second. */
#include <kiln/kiln.h>
#include <kiln/nn.h>

int main(void)
{
    kiln *k = kiln_open(NULL);
    long long bytes[5];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4000; i++) kiln_dense_free(kiln_dense_new(k, 2, 2, NULL));
        bytes[round] = kiln_memory_count().live_bytes;
    }
    printf("%s\n", bytes[4] == bytes[1] ? "flat" : "growing");
    return kiln_close(k);
}
