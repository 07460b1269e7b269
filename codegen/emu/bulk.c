/* bulk: see bulk.h. What a copy brings is nothing before the phase of its barrier is over, and that comes as late as can be: when a
 * thread waits for it. Bounds and races are judged when the copy is asked for, and again when it arrives. Relies on crew.h. */
#include "crew.h"

#include <stdio.h>

#define MAGIC 0x70616d2d6e6c696bu

static const char PHASE[] = "an mbarrier";

/* ---- maps --------------------------------------------------------------------------------------------------------- */
/* Bytes of an element of the types of CUDA 12, in their order. */
static const uint8_t type_bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};

static bool axes_fit(
    uint32_t rank, uint32_t bytes, const uint64_t *extent, const uint64_t *stride, const uint32_t *box, const uint32_t *step)
{
    bool ok = true;
    for (uint32_t i = 0; i < rank; i++)
        ok = ok && extent[i] >= 1 && extent[i] <= (uint64_t)1 << 32 && box[i] >= 1 && box[i] <= 256 && step[i] >= 1 && step[i] <= 8;
    for (uint32_t i = 0; ok && i + 1 < rank; i++)
        ok = stride[i] % 16 == 0 && stride[i] < (uint64_t)1 << 40 && stride[i] >= extent[0] * bytes;
    return ok;
}

CUresult emu_map_encode(CUtensorMap *map, int type, uint32_t rank, void *at, const uint64_t *extent, const uint64_t *stride,
    const uint32_t *box, const uint32_t *step, int interleave, int swizzle, int promotion, int fill)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    const uint32_t bytes = type >= 0 && type < (int)COUNT_OF(type_bytes) ? type_bytes[type] : 0;
    if ((uintptr_t)map % 64 != 0 || (uintptr_t)at % 16 != 0 || bytes == 0 || rank < 1 || rank > EMU_AXES ||
        !axes_fit(rank, bytes, extent, stride, box, step) || interleave < 0 || interleave > 2 || swizzle < 0 || swizzle > 3 ||
        promotion < 0 || promotion > 3 || fill < 0 || fill > 1 || box[0] * bytes % 16 != 0 ||
        (swizzle != 0 && box[0] * bytes > 16u << swizzle))
        return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    bool known = interleave == 0 && fill == 0;
    for (uint32_t i = 0; i < rank; i++) known = known && step[i] == 1;
    if (!known) return emu_leave(e, CUDA_ERROR_NOT_SUPPORTED);
    EmuMap m = {.magic = MAGIC, .address = (uint64_t)(uintptr_t)at, .rank = (uint8_t)rank, .bytes = (uint8_t)bytes};
    m.swizzle = (uint8_t)swizzle;
    for (uint32_t i = 0; i < rank; i++) {
        m.last[i] = (uint32_t)(extent[i] - 1);
        m.box[i] = (uint8_t)(box[i] - 1);
        if (i > 0) m.stride[i - 1] = stride[i - 1];
    }
    _Static_assert(sizeof m <= sizeof *map, "a map is 128 bytes");
    memset(map, 0xe7, sizeof *map);
    memcpy(map, &m, sizeof m);
    return emu_leave(e, 0);
}

static bool in_memory(const Crew *c, const void *at)
{
    return (size_t)((const char *)at - c->emu->heap.handle) < c->emu->heap.space;
}

static void touch(Crew *c, const void *at, uint32_t bytes, unsigned how)
{
    const CUresult wrong = watch_access(c->emu, &c->watch, c->f, c->self, at, bytes, how);
    if (wrong != 0) crew_fail(c, wrong);
}

/* The map that lies there; how: what the thread does with it. */
static EmuMap *map_at(Crew *c, const void *at, unsigned how)
{
    if ((uintptr_t)at % 64 != 0) crew_calls.misuse(c, "uses a tensor map that lies at no multiple of 64 bytes");
    if (in_memory(c, at)) touch(c, at, sizeof(CUtensorMap), how);
    EmuMap *m = crew_real(c, at);
    if (m->magic != MAGIC) crew_calls.misuse(c, "uses a tensor map that nobody has encoded");
    return m;
}

void bulk_map(void *self, void *at, unsigned long long address)
{
    Crew *c = self;
    Bulk *b = &c->bulk;
    EmuMap *m = map_at(c, at, EMU_WRITE);
    if (!in_memory(c, at)) crew_calls.misuse(c, "replaces the address of a tensor map that lies in no global memory");
    if (address % 16 != 0) crew_calls.misuse(c, "gives a tensor map an address that is no multiple of 16");
    if (b->nmoved == EMU_MAPS) crew_calls.misuse(c, "replaces more addresses than an emulated device remembers");
    m->address = address;
    m->moved = 1;
    b->moved[b->nmoved++] = (EmuMapUse){at, c->self};
}

