/* elf: makes an image of a relocatable object: sections get places, code first, then jumps, then data and slots; relocations are
 * resolved among them. What an object may not have (memory to write to, symbols that nobody offers, absolute code) is an error that
 * names it. Relies on reloc.c for what depends on the machine. Never maps memory. */
#include "elf.h"

static bool bad(const Elf *e, const char *what) { return status_fail(e->st, ST_INTERNAL, "the object is malformed: %s", what); }

/* ---- reading --------------------------------------------------------------------------------- */

/* count elements of that size at the offset; NULL: they are not there, or not aligned. */
static const void *part(const Elf *e, uint64_t offset, uint64_t count, uint64_t size)
{
    if (offset > e->len || offset % 8 != 0 || count > (e->len - offset) / size) return NULL;
    return e->at + offset;
}

static bool read_symbols(Elf *e)
{
    for (uint32_t i = 0; i < e->nsection; i++) {
        const Elf64_Shdr *s = &e->section[i];
        if (s->sh_type != SHT_SYMTAB) continue;
        if (s->sh_link >= e->nsection || s->sh_size / sizeof(Elf64_Sym) > UINT32_MAX) return bad(e, "its table of symbols");
        const Elf64_Shdr *names = &e->section[s->sh_link];
        e->nsymbol = (uint32_t)(s->sh_size / sizeof(Elf64_Sym));
        e->symbol = part(e, s->sh_offset, e->nsymbol, sizeof(Elf64_Sym));
        e->names_len = names->sh_size;
        if (names->sh_offset > e->len || names->sh_size > e->len - names->sh_offset || names->sh_size == 0)
            return bad(e, "its names");
        e->names = e->at + names->sh_offset;
        return (e->symbol && e->names[e->names_len - 1] == '\0') || bad(e, "its table of symbols");
    }
    return bad(e, "it has no symbols");
}

static bool read_head(Elf *e)
{
    const Elf64_Ehdr *h = part(e, 0, 1, sizeof *h);
    if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_type != ET_REL || h->e_shentsize != sizeof(Elf64_Shdr))
        return bad(e, "no relocatable object of 64 bits");
    e->machine = h->e_machine;
    if (reloc_page(e->machine) == 0)
        return status_fail(e->st, ST_UNSUPPORTED, "objects of machine %u cannot be loaded", (unsigned)e->machine);
    /* More than fit 16 bits: the first section says how many. */
    const Elf64_Shdr *first = part(e, h->e_shoff, 1, sizeof *first);
    if (!first || h->e_shoff == 0) return bad(e, "it has no sections");
    uint64_t n = h->e_shnum != 0 ? h->e_shnum : first->sh_size;
    e->section = part(e, h->e_shoff, n, sizeof *first);
    if (!e->section || n > UINT32_MAX) return bad(e, "its table of sections");
    e->nsection = (uint32_t)n;
    return read_symbols(e);
}

const char *elf_name(const Elf *e, uint32_t symbol)
{
    uint32_t at = e->symbol[symbol].st_name;
    return at < e->names_len ? e->names + at : "?";
}

/* The section of a symbol, one that is none: UINT32_MAX. Objects of many thousand sections have the number elsewhere, which our
 * code never needs: sections are few. */
static uint32_t section_of(const Elf *e, uint32_t symbol)
{
    uint32_t s = e->symbol[symbol].st_shndx;
    return s != SHN_UNDEF && s < SHN_LORESERVE && s < e->nsection ? s : UINT32_MAX;
}

bool elf_place(const Elf *e, uint32_t symbol, int64_t *at)
{
    uint32_t s = section_of(e, symbol);
    if (s == UINT32_MAX || e->place[s] == IMAGE_NONE || e->symbol[symbol].st_value > e->section[s].sh_size) return false;
    *at = (int64_t)e->place[s] + (int64_t)e->symbol[symbol].st_value;
    return true;
}

/* ---- places ---------------------------------------------------------------------------------- */

static bool grow(Elf *e, uint64_t align, uint64_t bytes, uint32_t *at)
{
    uint64_t from = (e->bytes + align - 1) / align * align;
    if (bytes > IMAGE_MOST || from + bytes > IMAGE_MOST)
        return status_fail(e->st, ST_UNSUPPORTED, "code of more than %llu bytes cannot be loaded", (unsigned long long)IMAGE_MOST);
    *at = (uint32_t)from;
    e->bytes = from + bytes;
    return true;
}

