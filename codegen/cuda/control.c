/* control: the text of the kernels of control.h. Each is one block, but for the copy. Relies on control.h, print.h. */
#include "control.h"
#include "print.h"

const char *const control_name[CONTROLS] = {
    "graph_place", "graph_copy", "loop_turn", "loop_next", "loop_decide", "branch_choose", "graph_assert", "graph_check"};

/* An address that no map can begin at keeps its product from using it. */
static const char maps_text[] = "struct Moved {\n    i64 map, use, of, stride, base;\n};\n"
                                "KILN_DEVICE void move_maps(const u64 *table, const Moved *all, i64 n, i64 index, u32 threads)\n"
                                "{\n"
                                "    for (i64 i = threadIdx.x; i < n; i += threads) {\n"
                                "        const u64 at = table[all[i].of] + u64(index * all[i].stride + all[i].base);\n"
                                "        *(u64 *)all[i].use = KILN_MAPS_MOVE && at % 16 == 0 ? 1 : 0;\n"
                                "        if (KILN_MAPS_MOVE && at % 16 == 0) map_move((Map *)all[i].map, at);\n"
                                "    }\n"
                                "    maps_moved();\n"
                                "}\n\n";

/* The places from `from` on get n addresses; up to `to`, those of temporaries in the workspace, whose address follows. */
static const char place_text[] = "struct Places {\n    u64 at[%u];\n};\n"
                                 "#if defined(__CUDACC_VER_MAJOR__) && __CUDACC_VER_MAJOR__ >= 12\n"
                                 "#define KILN_IN_PLACE __grid_constant__\n" /* else it is copied to be indexed */
                                 "#else\n"
                                 "#define KILN_IN_PLACE\n"
                                 "#endif\n" CUDA_HEAD "graph_place(u64 *table, const i64 *offset, i64 *failed,\n"
                                 "    const u32 from, const u32 n, const u32 to, %sconst KILN_IN_PLACE Places places)\n"
                                 "{\n"
                                 "    for (u32 i = threadIdx.x; i < n; i += 256u) table[from + i] = places.at[i];\n"
                                 "    for (u32 i = from + n + threadIdx.x; i < to; i += 256u)\n"
                                 "        if (offset[i] >= 0) table[i] = places.at[n] + u64(offset[i]);\n"
                                 "    if (threadIdx.x == 0) *failed = 0;\n%s"
                                 "}\n\n";

static const char copy_text[] =
    "template <typename T> KILN_DEVICE void copy_as(u64 to, u64 from, i64 bytes)\n"
    "{\n"
    "    for (i64 i = i64(blockIdx.x) * 256 + threadIdx.x; i < bytes / i64(sizeof(T)); i += i64(gridDim.x) * 256)\n"
    "        ((T *)to)[i] = ((const T *)from)[i];\n"
    "}\n" CUDA_HEAD "graph_copy(const u64 *to, const u64 *from, const i64 bytes)\n"
    "{\n"
    "    const u64 all = *to | *from | u64(bytes);\n"
    "    if (all % 8 == 0) copy_as<u64>(*to, *from, bytes);\n"
    "    else if (all % 4 == 0) copy_as<u32>(*to, *from, bytes);\n"
    "    else copy_as<u8>(*to, *from, bytes);\n"
    "}\n\n";

static const char ways_text[] =
    "extern \"C\" __device__ void cudaGraphSetConditional(unsigned long long handle, unsigned int value);\n"
    "KILN_DEVICE i64 way_to_go(u64 at, i64 kind)\n"
    "{\n"
    "    if (kind == 1) return *(const u8 *)at;\n"
    "    if (kind == 2) return *(const u16 *)at;\n"
    "    if (kind == 4) return *(const u32 *)at;\n"
    "    if (kind == -1) return *(const i8 *)at;\n"
    "    if (kind == -2) return *(const i16 *)at;\n"
    "    if (kind == -4) return *(const i32 *)at;\n"
    "    const i64 x = *(const i64 *)at;\n"
    "    return kind == 8 && x < 0 ? 9223372036854775807ll : x;\n"
    "}\n\n";

/* All lanes know all; what one of them writes, the others have read before. */
static const char loop_text[] =
    "struct Loop {\n    i64 turn, trip, most, trip_at, index, count, selector, kind, back, code, slices, maps;\n};\n"
    "struct Slice {\n    i64 at, of, stride;\n};\n"
    "KILN_DEVICE void open_slices(u64 *table, const Loop *l, const Slice *slice, i64 index)\n"
    "{\n"
    "    for (i64 i = threadIdx.x; i < l->slices; i += 32)\n"
    "        table[slice[i].at] = table[slice[i].of] + u64(index * slice[i].stride);\n%s"
    "}\n\n";

static const char turn_text[] =
    CUDA_HEAD "loop_turn(u64 *table, Loop *l, const Slice *slice, const i64 *failed, const u64 handle, const u32 first)\n"
              "{\n"
              "    i64 turn = 0, trip = l->most;\n"
              "    if (first == 0) {\n"
              "        turn = l->turn + 1;\n"
              "        trip = l->trip;\n"
              "    } else if (l->trip_at >= 0) {\n"
              "        const i64 n = *(const i64 *)table[l->trip_at];\n"
              "        if (trip < 0 || n < trip) trip = n;\n"
              "    }\n"
              "    const bool on = turn < trip && *failed == 0;\n"
              "    const i64 index = l->back != 0 ? trip - 1 - turn : turn;\n"
              "    if (on) open_slices(table, l, slice, index);\n"
              "    __syncwarp();\n"
              "    if (threadIdx.x != 0) return;\n"
              "    l->turn = turn;\n"
              "    l->trip = trip;\n"
              "    if (on && l->index >= 0) *(i64 *)table[l->index] = index;\n"
              "    cudaGraphSetConditional(handle, on ? 1u : 0u);\n"
              "}\n\n";

