/* Images: what code generation makes, laid out by ourselves: it holds no address, so two copies are the same bytes; no page of it can
 * be written and run at the same time; objects and blocks that are cut, have any byte flipped or ask for what nobody offers are errors,
 * never crashes. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "codegen/native/elf.h"
#include "codegen/native/map.h"
#include "kernel_make.h"

#define ENTRY "kiln_entry"

typedef struct Bytes { char *at; size_t len; } Bytes;

static void keep(void *user, const void *bytes, size_t len)
{
    Bytes *b = user;
    b->at = malloc(len);
    b->len = len;
    assert_non_null(b->at);
    memcpy(b->at, bytes, len);
}

/* y = fmod(x, 3) in f64, which calls libm; with a symbol, so that there is a `sizes`. */
static Bytes fmod_object(void)
{
    Make *m = make_new();
    Bytes b = {0};
    Status st = {0};
    Dim n = make_symbol(m, "n", 1, 64);
    const uint32_t buf[2] = {make_input(m, DT_f64), make_output(m, DT_f64)};
    for (int i = 0; i < 2; i++) m->p->buf.at[buf[i]].type = (Type){.dtype = DT_f64, .rank = 1, .dim = {n}};
    make_kernel(m, 1, (Dim[]){make_dim(m, n)}, -1, 0, 0, 1, 2);
    make_stage(m, false);
    int32_t x = make_load(m, make_stream(m, 0, DT_f64, 0, (Dim[]){1}, -1, -1));
    int32_t three = make_const(m, DT_f64, (Scalar){.f = 3});
    make_store(m, make_stream(m, 1, DT_f64, 0, (Dim[]){1}, -1, -1), make_prim(m, P_fmod, DT_f64, x, three, -1), 0);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
    if (!llvm_backend()->object(make_program(m), NULL, ENTRY, "kiln_sizes", NULL, 0, keep, &b, &st)) fail_msg("%s", st.text);
    make_free(m);
    return b;
}

static char *image(Bytes b, size_t *len, Status *st) { return image_of_object(b.at, b.len, ENTRY, "kiln_sizes", len, st); }

#define NEED_LOADER()                                                    \
    do {                                                                 \
        (void)state;                                                     \
        if (!llvm_backend() || !image_runs_here()) {                     \
            printf("skip: no LLVM module, or no loader for this CPU\n"); \
            skip();                                                      \
        }                                                                \
    } while (0)

/* The rights of the mapping that holds `at`, as /proc says. */
static bool rights_of(const void *at, char rights[5])
{
    FILE *f = fopen("/proc/self/maps", "r");
    bool found = false;
    for (char line[512]; f && !found && fgets(line, sizeof line, f);) {
        unsigned long from, to;
        found = sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 && (unsigned long)at >= from && (unsigned long)at < to;
    }
    if (f) fclose(f);
    return found;
}

static void runs_anywhere_and_holds_no_address(void **state)
{
    NEED_LOADER();
    Status st = {0};
    Bytes b = fmod_object();
    size_t len[2];
    char *block[2] = {image(b, &len[0], &st), image(b, &len[1], &st)}, rights[5];
    assert_true(block[0] && block[1] && len[0] == len[1]);
    Image m;
    Mapped at[2];
    assert_true(image_open(block[0], len[0], &m));
    assert_true(m.head->nimport == 1 && import_find("fmod") == m.import[0].which);
    for (int i = 0; i < 2; i++) {
        assert_true(image_open(block[i], len[i], &m) && image_map(&m, &at[i], &st));
        EntryFn *entry;
        SizesFn *sizes;
        *(void **)&entry = at[i].at + m.head->entry;
        *(void **)&sizes = at[i].at + m.head->sizes;
        double x[9] = {1, 2, 3, 4, 5, 6, 7, 8, 1000}, y[10] = {0};
        int64_t need[2] = {-1, -1};
        sizes((int64_t[]){9}, need);
        assert_true(need[0] == 0 && need[1] == 9);
        assert_int_equal(entry((void *[]){x, y}, (int64_t[]){9}, NULL, NULL), 0);
        for (int k = 0; k < 9; k++) assert_true(y[k] == fmod(x[k], 3));
        assert_true(y[9] == 0);
        if (rights_of(at[i].at, rights)) assert_string_equal(rights, "r-xp");
        if (rights_of(at[i].at + m.head->code, rights)) assert_string_equal(rights, "r--p");
    }
    assert_memory_equal(block[0], block[1], len[0]); /* running it left nothing there */
    for (int i = 0; i < 2; i++) {
        image_unmap(&at[i]);
        mem_free_aligned(block[i], len[i], IMAGE_ALIGN);
    }
    free(b.at);
}

