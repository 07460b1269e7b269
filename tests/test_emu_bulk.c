/* test_emu_bulk: copies by tensor maps on emulated devices: which maps are refused, which bytes come where, and that each of what a
 * kernel must do for them (barriers, fences, bytes expected, waiting) is missed where it is not done. */
#include "emu_use.h"

enum { NOT_SUPPORTED = 801, SHARED = 8192 };
typedef TensorMapEncode Encode;

/* ---- which maps there are ----------------------------------------------------------------------------------------- */
typedef struct Asked {
    int type;
    uint32_t rank;
    uint64_t at, extent[5], stride[4];
    uint32_t box[5], step[5];
    int interleave, swizzle, promotion, fill;
} Asked;
static const Asked good = {1, 3, 1 << 20, {100, 70, 3}, {208, 14560}, {64, 16, 1}, {1, 1, 1, 1, 1}, 0, 3, 2, 0};

static CUresult ask(const CudaDriver *d, const Asked *a, CUtensorMap *map)
{
    return d->TensorMapEncodeTiled(map, a->type, a->rank, (void *)(uintptr_t)a->at, a->extent, a->stride, a->box, a->step, a->interleave, a->swizzle, a->promotion, a->fill);
}

#define REFUSED(change, result)                     \
    do {                                            \
        Asked a = good;                             \
        change;                                     \
        assert_int_equal(ask(d, &a, &map), result); \
    } while (0)

static void maps_are_refused(void **state)
{
    (void)state;
    const CudaDriver *d = emu_use(0);
    CUtensorMap map;
    union { /* for a map that lies at no multiple of 64 bytes */
        CUtensorMap map[2];
        char at[1];
    } odd;
    CUtensorMap *askew;
    void *at = odd.at + 32;
    memcpy(&askew, &at, sizeof at);
    REFUSED((void)a, 0);
    assert_int_equal(ask(d, &good, askew), INVALID);
    REFUSED(a.type = 13, INVALID);
    REFUSED(a.type = -1, INVALID);
    REFUSED(a.rank = 0, INVALID);
    REFUSED(a.rank = 6, INVALID);
    REFUSED(a.at += 8, INVALID);
    REFUSED(a.extent[1] = 0, INVALID);
    REFUSED(a.extent[2] = ((uint64_t)1 << 32) + 1, INVALID);
    REFUSED(a.stride[0] = 216, INVALID);
    REFUSED(a.stride[0] = 192, INVALID); /* lines overlap */
    REFUSED(a.stride[1] = (uint64_t)1 << 40, INVALID);
    REFUSED(a.box[1] = 257, INVALID);
    REFUSED(a.box[1] = 256, 0);
    REFUSED(a.box[0] = 0, INVALID);
    REFUSED(a.box[0] = 72, INVALID); /* a line of more than 128 bytes */
    REFUSED(a.swizzle = 2, INVALID);
    REFUSED((a.swizzle = 2, a.box[0] = 32), 0);
    REFUSED((a.swizzle = 1, a.box[0] = 24), INVALID);
    REFUSED((a.swizzle = 0, a.box[0] = 12), INVALID); /* no pieces of 16 bytes */
    REFUSED((a.swizzle = 0, a.box[0] = 256), 0);
    REFUSED(a.step[0] = 9, INVALID);
    REFUSED(a.step[0] = 2, NOT_SUPPORTED);
    REFUSED(a.swizzle = 4, INVALID);
    REFUSED(a.interleave = 3, INVALID);
    REFUSED(a.interleave = 1, NOT_SUPPORTED);
    REFUSED(a.promotion = 4, INVALID);
    REFUSED(a.fill = 2, INVALID);
    emu_fail(0, 1, 999);
    REFUSED((void)a, 999);
    emu_version(11080); /* CUDA 11 has no maps */
    assert_null(d->TensorMapEncodeTiled);
    emu_version(EMU_NEWEST);
}

