/* elf: how image_of_object sees a relocatable object: its tables, each of whose offsets was checked, and where things go in the
 * image. reloc.c knows the instruction sets; elf.c knows the format. Relies on image.h. */
#ifndef KILN_CODEGEN_NATIVE_ELF_H
#define KILN_CODEGEN_NATIVE_ELF_H

#include <elf.h>

#include "image.h"

typedef struct Slot { /* what a symbol that is not the object's own gets in the image */
    bool jump_wanted, slot_wanted;
    uint32_t jump, slot; /* a jump through the slot; the eight bytes with the address */
    uint32_t which;      /* the import; IMPORT_NONE: it is a symbol of the object, or nobody's */
} Slot;

typedef struct Elf {
    const char *at; /* the object */
    uint64_t len;
    uint32_t machine, nsection, nsymbol;
    const Elf64_Shdr *section;
    const Elf64_Sym *symbol;
    const char *names; /* of symbols */
    uint64_t names_len;
    uint32_t *place;      /* per section: where it begins in the image; IMAGE_NONE: nowhere */
    Slot *slot;           /* per symbol */
    uint64_t code, bytes; /* of the image; laid out so far */
    char *image;
    VEC(ImageImport) import;
    Arena *arena;
    Status *st;
} Elf;

/* One relocation: the bytes at `at` in the image are to tell where symbol plus addend lies. */
typedef struct Reloc {
    uint32_t type, symbol, at;
    uint64_t room; /* bytes from there to the end of its section */
    int64_t addend;
} Reloc;

/* reloc.c: by machine */
uint32_t reloc_page(uint32_t machine);    /* bytes of the largest page; 0: the machine is not known here */
uint32_t reloc_jump(uint32_t machine);    /* bytes of a jump through a slot */
bool reloc_wants(Elf *e, const Reloc *r); /* notes the jump or slot that it needs. False: st */
void reloc_write_jump(Elf *e, const Slot *s);
bool reloc_apply(Elf *e, const Reloc *r);                   /* false: st */
bool elf_place(const Elf *e, uint32_t symbol, int64_t *at); /* where a symbol of the object lies in the image */
const char *elf_name(const Elf *e, uint32_t symbol);

#endif
