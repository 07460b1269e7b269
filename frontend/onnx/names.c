/* names: see names.h. */
#include "names.h"

static uint64_t hash(Bytes b)
{
    uint64_t h = 0x51ed270b;
    for (size_t i = 0; i < b.n; i++) h = hash_mix(h, b.at[i]);
    return h;
}

static bool find(const Names *n, Bytes name, uint64_t *key)
{
    const uint64_t *at;
    for (*key = hash(name); (at = map_get(&n->at, *key)); ++*key)
        if (bytes_equal(n->name.at[*at], name)) return true;
    return false;
}

bool names_have(const Names *n, Bytes name)
{
    uint64_t key;
    for (; n; n = n->outer)
        if (find(n, name, &key)) return true;
    return false;
}

void names_room(Names *n, uint32_t names)
{
    n->name.at = ARENA_ARRAY(n->arena, Bytes, names);
    n->name.cap = names;
}

bool names_add(Names *n, Bytes name)
{
    uint64_t key;
    if (names_have(n, name)) return false;
    find(n, name, &key);
    n->at.arena = n->arena;
    map_put(&n->at, key, n->name.len);
    *VEC_PUSH(n->arena, &n->name) = name;
    return true;
}

uint32_t names_number(const Names *n, Bytes name)
{
    uint64_t key;
    return find(n, name, &key) ? (uint32_t)*map_get(&n->at, key) : UINT32_MAX;
}
