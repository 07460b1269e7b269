/* object: an object file of the walker's bytes and of data: symbols, and no reference to anything. Relies on elf.h. */
#include "../walk.h"
#include "walker.h"

#include <elf.h>
#include <stdio.h>

#if defined(__x86_64__)
#define HERE EM_X86_64
#elif defined(__aarch64__)
#define HERE EM_AARCH64
#else
#define HERE EM_NONE
#endif

enum { NONE, CODE, DATA, SYMBOLS, NAMES, STACK, SECTIONS }; /* the names of sections are among those of symbols */
static const char *const section_name[SECTIONS] = {"", ".text", ".rodata", ".symtab", ".strtab", ".note.GNU-stack"};

typedef struct Writing {
    Text *out;
    size_t from; /* where the object begins */
    Text names, symbols;
    Elf64_Shdr section[SECTIONS];
} Writing;

static void pad(Text *out, size_t from, size_t align)
{
    static const char zeros[WALKER_ALIGN];
    text_add(out, zeros, (align - (out->len - from) % align) % align);
}

static Elf64_Word name(Writing *w, const char *prefix, const char *ending)
{
    const Elf64_Word at = (Elf64_Word)w->names.len;
    text_printf(&w->names, "%s%s", prefix, ending);
    text_add(&w->names, "", 1);
    return at;
}

static void begin(Writing *w, int which, Elf64_Word type, Elf64_Xword flags, size_t align)
{
    pad(w->out, w->from, align);
    w->section[which] = (Elf64_Shdr){.sh_name = name(w, "", section_name[which]),
        .sh_type = type,
        .sh_flags = flags,
        .sh_offset = w->out->len - w->from,
        .sh_addralign = align};
}

static void end(Writing *w, int which) { w->section[which].sh_size = w->out->len - w->from - w->section[which].sh_offset; }

static void symbol(Writing *w, Elf64_Word at_name, int type, int section, size_t value, size_t size)
{
    const Elf64_Sym s = {.st_name = at_name,
        .st_info = (unsigned char)ELF64_ST_INFO(at_name ? STB_GLOBAL : STB_LOCAL, type),
        .st_shndx = (Elf64_Half)section,
        .st_value = value,
        .st_size = size};
    text_add(&w->symbols, (const char *)&s, sizeof s);
}

static void write_code(Writing *w, const char *prefix)
{
    static const char *const ending[WALKER_FUNCTIONS] = {"_begin", "_end", "_entry", "_copy", "_sizes"};
    int32_t at[WALKER_FUNCTIONS];
    memcpy(at, walker_bytes, sizeof at);
    begin(w, CODE, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, WALKER_ALIGN);
    text_add(w->out, walker_bytes, (size_t)(walker_end - walker_bytes));
    end(w, CODE);
    for (int i = 0; i < WALKER_FUNCTIONS; i++) symbol(w, name(w, prefix, ending[i]), STT_FUNC, CODE, (size_t)at[i], 0);
}

static void write_data(Writing *w, const ObjectData *data, int n)
{
    begin(w, DATA, SHT_PROGBITS, SHF_ALLOC, 64);
    for (int i = 0; i < n; i++) {
        if (data[i].len == 0) continue;
        pad(w->out, w->from, 64);
        symbol(w, name(w, "", data[i].symbol), STT_OBJECT, DATA, w->out->len - w->from - w->section[DATA].sh_offset, data[i].len);
        text_add(w->out, data[i].bytes, data[i].len);
    }
    end(w, DATA);
}

static void write_rest(Writing *w)
{
    begin(w, STACK, SHT_PROGBITS, 0, 1);
    begin(w, SYMBOLS, SHT_SYMTAB, 0, 8);
    text_add(w->out, w->symbols.at, w->symbols.len);
    end(w, SYMBOLS);
    w->section[SYMBOLS].sh_link = NAMES;
    w->section[SYMBOLS].sh_info = 1; /* the first global one */
    w->section[SYMBOLS].sh_entsize = sizeof(Elf64_Sym);
    begin(w, NAMES, SHT_STRTAB, 0, 1);
    text_add(w->out, w->names.at, w->names.len);
    end(w, NAMES);
    pad(w->out, w->from, 8);
}

static void write_head(Writing *w, size_t sections)
{
    const Elf64_Ehdr h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                              __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB, EV_CURRENT},
        .e_type = ET_REL,
        .e_machine = HERE,
        .e_version = EV_CURRENT,
        .e_shoff = sections,
        .e_ehsize = sizeof h,
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = SECTIONS,
        .e_shstrndx = NAMES};
    memcpy(w->out->at + w->from, &h, sizeof h);
}

bool walk_object(const char *prefix, const ObjectData *data, int n, Text *out, Status *st)
{
    Writing w = {.out = out, .from = out->len};
    const Elf64_Ehdr room = {0};
    if (HERE == EM_NONE) return status_fail(st, ST_UNSUPPORTED, "objects for devices are made on x86-64 and AArch64 alone");
    text_add(out, (const char *)&room, sizeof room);
    name(&w, "", "");
    symbol(&w, 0, STT_NOTYPE, NONE, 0, 0);
    write_code(&w, prefix);
    write_data(&w, data, n);
    write_rest(&w);
    const size_t sections = out->len - w.from;
    text_add(out, (const char *)w.section, sizeof w.section);
    const bool ok = !out->failed && !w.names.failed && !w.symbols.failed;
    if (ok) write_head(&w, sections);
    text_free(&w.names);
    text_free(&w.symbols);
    return ok || status_fail(st, ST_MEMORY, "no memory for an object file");
}