static void functions_have_names(void **state)
{
    NEED_LOADER();
    Status st = {0};
    Bytes b = fmod_object();
    size_t len;
    char *block = image(b, &len, &st);
    Image m;
    bool entry = false, kernel = false;
    assert_true(block && image_open(block, len, &m));
    for (uint32_t i = 0; i < m.head->nsymbol; i++) {
        const char *name = m.names + m.symbol[i].name;
        entry |= strcmp(name, ENTRY) == 0 && m.symbol[i].at == m.head->entry && m.symbol[i].len > 0;
        kernel |= strncmp(name, "k0_", 3) == 0;
    }
    assert_true(entry && kernel);
    mem_free_aligned(block, len, IMAGE_ALIGN);
    free(b.at);
}

/* ---- what is wrong -------------------------------------------------------------------------------------- */

static char *find(Bytes b, const char *text)
{
    for (size_t i = 0; i + strlen(text) < b.len; i++)
        if (memcmp(b.at + i, text, strlen(text) + 1) == 0) return b.at + i;
    fail_msg("the object has no %s", text);
    return NULL;
}

static void expect(Bytes b, const char *says)
{
    Status st = {0};
    size_t len;
    assert_null(image(b, &len, &st));
    if (!strstr(st.text, says)) fail_msg("says: %s", st.text);
}

static void what_nobody_offers_is_named(void **state)
{
    NEED_LOADER();
    Bytes b = fmod_object();
    char *name = find(b, "fmod");
    name[2] = 'q';
    expect(b, "code needs fmqd, which is not among what it may call");
    name[2] = 'o';
    name = find(b, ENTRY);
    name[0] = 'x';
    expect(b, "the object has no function kiln_entry");
    name[0] = 'k';
    Elf64_Ehdr *head = (void *)b.at;
    head->e_machine = EM_S390;
    expect(b, "machine 22 cannot be loaded");
    head->e_machine = EM_X86_64;
    Elf64_Shdr *s = (void *)(b.at + head->e_shoff);
    uint32_t writable = 0, types = 0;
    for (uint32_t i = 0; i < head->e_shnum; i++) {
        if ((s[i].sh_flags & SHF_EXECINSTR) && s[i].sh_size != 0 && writable++ == 0) {
            s[i].sh_flags |= SHF_WRITE;
            expect(b, "memory to write to");
            s[i].sh_flags &= ~(Elf64_Xword)SHF_WRITE;
        }
        if (s[i].sh_type != SHT_RELA || s[i].sh_size == 0 || !(s[s[i].sh_info].sh_flags & SHF_ALLOC)) continue;
        Elf64_Rela *r = (void *)(b.at + s[i].sh_offset), was = r[0];
        if (s[s[i].sh_info].sh_type != SHT_PROGBITS) continue;
        r[0].r_info = ELF64_R_INFO(ELF64_R_SYM(was.r_info), R_X86_64_32);
        expect(b, "a relocation of type 10");
        r[0] = was;
        r[0].r_offset = s[s[i].sh_info].sh_size - 3;
        expect(b, "cannot be loaded");
        r[0].r_offset = UINT64_MAX;
        expect(b, "malformed");
        r[0] = was;
        types++;
    }
    assert_true(writable && types);
    free(b.at);
}