/* ---- what a kernel does with them ----------------------------------------------------------------------------------- */
#define KERNEL "extern \"C\" __global__ void __launch_bounds__(64) "
#define BOX(rank) KERNEL "box" #rank "(const __grid_constant__ Map map, char *to, const int *at, int bytes, int shift)\n{\n    BODY(" #rank ", &map);\n}\n"
static const char source[] =
    "struct alignas(64) Map { unsigned long long opaque[16]; };\n"
    "#define T threadIdx.x\n"
    "#define BODY(rank, the_map) \\\n"
    "    alignas(1024) __shared__ char s[8192]; \\\n"
    "    __shared__ unsigned long long full[2]; \\\n"
    "    int place[5]; \\\n"
    "    for (int i = 0; i < 5; i++) place[i] = at[i]; \\\n"
    "    for (int i = T; i < 8192; i += 64) s[i] = 9; \\\n"
    "    shared_written(); \\\n"
    "    if (T == 0) { \\\n"
    "        barrier_make(full, 1); \\\n"
    "        barriers_made(); \\\n"
    "    } \\\n"
    "    __syncthreads(); \\\n"
    "    if (T == 0) { \\\n"
    "        barrier_expect(full, bytes); \\\n"
    "        copy_box<rank>(s + shift, the_map, full, place); \\\n"
    "    } \\\n"
    "    barrier_wait(full, 0); \\\n"
    "    __syncthreads(); \\\n"
    "    for (int i = T; i < 8192; i += 64) to[i] = s[i]\n"
    BOX(1)
    BOX(2)
    BOX(3)
    BOX(5)
    KERNEL "in_memory(const Map *map, char *to, const int *at, int bytes, int shift)\n"
    "{\n"
    "    if (T == 0) map_taken(map);\n"
    "    BODY(3, map);\n"
    "}\n"
    KERNEL "moves(Map *map, char *where)\n"
    "{\n"
    "    if (T == 0) {\n"
    "        map_move(map, (unsigned long long)where);\n"
    "        maps_moved();\n"
    "    }\n"
    "}\n"
    KERNEL "sends(const __grid_constant__ Map map, char *to, const int *at, int bytes, int shift)\n"
    "{\n" /* who asks does not wait, and the others do at once */
    "    alignas(1024) __shared__ char s[8192];\n"
    "    __shared__ unsigned long long full;\n"
    "    const int place[5] = {at[0], at[1], at[2]};\n"
    "    if (T == 32) {\n"
    "        barrier_make(&full, 2);\n"
    "        barriers_made();\n"
    "    }\n"
    "    __syncthreads();\n"
    "    if (T == 32) barrier_expect(&full, bytes);\n"
    "    if (T == 32) copy_box<3>(s, &map, &full, place);\n"
    "    if (T == 33) barrier_expect(&full, 0);\n"
    "    if (T < 32) barrier_wait(&full, 0);\n"
    "    __syncthreads();\n"
    "    if (T < 32) for (int i = T; i < bytes; i += 32) to[i] = s[i];\n"
    "}\n";

typedef struct Bench {
    const CudaDriver *d;
    CUmodule m;
    CUdeviceptr from, to, at, map;
    size_t bytes;
} Bench;

/* Of a source with one change (NULL: none). */
static Bench bench(const char *find, const char *by)
{
    Bench b = {.d = emu_use(0), .bytes = 1 << 15};
    Text text = {0};
    const char *at = find ? strstr(source, find) : source + strlen(source);
    if (!at) fail_msg("there is no '%s'", find);
    text_add(&text, source, (size_t)(at - source));
    if (find) text_printf(&text, "%s%s", by, at + strlen(find));
    b.m = emu_load(b.d, text.at);
    text_free(&text);
    b.from = emu_memory(b.d, b.bytes), b.to = emu_memory(b.d, SHARED), b.at = emu_memory(b.d, 5 * sizeof(int)), b.map = emu_memory(b.d, 128);
    uint16_t all[1 << 14];
    for (int i = 0; i < 1 << 14; i++) all[i] = (uint16_t)(i + 1);
    assert_int_equal(b.d->MemcpyHtoD(b.from, all, sizeof all), 0);
    return b;
}

static CUresult run(const Bench *b, const char *kernel, const CUtensorMap *map, const int *at, int bytes, int shift, char *out)
{
    CUfunction f;
    CUdeviceptr to = b->to, places = b->at, map_at = b->map;
    assert_int_equal(b->d->ModuleGetFunction(&f, b->m, kernel), 0);
    b->d->MemcpyHtoD(b->at, at, 5 * sizeof *at);
    const bool in_memory = strcmp(kernel, "in_memory") == 0;
    void *params[] = {in_memory ? (void *)&map_at : (void *)(uintptr_t)map, &to, &places, &bytes, &shift};
    b->d->LaunchKernel(f, 1, 1, 1, 64, 1, 1, 0, NULL, params, NULL);
    return b->d->MemcpyDtoH(out, b->to, SHARED);
}

