// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <cstddef>

#include "heap/file.h"
#include "heap/metadata.h"
#include "heap/private.h"

namespace cairn::sched {
namespace {

// A file's table of functions, as it was read once.
struct table {
  const link_map* of = nullptr;
  const ElfW(Sym) * symbols = nullptr;
  std::size_t count = 0;
  const char* names = nullptr;
  std::size_t name_bytes = 0;
  char path[256] = {};
};
constexpr std::size_t k_tables = 64;
table tables[k_tables];
const heap::private_table tables_are_private(tables);

// What was found before: the same functions come again and again.
struct known {
  const void* address = nullptr;
  symbol is;
};
constexpr std::size_t k_known = 1024;
known found_before[k_known];
const heap::private_table found_are_private(found_before);

using heap::file;

// Kept for good. Null: it could not be read.
const void* read_section(const file& from, const ElfW(Shdr) & section) noexcept {
  constexpr std::size_t k_most = std::size_t{1} << 30;
  if (section.sh_size == 0 || section.sh_size > k_most) return nullptr;
  void* memory = heap::metadata_map(section.sh_size);
  return memory != nullptr && from.read_all_at(section.sh_offset, memory, section.sh_size) ? memory : nullptr;
}

// The whole table of symbols if the file has one; else that of the exported ones.
bool find_sections(const file& from, ElfW(Shdr) & symbols, ElfW(Shdr) & names) noexcept {
  ElfW(Ehdr) header;
  if (!from.read_all_at(0, &header, sizeof header) || header.e_shentsize != sizeof(ElfW(Shdr))) return false;
  bool found = false;
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    ElfW(Shdr) section;
    if (!from.read_all_at(header.e_shoff + i * sizeof section, &section, sizeof section)) return false;
    if (section.sh_type != SHT_SYMTAB && (section.sh_type != SHT_DYNSYM || found)) continue;
    if (section.sh_link >= header.e_shnum) continue;
    symbols = section;
    found = from.read_all_at(header.e_shoff + section.sh_link * sizeof names, &names, sizeof names);
  }
  return found;
}

void read_table(table& t) noexcept {
  const bool is_program = t.of->l_name == nullptr || t.of->l_name[0] == '\0';
  const file from(is_program ? "/proc/self/exe" : t.of->l_name);
  if (is_program) {
    if (readlink("/proc/self/exe", t.path, sizeof t.path - 1) < 0) t.path[0] = '\0';
  } else {
    for (std::size_t i = 0; i + 1 < sizeof t.path && t.of->l_name[i] != '\0'; ++i)
      t.path[i] = t.of->l_name[i];
  }
  ElfW(Shdr) symbols{}, names{};
  if (!find_sections(from, symbols, names)) return;
  t.names = static_cast<const char*>(read_section(from, names));
  t.name_bytes = names.sh_size;
  const void* read = t.names != nullptr ? read_section(from, symbols) : nullptr;
  t.symbols = static_cast<const ElfW(Sym)*>(read);
  t.count = read != nullptr ? symbols.sh_size / sizeof(ElfW(Sym)) : 0;
}

const table* table_of(const link_map* map) noexcept {
  for (table& t : tables) {
    if (t.of == map) return &t;
    if (t.of != nullptr) continue;
    t.of = map;
    read_table(t);
    return &t;
  }
  return nullptr;
}

const link_map* map_of(const void* address) noexcept {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
  dl_find_object object;
  return _dl_find_object(const_cast<void*>(address), &object) == 0 ? object.dlfo_link_map : nullptr;
#else
  Dl_info info;
  void* map = nullptr;
  return dladdr1(address, &info, &map, RTLD_DL_LINKMAP) != 0 ? static_cast<const link_map*>(map) : nullptr;
#endif
}

void find_name(const table& t, symbol& s) noexcept {
  for (std::size_t i = 0; i < t.count; ++i) {
    const ElfW(Sym)& entry = t.symbols[i];
    if (ELF64_ST_TYPE(entry.st_info) != STT_FUNC || entry.st_shndx == SHN_UNDEF) continue;
    if (s.in_module < entry.st_value || s.in_module - entry.st_value >= entry.st_size) continue;
    if (entry.st_name >= t.name_bytes) continue;
    s.name = t.names + entry.st_name;
    s.in_function = s.in_module - entry.st_value;
    return;
  }
}

}  // namespace

symbol find_symbol(const void* address) noexcept {
  known& slot = found_before[reinterpret_cast<std::uintptr_t>(address) / 4 % k_known];
  if (slot.address == address) return slot.is;
  symbol s;
  if (const link_map* map = map_of(address)) {
    s.in_module = reinterpret_cast<std::uintptr_t>(address) - map->l_addr;
    if (const table* t = table_of(map)) {
      s.module = t->path;
      find_name(*t, s);
    }
  }
  slot = {address, s};
  return s;
}

}  // namespace cairn::sched
