/* oom_pieces: test_oom with arenas whose every piece is an allocation of its own: not only each block but each piece may fail. */
#define FIRST_BLOCK ((size_t)32)
#define LARGEST_BLOCK ((size_t)32)
#include "runtime/arena.c"

#include "test_oom.c"
