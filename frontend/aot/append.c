/* append: see append.h. Nothing in the object moves: one section with the data follows it, then the tables that grow (symbols,
 * names, names of sections, sections), as copies. Indices of symbols and sections stay what they were. Relies on elf.h. */
#include "append.h"

#include <elf.h>
#include <string.h>

#define SECTION ".rodata.kiln"

_Static_assert(sizeof(Elf64_Ehdr) == APPEND_HEAD, "the head is ELF's");

bool append_fits(const char *triple)
{
    static const char *const machine[] = {"x86_64-", "aarch64-", "riscv64-", "powerpc64le-", "loongarch64-"};
    static const char *const other[] = {
        "windows", "apple", "darwin", "macos", "ios", "uefi", "x32", "ilp32", "coff", "macho", "wasm"};
    if (!triple) return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(void *) == 8;
    bool fits = false;
    for (size_t i = 0; i < COUNT_OF(machine); i++) fits |= strncmp(triple, machine[i], strlen(machine[i])) == 0;
    for (size_t i = 0; i < COUNT_OF(other); i++) fits &= !strstr(triple, other[i]);
    return fits && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

typedef struct Growing {
    Append *a;
    const uint8_t *object;
    size_t len, data, bytes; /* data: where it begins */
    Elf64_Ehdr head;
    Elf64_Shdr *section; /* one more than there are */
    uint32_t n;
} Growing;

static bool inside(const Growing *g, const Elf64_Shdr *s) { return s->sh_offset <= g->len && s->sh_size <= g->len - s->sh_offset; }

/* Where the tail has got to in the file. */
static size_t here(const Growing *g) { return g->data + g->bytes + g->a->tail.len; }

static void align(Growing *g, size_t to)
{
    static const char zeros[16];
    text_add(&g->a->tail, zeros, (to - here(g) % to) % to);
}

/* A copy of section i's bytes; more may follow. */
static void copy(Growing *g, uint32_t i)
{
    Elf64_Shdr *s = &g->section[i];
    align(g, 16);
    const size_t at = here(g);
    text_add(&g->a->tail, (const char *)g->object + s->sh_offset, s->sh_size);
    s->sh_offset = at;
}

static void add(Growing *g, uint32_t i, const void *at, size_t n)
{
    text_add(&g->a->tail, at, n);
    g->section[i].sh_size += n;
}

static bool tables(const Growing *g, uint32_t *symbols)
{
    *symbols = 0;
    for (uint32_t i = 0; i < g->n; i++)
        if (g->section[i].sh_type == SHT_SYMTAB) *symbols = i;
    const Elf64_Shdr *s = &g->section[*symbols], *names = &g->section[g->head.e_shstrndx];
    return *symbols != 0 && s->sh_link != 0 && s->sh_link < g->n && s->sh_entsize == sizeof(Elf64_Sym) && inside(g, s) &&
           inside(g, &g->section[s->sh_link]) && inside(g, names);
}

/* Names of sections may be among those of symbols. */
static void grow(Growing *g, uint32_t symbols)
{
    const uint32_t names = g->section[symbols].sh_link, titles = g->head.e_shstrndx;
    Elf64_Word name[APPEND_MOST] = {0};
    copy(g, names);
    for (int i = 0; i < APPEND_MOST; i++) {
        if (g->a->bytes[i] == 0) continue;
        name[i] = (Elf64_Word)g->section[names].sh_size;
        add(g, names, g->a->symbol[i], strlen(g->a->symbol[i]) + 1);
    }
    if (titles != names) copy(g, titles);
    Elf64_Shdr *data = &g->section[g->n];
    *data = (Elf64_Shdr){.sh_name = (Elf64_Word)g->section[titles].sh_size,
        .sh_type = SHT_PROGBITS,
        .sh_flags = SHF_ALLOC,
        .sh_offset = g->data,
        .sh_size = g->bytes,
        .sh_addralign = APPEND_ALIGN};
    add(g, titles, SECTION, sizeof SECTION);
    copy(g, symbols);
    uint64_t at = 0;
    for (int i = 0; i < APPEND_MOST; at += g->a->bytes[i++]) {
        const Elf64_Sym s = {.st_name = name[i],
            .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
            .st_shndx = (Elf64_Half)g->n,
            .st_value = at,
            .st_size = g->a->bytes[i]};
        if (g->a->bytes[i] != 0) add(g, symbols, &s, sizeof s);
    }
}

bool append_to(Append *a, const uint8_t *object, size_t len, Status *st)
{
    Growing g = {.a = a, .object = object, .len = len};
    uint32_t symbols = 0;
    if (len < sizeof g.head) return status_fail(st, ST_INTERNAL, "aot: the object is cut off");
    memcpy(&g.head, object, sizeof g.head);
    g.n = g.head.e_shnum;
    const size_t most = ((size_t)g.n + 1) * sizeof(Elf64_Shdr);
    const bool is = memcmp(g.head.e_ident, ELFMAG, SELFMAG) == 0 && g.head.e_ident[EI_CLASS] == ELFCLASS64 &&
                    g.head.e_ident[EI_DATA] == ELFDATA2LSB && g.head.e_type == ET_REL && g.n != 0 && g.n + 1 < SHN_LORESERVE &&
                    g.head.e_shentsize == sizeof(Elf64_Shdr) && g.head.e_shstrndx < g.n && g.head.e_shoff <= len &&
                    most - sizeof(Elf64_Shdr) <= len - g.head.e_shoff;
    if (!is) return status_fail(st, ST_INTERNAL, "aot: the object is not of ELF, or has no table of sections");
    g.section = mem_zeros(1, most);
    if (!g.section) return status_fail(st, ST_MEMORY, "aot: no memory");
    memcpy(g.section, object + g.head.e_shoff, most - sizeof(Elf64_Shdr));
    for (int i = 0; i < APPEND_MOST; i++) g.bytes += a->bytes[i];
    a->before = (APPEND_ALIGN - len % APPEND_ALIGN) % APPEND_ALIGN;
    g.data = len + a->before;
    const bool ok = tables(&g, &symbols) || status_fail(st, ST_INTERNAL, "aot: the object has no symbols");
    if (ok) {
        grow(&g, symbols);
        align(&g, 16);
        g.head.e_shoff = here(&g);
        g.head.e_shnum = (Elf64_Half)(g.n + 1);
        text_add(&a->tail, (const char *)g.section, most);
        memcpy(a->head, &g.head, sizeof g.head);
    }
    mem_free(g.section, most);
    return ok && (!a->tail.failed || status_fail(st, ST_MEMORY, "aot: no memory"));
}