void bulk_map_fence(void *self, const void *map)
{
    Crew *c = self;
    Bulk *b = &c->bulk;
    uint32_t n = 0;
    if (map) {
        map_at(c, map, 0);
        if (b->ntaken == EMU_MAPS) crew_calls.misuse(c, "takes more tensor maps than an emulated device remembers");
        b->taken[b->ntaken++] = (EmuMapUse){map, c->self};
        return;
    }
    for (uint32_t i = 0; i < b->nmoved; i++) {
        if (b->moved[i].thread == c->self)
            map_at(c, b->moved[i].map, 0)->moved = 0;
        else
            b->moved[n++] = b->moved[i];
    }
    b->nmoved = n;
}

/* ---- barriers ----------------------------------------------------------------------------------------------------- */
static EmuBarrier *barrier_known(Crew *c, const void *at)
{
    EmuBarrier *b = c->bulk.barrier, *end = b + c->bulk.nbarrier;
    while (b < end && b->at != at) b++;
    return b < end ? b : NULL;
}

static EmuBarrier *barrier_of(Crew *c, const void *at)
{
    EmuBarrier *b = barrier_known(c, at);
    if (!b) crew_calls.misuse(c, "uses an mbarrier that nobody has made");
    touch(c, at, 8, EMU_WRITE | EMU_ATOMIC);
    return b;
}

void bulk_make(void *self, void *at, unsigned count)
{
    Crew *c = self;
    if ((uintptr_t)at % 8 != 0 || (size_t)((char *)at - c->f->module->shared) >= c->f->module->shared_bytes)
        crew_calls.misuse(c, "makes an mbarrier that lies at no multiple of 8 bytes, or not in shared memory");
    if (barrier_known(c, at)) crew_calls.misuse(c, "makes an mbarrier again");
    if (c->bulk.nbarrier == EMU_BARRIERS || count == 0)
        crew_calls.misuse(c, "makes more mbarriers than there are, or one of nobody");
    touch(c, at, 8, EMU_WRITE);
    c->bulk.barrier[c->bulk.nbarrier++] = (EmuBarrier){.at = at, .count = count, .left = count, .thread = c->self};
}

void bulk_made(void *self)
{
    Crew *c = self;
    for (uint32_t i = 0; i < c->bulk.nbarrier; i++) c->bulk.barrier[i].told |= c->bulk.barrier[i].thread == c->self;
}

void bulk_expect(void *self, void *at, unsigned bytes)
{
    Crew *c = self;
    EmuBarrier *b = barrier_of(c, at);
    if (b->left == 0) crew_calls.misuse(c, "arrives at an mbarrier once more than it counts");
    b->left--;
    b->bytes += bytes;
}

/* ---- copies ------------------------------------------------------------------------------------------------------- */
static uint32_t line_bytes(const EmuMap *m) { return (m->box[0] + 1u) * m->bytes; }

static uint32_t lines_of(const EmuMap *m)
{
    uint32_t n = 1;
    for (uint32_t i = 1; i < m->rank; i++) n *= m->box[i] + 1u;
    return n;
}

static uint32_t bytes_of(const EmuMap *m) { return lines_of(m) * line_bytes(m); }

/* Where line i of the box lies in memory, and how many of its bytes from `skip` on are there. */
static uint64_t line_at(const EmuBox *x, uint32_t i, uint32_t *skip, uint32_t *bytes)
{
    const EmuMap *m = &x->map;
    const int64_t first = x->at[0], most = (int64_t)m->last[0] + 1, from = MAX_OF(first, (int64_t)0);
    const int64_t to = MIN_OF(first + m->box[0] + 1, most);
    uint64_t at = m->address + (uint64_t)from * m->bytes;
    bool there = from < to;
    for (uint32_t a = 1; a < m->rank; a++) {
        const int64_t place = (int64_t)x->at[a] + i % (m->box[a] + 1u);
        there = there && place >= 0 && place <= (int64_t)m->last[a];
        at += (uint64_t)place * m->stride[a - 1];
        i /= m->box[a] + 1u;
    }
    *skip = (uint32_t)(from - first) * m->bytes;
    *bytes = there ? (uint32_t)(to - from) * m->bytes : 0;
    return at;
}

/* Where 16 bytes go that would lie so far behind the module's shared memory. */
static size_t swizzled(const EmuMap *m, size_t at) { return m->swizzle == 0 ? at : at ^ (at >> 7 & ((1u << m->swizzle) - 1)) << 4; }

static CUresult line_arrives(Crew *c, const EmuBox *x, uint32_t i, uint32_t thread)
{
    uint8_t line[4096];
    uint32_t skip, bytes;
    const uint32_t n = line_bytes(&x->map);
    const uint64_t from = line_at(x, i, &skip, &bytes);
    memset(line, 0, n);
    if (bytes != 0) memcpy(line + skip, crew_real(c, (void *)(uintptr_t)from), bytes);
    for (uint32_t piece = 0; piece < n; piece += 16) {
        char *const to = c->f->module->shared + swizzled(&x->map, (size_t)(x->to - c->f->module->shared) + i * n + piece);
        const CUresult wrong = watch_access(c->emu, &c->watch, c->f, thread, to, 16, EMU_WRITE);
        if (wrong != 0) return wrong;
        memcpy(to, line + piece, 16);
    }
    return 0;
}