static uint64_t element(const Asked *a, const int *at, uint32_t i)
{
    uint64_t where = 0;
    for (uint32_t x = 0; x < a->rank; i /= a->box[x++]) {
        const int64_t place = at[x] + (int64_t)(i % a->box[x]);
        if (place < 0 || place >= (int64_t)a->extent[x]) return 0;
        where += x == 0 ? (uint64_t)place : (uint64_t)place * a->stride[x - 1] / 2;
    }
    return where + 1;
}

static void boxes_are_copied(void **state)
{
    (void)state;
    static const struct {
        const char *kernel;
        Asked a;
        int at[5];
    } all[] = {
        {"box1", {1, 1, 0, {100}, {0}, {64}, {1}, 0, 0, 0, 0}, {40}},
        {"box2", {1, 2, 0, {72, 40}, {160}, {64, 32}, {1, 1}, 0, 3, 2, 0}, {0, 0}},
        {"box2", {6, 2, 0, {70, 40}, {160}, {32, 64}, {1, 1}, 0, 2, 2, 0}, {40, -5}},
        {"box2", {9, 2, 0, {72, 40}, {160}, {16, 20}, {1, 1}, 0, 1, 2, 0}, {-3, 30}},
        {"box2", {1, 2, 0, {72, 40}, {160}, {16, 20}, {1, 1}, 0, 0, 2, 0}, {80, 0}}, /* nothing is there */
        {"box3", {1, 3, 0, {24, 10, 4}, {48, 480}, {8, 4, 2}, {1, 1, 1}, 0, 0, 2, 0}, {9, 7, 1}},
        {"box5", {1, 5, 0, {16, 4, 3, 2, 2}, {64, 256, 768, 2048}, {8, 2, 2, 2, 2}, {1, 1, 1, 1, 1}, 0, 0, 2, 0}, {7, 1, 2, 0, 1}},
        {"sends", {1, 3, 0, {64, 8, 3}, {128, 1024}, {64, 8, 1}, {1, 1, 1}, 0, 3, 2, 0}, {0, 0, 2}},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        Bench b = bench(NULL, NULL);
        Asked a = all[i].a;
        CUtensorMap map;
        char got[SHARED];
        uint32_t n = 1;
        a.at = b.from;
        for (uint32_t x = 0; x < a.rank; x++) n *= a.box[x];
        assert_int_equal(ask(b.d, &a, &map), 0);
        if (run(&b, all[i].kernel, &map, all[i].at, (int)n * 2, 0, got) != 0) fail_msg("%zu: %s", i, emu_fault(0));
        for (uint32_t e = 0; e < n; e++) {
            const uint32_t place = e * 2 ^ (e * 2 >> 7 & ((1u << a.swizzle) - 1)) << 4;
            uint16_t have;
            memcpy(&have, got + place, sizeof have);
            if (have != element(&a, all[i].at, e)) fail_msg("%zu: element %u is %u, not %llu", i, e, have, (unsigned long long)element(&a, all[i].at, e));
        }
    }
    assert_true(emu_boxes(0) >= COUNT_OF(all));
}

static const int origin[5] = {0, 0, 0, 0, 0};
static const Asked plain = {1, 3, 0, {64, 8, 3}, {128, 1024}, {64, 8, 1}, {1, 1, 1, 1, 1}, 0, 3, 2, 0};
enum { PLAIN_BYTES = 1024 };

static void expect_fault(const char *what, CUresult r, const char *fault)
{
    if (r != FAILED && r != ILLEGAL) fail_msg("%s is not missed: %d", what, r);
    if (!strstr(emu_fault(0), fault)) fail_msg("%s: '%s' says nothing of '%s'", what, emu_fault(0), fault);
}