static void torn_objects_are_errors(void **state)
{
    NEED_LOADER();
    Bytes b = fmod_object();
    for (size_t n = 0; n < b.len; n++) { /* each in memory of its own, so that reads beyond it are seen */
        char *part = malloc(n + 1);
        Status st = {0};
        size_t len;
        memcpy(part, b.at, n);
        char *block = image_of_object(part, n, ENTRY, "kiln_sizes", &len, &st);
        if (block) mem_free_aligned(block, len, IMAGE_ALIGN);
        assert_true(block || st.code != ST_OK);
        free(part);
    }
    for (size_t i = 0; i < b.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            Status st = {0};
            Image m;
            size_t len;
            b.at[i] ^= (char)(1 << bit);
            char *block = image(b, &len, &st);
            assert_true(block || st.code != ST_OK);
            if (block) assert_true(image_open(block, len, &m)); /* whatever the code says, it stays within itself */
            if (block) mem_free_aligned(block, len, IMAGE_ALIGN);
            b.at[i] ^= (char)(1 << bit);
        }
    free(b.at);
}

/* What is opened says nothing that lies outside of it. */
static void expect_inside(const Image *m)
{
    const ImageHead *h = m->head;
    assert_true(h->entry < h->code && (h->sizes == IMAGE_NONE || h->sizes < h->code));
    for (uint32_t i = 0; i < h->nsymbol; i++)
        assert_true(m->symbol[i].at <= h->code && m->symbol[i].len <= h->code - m->symbol[i].at && m->symbol[i].name < h->names);
    for (uint32_t i = 0; i < h->nimport; i++) assert_true(m->import[i].at >= h->code && m->import[i].at + 8 <= h->bytes);
}

static void torn_blocks_are_refused(void **state)
{
    NEED_LOADER();
    Status st = {0};
    Bytes b = fmod_object();
    Image m;
    Mapped at;
    size_t len, refused = 0;
    char *block = image(b, &len, &st);
    assert_true(block && image_open(block, len, &m));
    const size_t lists = m.head->start;
    for (size_t n = 0; n < len; n += n < lists + 64 ? 1 : 509) {
        char *part = mem_alloc_aligned(n, IMAGE_ALIGN);
        memcpy(part, block, n);
        assert_false(image_open(part, n, &m));
        mem_free_aligned(part, n, IMAGE_ALIGN);
    }
    for (size_t i = 0; i < lists; i++)
        for (int bit = 0; bit < 8; bit++) {
            block[i] ^= (char)(1 << bit);
            if (!image_open(block, len, &m)) {
                refused++;
            } else {
                expect_inside(&m);
                if (image_map(&m, &at, &st)) image_unmap(&at); /* filling slots stays within the image */
            }
            status_clear(&st);
            block[i] ^= (char)(1 << bit);
        }
    assert_true(refused > 8 * sizeof(ImageHead) / 2);
    mem_free_aligned(block, len, IMAGE_ALIGN);
    free(b.at);
}

static void memory_may_run_out(void **state)
{
    NEED_LOADER();
    Bytes b = fmod_object();
    const int64_t before = memory_count().live_blocks;
    bool done = false;
    for (uint64_t n = 1; !done && n < 100; n++) {
        Status st = {0};
        size_t len;
        memory_fail_at(n, false);
        char *block = image(b, &len, &st);
        memory_fail_at(0, false);
        if (block) mem_free_aligned(block, len, IMAGE_ALIGN);
        done = block != NULL;
        assert_true(done || st.code == ST_MEMORY);
        assert_int_equal(memory_count().live_blocks, before);
    }
    assert_true(done);
    free(b.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_anywhere_and_holds_no_address), cmocka_unit_test(functions_have_names),
        cmocka_unit_test(what_nobody_offers_is_named), cmocka_unit_test(torn_objects_are_errors),
        cmocka_unit_test(torn_blocks_are_refused), cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