static bool sleeps(const Crew *c, const EmuBarrier *b, uint32_t t) { return c->waits[t] == PHASE && c->full[t] == b->at; }

/* All that was asked for at a barrier at which everybody has arrived. */
static CUresult arrive(Crew *c, EmuBarrier *b, uint32_t thread)
{
    Bulk *all = &c->bulk;
    uint32_t n = 0;
    CUresult wrong = 0;
    for (uint32_t k = 0; k < all->nbox; k++) {
        const EmuBox *x = &all->box[k];
        if (&all->barrier[x->barrier] != b) {
            all->box[n++] = *x;
            continue;
        }
        for (uint32_t i = 0; i < lines_of(&x->map) && wrong == 0; i++) wrong = line_arrives(c, x, i, thread);
        b->bytes -= bytes_of(&x->map);
    }
    all->nbox = n;
    if (wrong != 0 || b->bytes > 0) return wrong;
    if (b->bytes < 0) {
        snprintf(c->emu->fault, sizeof c->emu->fault, "%s: block %u: %lld bytes more arrive at an mbarrier than were expected",
            c->f->kernel->name, c->at.x, (long long)-b->bytes);
        return CUDA_ERROR_LAUNCH_FAILED;
    }
    b->phase++;
    b->left = b->count;
    for (uint32_t t = 0; t < c->threads; t++)
        if (sleeps(c, b, t)) crew_wake(c, t);
    return 0;
}

void bulk_wait(void *self, void *at, unsigned parity)
{
    Crew *c = self;
    EmuBarrier *b = barrier_of(c, at);
    while (b->phase % 2 == parity) {
        const CUresult wrong = b->left == 0 ? arrive(c, b, c->self) : 0;
        if (wrong != 0) crew_fail(c, wrong);
        if (b->phase % 2 != parity) continue;
        c->full[c->self] = at;
        crew_wait(c, PHASE);
    }
}

bool bulk_arrives(Crew *c)
{
    for (uint32_t i = 0; i < c->bulk.nbarrier; i++) {
        EmuBarrier *b = &c->bulk.barrier[i];
        uint32_t t = 0;
        while (t < c->threads && !sleeps(c, b, t)) t++;
        if (t == c->threads || b->left != 0) continue;
        c->result = arrive(c, b, t);
        if (c->result != 0 || c->nready > 0) return true;
    }
    return false;
}

static bool taken(const Crew *c, const void *map)
{
    for (uint32_t i = 0; i < c->bulk.ntaken; i++)
        if (c->bulk.taken[i].map == map && c->bulk.taken[i].thread == c->self) return true;
    return false;
}

/* The map as the copy finds it: by a way of its own, which sees what others wrote after fences alone. */
static EmuMap map_for(Crew *c, const void *at, unsigned rank)
{
    const EmuMap *m = map_at(c, at, 0);
    if (m->rank != rank) crew_calls.misuse(c, "copies by a tensor map that has another number of axes");
    if (m->moved) crew_calls.misuse(c, "copies by a tensor map whose change was not released by fence.proxy.tensormap");
    if (in_memory(c, at) && !taken(c, at))
        crew_calls.misuse(c, "copies by a tensor map in memory that no fence.proxy.tensormap has acquired");
    return *m;
}

void bulk_box(void *self, void *to, const void *map, void *barrier, const int *at, unsigned rank)
{
    Crew *c = self;
    Bulk *all = &c->bulk;
    const EmuBarrier *b = barrier_of(c, barrier);
    if (!b->told) crew_calls.misuse(c, "copies to an mbarrier with no fence.mbarrier_init after it was made");
    if (all->nbox == EMU_BOXES) crew_calls.misuse(c, "has more bulk copies under way than an emulated device remembers");
    EmuBox *x = &all->box[all->nbox];
    *x = (EmuBox){.map = map_for(c, map, rank), .to = to, .barrier = (uint32_t)(b - all->barrier)};
    for (uint32_t i = 0; i < rank; i++) x->at[i] = at[i];
    if ((uintptr_t)to % 128 != 0) crew_calls.misuse(c, "copies a box to where no multiple of 128 bytes is");
    if (c->nstale > 0 || c->wrote[c->self]) crew_calls.misuse(c, "copies over what was written with no fence.proxy.async");
    const uint32_t bytes = bytes_of(&x->map);
    for (uint32_t i = 0; i < lines_of(&x->map); i++) {
        uint32_t skip, there;
        const uint64_t from = line_at(x, i, &skip, &there);
        const uint32_t rest = there % 128, most = rest == 0 || rest > 16 ? 128 : x->map.bytes; /* few may lie anywhere */
        for (uint32_t k = 0; k < there; k += most) touch(c, (const void *)(uintptr_t)(from + k), MIN_OF(there - k, most), 0);
    }
    for (uint32_t k = 0; k < bytes; k += 16) touch(c, (char *)to + k, 16, EMU_WRITE | EMU_LATE);
    memset(to, 0xa5, bytes);
    all->nbox++;
    c->emu->boxes++;
}