/* What unwinds stacks is left out: nothing is thrown through compiled code. */
static bool is_laid(const Elf *e, const Elf64_Shdr *s)
{
    const uint32_t unwind = e->machine == EM_X86_64 ? 0x70000001 : SHT_NULL;
    return (s->sh_flags & SHF_ALLOC) && s->sh_type == SHT_PROGBITS && s->sh_type != unwind;
}

static bool lay_sections(Elf *e, bool code)
{
    for (uint32_t i = 0; i < e->nsection; i++) {
        const Elf64_Shdr *s = &e->section[i];
        if ((s->sh_flags & SHF_ALLOC) && (s->sh_flags & (SHF_WRITE | SHF_TLS)) && s->sh_size != 0)
            return status_fail(e->st, ST_UNSUPPORTED, "an object with memory to write to cannot be loaded");
        if (!is_laid(e, s) || s->sh_size == 0 || ((s->sh_flags & SHF_EXECINSTR) != 0) != code) continue;
        uint64_t align = MAX_OF(s->sh_addralign, 1);
        if (align > IMAGE_ALIGN || (align & (align - 1)) != 0) return bad(e, "a section's alignment");
        if (s->sh_offset > e->len || s->sh_size > e->len - s->sh_offset) return bad(e, "a section");
        if (!grow(e, align, s->sh_size, &e->place[i])) return false;
    }
    return true;
}

static bool lay_slots(Elf *e, bool jumps)
{
    for (uint32_t i = 0; i < e->nsymbol; i++) {
        Slot *s = &e->slot[i];
        bool wanted = jumps ? s->jump_wanted : s->slot_wanted;
        if (wanted && !grow(e, jumps ? 16 : 8, jumps ? reloc_jump(e->machine) : 8, jumps ? &s->jump : &s->slot)) return false;
    }
    return true;
}

/* ---- relocations ----------------------------------------------------------------------------- */

typedef bool EachReloc(Elf *e, const Reloc *r);

/* Those of laid sections; of one that is not yet, `at` counts from its beginning. */
static bool each_reloc(Elf *e, EachReloc *each)
{
    for (uint32_t i = 0; i < e->nsection; i++) {
        const Elf64_Shdr *s = &e->section[i];
        if (s->sh_type == SHT_REL && (s->sh_info < e->nsection && is_laid(e, &e->section[s->sh_info])))
            return bad(e, "relocations without addends");
        if (s->sh_type != SHT_RELA) continue;
        if (s->sh_info >= e->nsection) return bad(e, "its relocations");
        const Elf64_Shdr *to = &e->section[s->sh_info];
        if (!is_laid(e, to)) continue;
        uint64_t n = s->sh_size / sizeof(Elf64_Rela);
        const Elf64_Rela *rela = part(e, s->sh_offset, n, sizeof *rela);
        if (!rela) return bad(e, "its relocations");
        for (uint64_t k = 0; k < n; k++) {
            Reloc r = {.type = (uint32_t)ELF64_R_TYPE(rela[k].r_info),
                .symbol = (uint32_t)ELF64_R_SYM(rela[k].r_info),
                .addend = rela[k].r_addend};
            if (rela[k].r_offset >= to->sh_size || r.symbol >= e->nsymbol || r.addend > INT32_MAX || r.addend < INT32_MIN)
                return bad(e, "a relocation");
            r.room = to->sh_size - rela[k].r_offset;
            r.at = (e->place[s->sh_info] == IMAGE_NONE ? 0 : e->place[s->sh_info]) + (uint32_t)rela[k].r_offset;
            if (!each(e, &r)) return false;
        }
    }
    return true;
}

/* Every symbol that a relocation names is either offered or the object's own. */
static bool need(Elf *e, const Reloc *r)
{
    const char *name = elf_name(e, r->symbol);
    if (e->slot[r->symbol].which == IMPORT_NONE && section_of(e, r->symbol) == UINT32_MAX)
        return status_fail(e->st, ST_UNSUPPORTED, "code needs %.100s, which is not among what it may call", *name ? name : "?");
    return reloc_wants(e, r);
}

static void find_imports(Elf *e)
{
    for (uint32_t i = 0; i < e->nsymbol; i++)
        e->slot[i].which = i != 0 && e->symbol[i].st_shndx == SHN_UNDEF ? import_find(elf_name(e, i)) : IMPORT_NONE;
}

static void fill_slots(Elf *e)
{
    for (uint32_t i = 0; i < e->nsymbol; i++) {
        const Slot *s = &e->slot[i];
        if (s->slot_wanted) *VEC_PUSH(e->arena, &e->import) = (ImageImport){s->slot, s->which};
        if (s->jump_wanted) reloc_write_jump(e, s);
    }
}

