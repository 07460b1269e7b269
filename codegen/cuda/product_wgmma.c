/* product_wgmma: what printed products of f16 and bf16 call on devices of compute capability 9.0 beside product_mma.c: four warps
 * multiply 64 rows at once, from shared memory (wgmma). Instructions of PTX stand in named functions, whose twins are in
 * codegen/emu/device_side.h. Relies on print.h. Never knows a program. */
#include "api.h"
#include "print.h"

/* clang-format off */
static const char functions[] =
    CUDA_OWN_LINE
    "#ifndef KILN_DEVICE_SIDE\n"
    "/* Shared memory that the launch asks for. */\n"
    "#define KILN_SHARED(bytes) alignas(1024) extern __shared__ unsigned char kiln_shared[]\n"
    "KILN_DEVICE u32 shared_at(const void *x) { return u32(__cvta_generic_to_shared(x)); }\n"
    "KILN_DEVICE void shared_written() { asm volatile(\"fence.proxy.async.shared::cta;\" ::: \"memory\"); }\n"
    "/* The compiler takes sums for made where they are named, so they are named again where they are. */\n"
    "template <int N> KILN_DEVICE void sums_named(f32 *sum)\n"
    "{\n"
    "    KILN_UNROLL for (int i = 0; i < N; i++) asm volatile(\"\" : \"+f\"(sum[i])::\"memory\");\n"
    "}\n"
    "template <int N> KILN_DEVICE void group_begin(f32 *sum)\n"
    "{\n"
    "    sums_named<N>(sum);\n"
    "    asm volatile(\"wgmma.fence.sync.aligned;\" ::: \"memory\");\n"
    "}\n"
    "KILN_DEVICE void group_commit() { asm volatile(\"wgmma.commit_group.sync.aligned;\" ::: \"memory\"); }\n"
    "template <int N> KILN_DEVICE void group_wait(f32 *sum)\n"
    "{\n"
    "    asm volatile(\"wgmma.wait_group.sync.aligned 0;\" ::: \"memory\");\n"
    "    sums_named<N>(sum);\n"
    "}\n"
    "/* c += a b, of 64 x 16 by 16 x N elements, in order after other such sums, some time before group_wait comes back; "
    "TURNED: an operand lies\n"
    "   along its rows. */\n"
    "template <int N, bool BRAIN, int A_TURNED, int B_TURNED> struct Wgmma;\n"
    "template <int N, bool BRAIN, int A_TURNED, int B_TURNED> KILN_DEVICE void wgmma(f32 *c, u64 a, u64 b)\n"
    "{\n"
    "    Wgmma<N, BRAIN, A_TURNED, B_TURNED>::add(c, a, b);\n"
    "}\n"
    "#endif\n";

static const char unit[] =
    "/* What a warpgroup, four warps, multiplies at once: 64 rows by N columns, from shared memory (PTX ISA, wgmma). An "
    "operand is told by a\n"
    "   descriptor: bits 0-13 are the address, 16-29 and 32-45 the two offsets below, each >> 4, 62-63 how pieces of 16 "
    "bytes change places: 1 in\n"
    "   lines of 128 bytes, 2 of 64, 3 of 32, always as Lines has them, whose pattern must begin at a multiple of 8 lines. "
    "Along k, the second\n"
    "   offset is that of the next 8 rows, and more of k lies further on in the line. Along the rows, it is that of the "
    "next 8 of k, and the first\n"
    "   one that of the next rows beyond a line. */\n"
    "template <typename L> KILN_DEVICE u64 matrix_in(const u16 *from, u32 row, u32 l)\n"
    "{\n"
    "    const u32 at = L::ALONG_K ? row * L::LINE + l : row / L::LINE * (L::LINES * L::LINE) + l * L::LINE;\n"
    "    return u64((shared_at(from + at) & 0x3ffff) >> 4) | u64(L::ALONG_K ? 1 : L::LINES * L::LINE * 2 >> 4) << 16 |\n"
    "           u64(8 * L::LINE * 2 >> 4) << 32 | u64(L::LINE == 64 ? 1 : L::LINE == 32 ? 2 : 3) << 62;\n"
    "}\n"
    "\n"
    "/* The unit of product_mma. Tensor cores read shared memory by a way of their own, the async proxy: who wrote there "
    "by the usual one says so\n"
    "   by a fence before the barrier. Sums are theirs from group_begin on\n"
    "   until group_wait; the next copies are asked for meanwhile. */\n"
    "template <int N, bool BRAIN> struct Group {\n"
    "    enum { PARTS = N > 32 ? N / 32 : 1, ASKS = true };\n"
    "    static KILN_DEVICE void written() { shared_written(); }\n"
    "    template <typename Left, typename Right, int R, int Q, int DEEP>\n"
    "    static KILN_DEVICE void step(f32 (*sum)[Q][4], const u16 *a, const u16 *b, u32 y, u32 x)\n"
    "    {\n"
    "        static_assert(R == 1 && Q == N / 8, \"a warp has 16 rows of its group's 64\");\n"
    "        group_begin<N / 2>(&sum[0][0][0]);\n"
    "        KILN_UNROLL for (u32 l = 0; l < DEEP; l += 16)\n"
    "            wgmma<N, BRAIN, !Left::ALONG_K, !Right::ALONG_K>(&sum[0][0][0], matrix_in<Left>(a, y / 64 * 64, l), "
    "matrix_in<Right>(b, x, l));\n"
    "        group_commit();\n"
    "    }\n"
    "    template <int R, int Q> static KILN_DEVICE void wait(f32 (*sum)[Q][4]) { group_wait<N / 2>(&sum[0][0][0]); }\n"
    "};\n"
    "\n";
/* clang-format on */

/* The instruction names each of the sums that a thread has, so there is a text for each number of columns. */
static void instruction(Text *out, uint32_t columns, bool brain)
{
    const uint32_t sums = columns / 2;
    const char *type = brain ? "bf16" : "f16";
    text_printf(out,
        "#ifndef KILN_DEVICE_SIDE\n"
        "template <int A, int B> struct Wgmma<%u, %s, A, B> {\n"
        "    static KILN_DEVICE void add(f32 *c, u64 a, u64 b)\n"
        "    {\n"
        "        asm volatile(\"wgmma.mma_async.sync.aligned.m64n%uk16.f32.%s.%s {",
        columns, brain ? "true" : "false", columns, type, type);
    for (uint32_t i = 0; i < sums; i++) text_printf(out, "%s%%%u", i ? "," : "", i);
    text_printf(out, "}, %%%u, %%%u, 1, 1, 1, %%%u, %%%u;\"\n            : ", sums, sums + 1, sums + 2, sums + 3);
    for (uint32_t i = 0; i < sums; i++) text_printf(out, "%s\"+f\"(c[%u])", i ? ", " : "", i);
    text_printf(out, " : \"l\"(a), \"l\"(b), \"n\"(A), \"n\"(B));\n    }\n};\n#endif\n");
}

void cuda_wgmma_prelude(Text *out, const bool used[2][CUDA_GROUP_COLUMNS + 1], bool bulk)
{
    text_printf(out, "%s", functions);
    for (uint32_t brain = 0; brain < 2; brain++)
        for (uint32_t n = 0; n <= CUDA_GROUP_COLUMNS; n++)
            if (used[brain][n]) instruction(out, n, brain);
    text_printf(out, "%s", unit);
    if (bulk) cuda_bulk_prelude(out);
}
