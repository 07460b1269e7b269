/* map: a hash map from 64-bit keys to 64-bit values with linear probing, and the hash of bytes.
 * Relies on base.h. Never leaves tombstones: removal shifts the run back. */
#include "base.h"

#define FIRST_CAP 16
#define LARGEST_CAP ((uint32_t)1 << 31)

uint64_t hash_kept = UINT64_MAX;

/* Key 0 marks an empty slot. The entry whose key is 0 lives beyond the table, in slot[cap]; its key
 * field then holds 1. */
static uint32_t home(const Map *m, uint64_t key) { return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> (64 - __builtin_ctz(m->cap))); }

static MapSlot *find(const Map *m, uint64_t key)
{
    if (m->cap == 0) return NULL;
    if (key == 0) return m->slot[m->cap].key != 0 ? &m->slot[m->cap] : NULL;
    uint32_t mask = m->cap - 1;
    for (uint32_t i = home(m, key); m->slot[i].key != 0; i = (i + 1) & mask)
        if (m->slot[i].key == key) return &m->slot[i];
    return NULL;
}

/* The key must be absent, and there must be room. */
static MapSlot *insert(Map *m, uint64_t key, uint64_t value)
{
    uint32_t i = m->cap;
    if (key != 0) {
        uint32_t mask = m->cap - 1;
        for (i = home(m, key); m->slot[i].key != 0; i = (i + 1) & mask) {
        }
    }
    m->slot[i] = (MapSlot){key != 0 ? key : 1, value};
    m->len++;
    return &m->slot[i];
}

static void free_slots(Map *m)
{
    if (!m->arena && m->slot) mem_free(m->slot, ((size_t)m->cap + 1) * sizeof *m->slot);
}

static bool grow(Map *m)
{
    Map bigger = {.arena = m->arena, .cap = m->cap != 0 ? 2 * m->cap : FIRST_CAP};
    /* A table that cannot grow asks for an impossible size, so that it fails as any exhaustion does. */
    size_t slots = m->cap < LARGEST_CAP ? (size_t)bigger.cap + 1 : SIZE_MAX;
    bigger.slot = m->arena ? arena_zeros(m->arena, slots, sizeof *m->slot) : mem_zeros(slots, sizeof *m->slot);
    if (!bigger.slot) return false;
    uint32_t at = 0;
    for (MapSlot s; map_next(m, &at, &s);) insert(&bigger, s.key, s.value);
    free_slots(m);
    *m = bigger;
    return true;
}

uint64_t *map_get(const Map *m, uint64_t key)
{
    MapSlot *s = find(m, key);
    return s ? &s->value : NULL;
}

uint64_t *map_put(Map *m, uint64_t key, uint64_t value)
{
    MapSlot *s = find(m, key);
    if (s) {
        s->value = value;
        return &s->value;
    }
    if (((uint64_t)m->len + 1) * 4 > (uint64_t)m->cap * 3 && !grow(m)) return NULL;
    return &insert(m, key, value)->value;
}

bool map_remove(Map *m, uint64_t key)
{
    MapSlot *s = find(m, key);
    if (!s) return false;
    m->len--;
    if (key == 0) {
        *s = (MapSlot){0};
        return true;
    }
    uint32_t mask = m->cap - 1, hole = (uint32_t)(s - m->slot);
    for (uint32_t i = (hole + 1) & mask; m->slot[i].key != 0; i = (i + 1) & mask) {
        uint32_t from_home = (i - home(m, m->slot[i].key)) & mask;
        if (from_home < ((i - hole) & mask)) continue;
        m->slot[hole] = m->slot[i];
        hole = i;
    }
    m->slot[hole] = (MapSlot){0};
    return true;
}

bool map_next(const Map *m, uint32_t *at, MapSlot *out)
{
    for (; *at < m->cap; ++*at) {
        if (m->slot[*at].key == 0) continue;
        *out = m->slot[(*at)++];
        return true;
    }
    if (m->cap == 0 || *at != m->cap || m->slot[m->cap].key == 0) return false;
    *out = (MapSlot){0, m->slot[(*at)++].value};
    return true;
}

void map_copy(Map *to, const Map *from, Arena *arena)
{
    *to = *from;
    to->arena = arena;
    if (from->slot) to->slot = arena_copy(arena, from->slot, ((size_t)from->cap + 1) * sizeof *from->slot);
}

void map_free(Map *m)
{
    free_slots(m);
    *m = (Map){.arena = m->arena};
}

uint64_t hash_bytes(uint64_t seed, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint64_t h = hash_mix(seed, bytes), word;
    for (; bytes >= sizeof word; bytes -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        h = hash_mix(h, word);
    }
    word = 0;
    if (bytes != 0) memcpy(&word, p, bytes);
    return hash_mix(h, word);
}
