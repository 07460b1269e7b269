/* reloc: what relocations mean on each instruction set, and the jump through a slot by which code there calls what is far away.
 * Relies on elf.h. Never knows sections. */
#include "elf.h"

static bool unknown(const Elf *e, const Reloc *r)
{
    return status_fail(
        e->st, ST_UNSUPPORTED, "a relocation of type %u (%.100s) cannot be loaded", (unsigned)r->type, elf_name(e, r->symbol));
}

static void put4(Elf *e, uint32_t at, uint32_t v) { memcpy(e->image + at, &v, 4); }

uint32_t reloc_page(uint32_t machine) { return machine == EM_X86_64 ? 4096 : 0; }

uint32_t reloc_jump(uint32_t machine) { return machine == EM_X86_64 ? 6 : 0; }

/* ---- x86-64 ---------------------------------------------------------------------------------- */

static bool is_slot_x86(uint32_t type)
{
    return type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX;
}

bool reloc_wants(Elf *e, const Reloc *r)
{
    Slot *s = &e->slot[r->symbol];
    const bool near = r->type == R_X86_64_PC32 || r->type == R_X86_64_PLT32, import = s->which != IMPORT_NONE;
    if (r->room < 4 || !(near || (is_slot_x86(r->type) && import))) return unknown(e, r);
    s->slot_wanted |= import;
    s->jump_wanted |= import && near;
    return true;
}

/* jmp *slot(%rip) */
void reloc_write_jump(Elf *e, const Slot *s)
{
    e->image[s->jump] = (char)0xff;
    e->image[s->jump + 1] = 0x25;
    put4(e, s->jump + 2, s->slot - (s->jump + 6));
}

bool reloc_apply(Elf *e, const Reloc *r)
{
    int64_t to = 0;
    const Slot *s = &e->slot[r->symbol];
    if (is_slot_x86(r->type))
        to = s->slot;
    else if (s->which != IMPORT_NONE)
        to = s->jump;
    else if (!elf_place(e, r->symbol, &to))
        return unknown(e, r);
    to += r->addend - (int64_t)r->at;
    if (to < INT32_MIN || to > INT32_MAX) return unknown(e, r);
    put4(e, r->at, (uint32_t)to);
    return true;
}
