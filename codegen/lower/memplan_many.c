/* memplan_many: places thousands of temporaries in order of time, which takes time proportional to their number. The workspace is a
 * row of blocks. A value takes a free block that is large enough, or the end of the row; after its last use the block is free again
 * and joined with free neighbours. Free blocks are kept in size classes, eight to a power of two (two-level segregated fit: Masmano
 * et al. 2004), so that finding one takes a look at two words of bits. Relies on memplan.h. */
#include "memplan.h"

enum { STEPS = 8, CLASSES = 64 * STEPS };
#define NONE UINT32_MAX

typedef struct Room {
    int64_t at, bytes;
    bool free;
    uint32_t before, after; /* in the row */
    uint32_t left, right;   /* among the free ones of its class */
} Room;

typedef struct Row {
    Arena *arena;
    VEC(Room) room;
    uint32_t last;
    uint32_t head[CLASSES];
    uint64_t full[CLASSES / 64]; /* classes that have a block */
} Row;

/* The class of the sizes from its least upward. */
static uint32_t class_of(int64_t bytes)
{
    uint64_t units = (uint64_t)bytes / PLAN_ALIGN;
    if (units < STEPS) return (uint32_t)units;
    uint32_t top = 63u - (uint32_t)__builtin_clzll(units);
    return (top - 2) * STEPS + (uint32_t)(units >> (top - 3)) - STEPS;
}

static void unlink_free(Row *r, uint32_t i)
{
    Room *x = &r->room.at[i];
    uint32_t c = class_of(x->bytes);
    *(x->left != NONE ? &r->room.at[x->left].right : &r->head[c]) = x->right;
    if (x->right != NONE) r->room.at[x->right].left = x->left;
    if (r->head[c] == NONE) r->full[c / 64] &= ~((uint64_t)1 << c % 64);
    x->free = false;
}

static void link_free(Row *r, uint32_t i)
{
    Room *x = &r->room.at[i];
    uint32_t c = class_of(x->bytes);
    x->free = true;
    x->left = NONE;
    x->right = r->head[c];
    if (x->right != NONE) r->room.at[x->right].left = i;
    r->head[c] = i;
    r->full[c / 64] |= (uint64_t)1 << c % 64;
}

/* A class whose blocks are all large enough; CLASSES if every such class is empty. */
static uint32_t class_with(const Row *r, int64_t bytes)
{
    uint32_t c = class_of(bytes);
    while (c < CLASSES) {
        uint64_t left = r->full[c / 64] >> c % 64;
        if (left == 0) {
            c = (c / 64 + 1) * 64;
            continue;
        }
        c += (uint32_t)__builtin_ctzll(left);
        if (r->room.at[r->head[c]].bytes >= bytes) return c;
        c++; /* the first block in the class of `bytes` itself may be too small */
    }
    return CLASSES;
}

static uint32_t insert_after(Row *r, uint32_t i, int64_t at, int64_t bytes)
{
    uint32_t next = i != NONE ? r->room.at[i].after : NONE, x = r->room.len;
    *VEC_PUSH(r->arena, &r->room) = (Room){.at = at, .bytes = bytes, .before = i, .after = next};
    if (i != NONE) r->room.at[i].after = x;
    if (next != NONE) r->room.at[next].before = x;
    if (r->last == i) r->last = x;
    return x;
}

static uint32_t take(Row *r, int64_t bytes)
{
    uint32_t c = class_with(r, bytes);
    if (c < CLASSES) {
        uint32_t i = r->head[c];
        unlink_free(r, i);
        int64_t rest = r->room.at[i].bytes - bytes;
        r->room.at[i].bytes = bytes;
        if (rest != 0) link_free(r, insert_after(r, i, r->room.at[i].at + bytes, rest));
        return i;
    }
    if (r->last != NONE && r->room.at[r->last].free) { /* the row's end grows */
        unlink_free(r, r->last);
        r->room.at[r->last].bytes = bytes;
        return r->last;
    }
    return insert_after(r, r->last, r->last != NONE ? r->room.at[r->last].at + r->room.at[r->last].bytes : 0, bytes);
}

/* Block i takes over the room of the block after it, which is then unused. */
static void join_next(Row *r, uint32_t i)
{
    Room *x = &r->room.at[i], *next = &r->room.at[x->after];
    if (r->last == x->after) r->last = i;
    x->bytes += next->bytes;
    x->after = next->after;
    if (x->after != NONE) r->room.at[x->after].before = i;
}

static void give(Row *r, uint32_t i)
{
    uint32_t after = r->room.at[i].after, before = r->room.at[i].before;
    if (after != NONE && r->room.at[after].free) {
        unlink_free(r, after);
        join_next(r, i);
    }
    if (before != NONE && r->room.at[before].free) {
        unlink_free(r, before);
        join_next(r, before);
        i = before;
    }
    link_free(r, i);
}

static bool earlier(const Buf *a, const Buf *b) { return a->first != b->first ? a->first < b->first : a->bytes > b->bytes; }

static bool ends_earlier(const Buf *a, const Buf *b) { return a->last < b->last; }

void plan_many(Plan *plan)
{
    Row row = {.arena = plan->scratch, .last = NONE};
    const Program *p = plan->p;
    uint32_t *ending = arena_copy(plan->scratch, plan->order, plan->n * sizeof *ending), ended = 0;
    uint32_t *room = ARENA_ARRAY(plan->scratch, uint32_t, p->buf.len + 1);
    memset(row.head, 0xff, sizeof row.head);
    plan_sort(plan, plan->order, earlier);
    plan_sort(plan, ending, ends_earlier);
    for (uint32_t i = 0; i < plan->n; i++) {
        Buf *b = &p->buf.at[plan->order[i]];
        for (; p->buf.at[ending[ended]].last < b->first && b->first != UINT32_MAX; ended++)
            if (p->buf.at[ending[ended]].bytes != 0 && p->buf.at[ending[ended]].first != UINT32_MAX)
                give(&row, room[ending[ended]]);
        if (b->bytes == 0 || b->first == UINT32_MAX) continue; /* nobody reads or writes it */
        room[plan->order[i]] = take(&row, plan_aligned(b->bytes));
        b->offset = row.room.at[room[plan->order[i]]].at;
    }
}