static const char while_text[] =
    CUDA_HEAD "loop_next(const u64 *table, Loop *l, const u32 first)\n"
              "{\n"
              "    if (threadIdx.x != 0) return;\n"
              "    l->turn = first != 0 ? 0 : l->turn + 1;\n"
              "    if (l->index >= 0) *(i64 *)table[l->index] = l->turn;\n"
              "}\n" CUDA_HEAD "loop_decide(u64 *table, const Loop *l, const Slice *slice, i64 *failed, const u64 handle)\n"
              "{\n"
              "    const bool whole = *failed == 0, more = way_to_go(table[l->selector], l->kind) != 0;\n"
              "    const bool over = l->most >= 0 && l->turn >= l->most, on = whole && more && !over;\n"
              "    if (on) open_slices(table, l, slice, l->turn);\n"
              "    __syncwarp();\n"
              "    if (threadIdx.x != 0) return;\n"
              "    if (whole && !more && l->count >= 0) *(i64 *)table[l->count] = l->turn;\n"
              "    if (whole && more && over) *failed = l->code;\n"
              "    cudaGraphSetConditional(handle, on ? 1u : 0u);\n"
              "}\n\n";

static const char choose_text[] =
    CUDA_HEAD "branch_choose(const u64 *selector, const i64 kind, const i64 n, const u64 *handle)\n"
              "{\n"
              "    const i64 x = way_to_go(*selector, kind), way = x < 0 ? 0 : x < n ? x : n - 1;\n"
              "    for (i64 i = threadIdx.x; i < n; i += 32) cudaGraphSetConditional(handle[i], i == way ? 1u : 0u);\n"
              "}\n\n";

/* The first assertion that does not hold is kept; what comes after a check does not run then. */
static const char assert_text[] =
    CUDA_HEAD "graph_assert(const u64 *holds, const i64 n, i64 *failed, const i64 code)\n"
              "{\n"
              "    u32 fails = 0;\n"
              "    for (i64 i = threadIdx.x; i < n; i += 32) fails |= ((const u8 *)*holds)[i] == 0 ? 1u : 0u;\n"
              "    for (u32 by = 16; by > 0; by /= 2) fails |= from_below(fails, by);\n"
              "    if (threadIdx.x == 0 && fails != 0 && *failed == 0) *failed = code;\n"
              "}\n" CUDA_HEAD "graph_check(const i64 *failed, const u64 handle)\n"
              "{\n"
              "    if (threadIdx.x == 0) cudaGraphSetConditional(handle, *failed == 0 ? 1u : 0u);\n"
              "}\n\n";

static void needs_of(const Step *s, uint32_t n, bool needs[CONTROLS])
{
    for (uint32_t i = 0; i < n; i++) {
        needs[C_COPY] |= s[i].kind == STEP_COPY;
        needs[C_CHOOSE] |= s[i].kind == STEP_BRANCH;
        if (s[i].kind == STEP_EFFECT) needs[C_ASSERT] = needs[C_CHECK] = true;
        if (s[i].kind == STEP_LOOP && s[i].selector == UINT32_MAX) needs[C_TURN] = true;
        if (s[i].kind == STEP_LOOP && s[i].selector != UINT32_MAX) needs[C_NEXT] = needs[C_DECIDE] = true;
        for (uint32_t k = 0; k < s[i].nblock; k++) needs_of(s[i].block[k].step, s[i].block[k].n, needs);
    }
}

void control_needs(const Program *p, bool needs[CONTROLS])
{
    memset(needs, 0, CONTROLS * sizeof *needs);
    needs[C_PLACE] = true;
    needs_of(p->step, p->nstep, needs);
}

void control_text(const Program *p, bool maps, Text *out)
{
    static const char in_place[] = "    __syncthreads();\n    if (to != 0) move_maps(table, moved, maps, 0, 256);\n";
    static const char in_turn[] =
        "    if (l->maps > 0) move_maps(table, (const Moved *)(slice + l->slices), l->maps, index, 32);\n";
    bool needs[CONTROLS];
    control_needs(p, needs);
    if (maps) text_printf(out, "%s", maps_text);
    text_printf(out, place_text, control_places(p), maps ? "const Moved *moved, const u32 maps, " : "", maps ? in_place : "");
    if (needs[C_COPY]) text_printf(out, "%s", copy_text);
    if (control_turns(needs)) text_printf(out, "%s", ways_text);
    if (needs[C_TURN] || needs[C_DECIDE]) text_printf(out, loop_text, maps ? in_turn : "");
    if (needs[C_TURN]) text_printf(out, "%s", turn_text);
    if (needs[C_DECIDE]) text_printf(out, "%s", while_text);
    if (needs[C_CHOOSE]) text_printf(out, "%s", choose_text);
    if (needs[C_CHECK]) text_printf(out, "%s", assert_text);
}