static void what_is_not_done_is_missed(void **state)
{
    (void)state;
    static const struct {
        const char *find, *by, *fault;
    } all[] = {
        {"        barrier_make(full, 1);", "", "that nobody has made"},
        {"        barriers_made();", "", "no fence.mbarrier_init"},
        {"    } \\\n    __syncthreads(); \\\n    if (T == 0) { \\\n        barrier_e", "    } \\\n    if (T == 0) { \\\n        barrier_e", "mbarrier"},
        {"        barrier_expect(full, bytes);", "", "for others that never come"},
        {"expect(full, bytes)", "expect(full, bytes - 16)", "16 bytes more arrive"},
        {"expect(full, bytes)", "expect(full, bytes + 16)", "for others that never come"},
        {"        barrier_expect(full, bytes);", "barrier_expect(full, bytes); barrier_expect(full, bytes);", "once more than it counts"},
        {"    barrier_wait(full, 0);", "", "which no thread of the block has written"},
        {"    barrier_wait(full, 0);", "    barrier_wait(full, 1);", "which no thread of the block has written"},
        {"    shared_written();", "", "no fence.proxy.async"},
        {"    barrier_wait(full, 0); \\\n    __syncthreads();", "    if (T == 0) barrier_wait(full, 0);", "nothing orders the two"},
        {"barrier_make(full, 1)", "barrier_make(full, 1), barrier_make(full, 1)", "again"},
        {"barrier_make(full, 1)", "barrier_make((char *)full + 4, 1)", "no multiple of 8"},
        {"copy_box<rank>", "copy_box<rank - 1>", "another number of axes"},
        {"s + shift", "s + shift + 64", "no multiple of 128"},
        {"barrier_wait(full, 0); \\\n    __syncthreads(); \\\n    for (int i = T; i < 8192; i += 64) to[i] = s[i]", "__syncthreads()", "ends while bulk copies"},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        const Bench b = bench(all[i].find, all[i].by);
        Asked a = plain;
        CUtensorMap map;
        char got[SHARED];
        a.at = b.from;
        assert_int_equal(ask(b.d, &a, &map), 0);
        expect_fault(all[i].find, run(&b, "box3", &map, origin, PLAIN_BYTES, 0, got), all[i].fault);
    }
}

/* Memory that is not there, or not any more, and what is no map. */
static void sources_are_judged(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        const Bench b = bench(NULL, NULL);
        Asked a = plain;
        CUtensorMap map;
        char got[SHARED];
        a.at = i == 0 ? b.from + b.bytes - 512 : b.from;
        assert_int_equal(ask(b.d, &a, &map), 0);
        if (i == 1) assert_int_equal(b.d->MemFree(b.from), 0);
        if (i == 2) memset(&map, 0, sizeof map);
        expect_fault("a source", run(&b, "box3", &map, origin, PLAIN_BYTES, 0, got), i == 2 ? "nobody has encoded" : "reads 128 bytes");
    }
}

/* A map in memory, whose address a kernel replaces. */
static void maps_in_memory_need_fences(void **state)
{
    (void)state;
    static const struct {
        const char *find, *by, *fault;
    } all[] = {
        {NULL, NULL, NULL},
        {"    if (T == 0) map_taken(map);", "", "has acquired"},
        {"    if (T == 0) map_taken", "    if (T == 1) map_taken", "has acquired"},
        {"        maps_moved();", "", "was not released"},
        {"(unsigned long long)where", "(unsigned long long)where + 2", "no multiple of 16"},
        {"    if (T == 0) {\n        map_move", "    {\n        map_move", "nothing orders the two"},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        const Bench b = bench(all[i].find, all[i].by);
        Asked a = plain;
        CUtensorMap map;
        CUfunction f;
        CUdeviceptr where = b.from + 2048, map_at = b.map;
        char got[SHARED];
        a.at = b.to; /* some address */
        assert_int_equal(ask(b.d, &a, &map), 0);
        assert_int_equal(b.d->MemcpyHtoD(b.map, &map, sizeof map), 0);
        assert_int_equal(b.d->ModuleGetFunction(&f, b.m, "moves"), 0);
        b.d->LaunchKernel(f, 1, 1, 1, 64, 1, 1, 0, NULL, (void *[]){&map_at, &where}, NULL);
        const CUresult r = run(&b, "in_memory", NULL, origin, PLAIN_BYTES, 0, got);
        if (all[i].fault) {
            expect_fault(all[i].find, r, all[i].fault);
            continue;
        }
        if (r != 0) fail_msg("%s", emu_fault(0));
        uint16_t first;
        memcpy(&first, got, sizeof first);
        assert_int_equal(first, 1024 + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_refused),
        cmocka_unit_test(boxes_are_copied),
        cmocka_unit_test(what_is_not_done_is_missed),
        cmocka_unit_test(sources_are_judged),
        cmocka_unit_test(maps_in_memory_need_fences),
    };
    EMU_TESTS(tests);
}