static bool lay_out(Elf *e)
{
    uint32_t end = 0;
    const uint32_t page = reloc_page(e->machine);
    e->place = ARENA_ARRAY(e->arena, uint32_t, e->nsection);
    e->slot = ARENA_ARRAY(e->arena, Slot, e->nsymbol);
    memset(e->place, 0xff, e->nsection * sizeof *e->place);
    find_imports(e);
    if (!each_reloc(e, need) || !lay_sections(e, true) || !lay_slots(e, true)) return false;
    if (!grow(e, page, 0, &end)) return false;
    e->code = end;
    if (!lay_sections(e, false) || !lay_slots(e, false) || !grow(e, page, 0, &end)) return false;
    e->image = ARENA_ARRAY(e->arena, char, e->bytes);
    for (uint32_t i = 0; i < e->nsection; i++)
        if (e->place[i] != IMAGE_NONE) memcpy(e->image + e->place[i], e->at + e->section[i].sh_offset, e->section[i].sh_size);
    fill_slots(e);
    return each_reloc(e, reloc_apply);
}

/* ---- the block ------------------------------------------------------------------------------- */

static bool is_function(const Elf *e, uint32_t i)
{
    int64_t at;
    return ELF64_ST_TYPE(e->symbol[i].st_info) == STT_FUNC && elf_place(e, i, &at) && at < (int64_t)e->code;
}

static bool find(const Elf *e, const char *name, uint32_t *at)
{
    int64_t place;
    for (uint32_t i = 0; i < e->nsymbol; i++) {
        if (!is_function(e, i) || strcmp(elf_name(e, i), name) != 0 || !elf_place(e, i, &place)) continue;
        *at = (uint32_t)place;
        return true;
    }
    return status_fail(e->st, ST_INTERNAL, "the object has no function %s", name);
}

static void put(char *block, size_t *at, const void *from, size_t bytes)
{
    if (bytes != 0) memcpy(block + *at, from, bytes);
    *at += bytes;
}

static char *write_block(const Elf *e, ImageHead *head, size_t *len)
{
    for (uint32_t i = 0; i < e->nsymbol; i++) {
        if (!is_function(e, i)) continue;
        head->nsymbol++;
        head->names += (uint32_t)strlen(elf_name(e, i)) + 1;
    }
    size_t lists = sizeof *head + head->nimport * sizeof(ImageImport) + head->nsymbol * sizeof(ImageSymbol) + head->names;
    head->start = (uint32_t)((lists + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN);
    *len = (size_t)head->start + head->bytes;
    char *block = mem_alloc_aligned(*len, IMAGE_ALIGN);
    if (!block) return status_fail(e->st, ST_MEMORY, "no memory for compiled code"), NULL;
    size_t at = 0;
    memset(block, 0, head->start);
    put(block, &at, head, sizeof *head);
    put(block, &at, e->import.at, head->nimport * sizeof *e->import.at);
    size_t names = at + head->nsymbol * sizeof(ImageSymbol), first = names;
    for (uint32_t i = 0; i < e->nsymbol; i++) {
        int64_t place;
        if (!is_function(e, i) || !elf_place(e, i, &place)) continue;
        const uint64_t room = e->code - (uint64_t)place;
        const ImageSymbol s = {(uint32_t)place, (uint32_t)MIN_OF(e->symbol[i].st_size, room), (uint32_t)(names - first)};
        put(block, &at, &s, sizeof s);
        put(block, &names, elf_name(e, i), strlen(elf_name(e, i)) + 1);
    }
    at = head->start;
    put(block, &at, e->image, head->bytes);
    return block;
}

typedef struct Job {
    Elf e;
    const char *entry, *sizes;
    char *block;
    size_t *len;
} Job;

static void work(void *arg)
{
    Job *j = arg;
    Elf *e = &j->e;
    ImageHead head = {.sizes = IMAGE_NONE};
    if (!read_head(e) || !lay_out(e) || !find(e, j->entry, &head.entry)) return;
    if (j->sizes && !find(e, j->sizes, &head.sizes)) return;
    head.machine = e->machine;
    head.code = (uint32_t)e->code;
    head.bytes = (uint32_t)e->bytes;
    head.nimport = e->import.len;
    j->block = write_block(e, &head, j->len);
}

char *image_of_object(const char *object, size_t bytes, const char *entry, const char *sizes, size_t *len, Status *st)
{
    Arena arena;
    Job j = {.e = {.at = object, .len = bytes, .arena = &arena, .st = st}, .entry = entry, .sizes = sizes, .len = len};
    arena_init(&arena);
    arena_try(&arena, st, work, &j);
    arena_free(&arena);
    return j.block;
}
