// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Finding and scanning roots. See gc/roots.h.
#include "gc/roots.h"

#include <link.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "cairn/detail/assert.h"
#include "gc/parked.h"
#include "gc/runtime.h"
#include "heap/metadata.h"
#include "heap/private.h"
#include "sched/records.h"

namespace cairn::gc {
namespace {

struct range {
  std::uintptr_t from, to;
};

// Guarded by the loader's lock.
CAIRN_PRIVATE std::vector<range>* static_ranges = nullptr;

struct tls_block {
  std::ptrdiff_t offset;  // from the thread pointer
  std::size_t bytes;
};
CAIRN_PRIVATE std::vector<tls_block>* tls_blocks = nullptr;  // Immutable after start.

bool is_runtime_library(const char* path) noexcept {
  std::string_view name(path != nullptr ? path : "");
  if (const auto slash = name.rfind('/'); slash != name.npos) name.remove_prefix(slash + 1);
  constexpr std::string_view k_prefixes[] = {
      "libc.so",  "libc-",   "libm.so",  "libm-",     "libdl.",     "libpthread",  "librt.",
      "ld-linux", "ld-2",    "libgcc_s", "libstdc++", "libc++",     "libjemalloc", "libfmt",
      "libasan",  "libtsan", "libubsan", "liblsan",   "linux-vdso", "libclang_rt"};
  for (const std::string_view p : k_prefixes)
    if (name.substr(0, p.size()) == p) return true;
  return false;
}

constexpr std::uintptr_t round_up(std::uintptr_t a) noexcept { return (a + 7) & ~std::uintptr_t{7}; }

// All of `ranges` from the `first` on less `cut`. Some are empty afterwards.
void cut_out(std::vector<range>& ranges, std::size_t first, range cut) {
  for (std::size_t i = first, n = ranges.size(); i < n; ++i) {
    const range r = ranges[i];
    if (cut.to <= r.from || cut.from >= r.to) continue;
    ranges[i].to = std::max(r.from, cut.from);
    if (cut.to < r.to) ranges.push_back({cut.to, r.to});
  }
}

range range_of(const void* from, std::size_t bytes) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(from);
  return {start, start + bytes};
}

// What this library has for itself, of all ranges. They are of whole words then.
void cut_out_private(std::vector<range>& ranges) {
  cut_out(ranges, 0,
          range_of(__start_cairn_state, static_cast<std::size_t>(__stop_cairn_state - __start_cairn_state)));
  heap::private_table::for_each(
      [&](const void* from, std::size_t bytes) { cut_out(ranges, 0, range_of(from, bytes)); });
  for (range& r : ranges) r = {round_up(r.from), r.to & ~std::uintptr_t{7}};
  std::erase_if(ranges, [](const range& r) { return r.from >= r.to; });
}

// The writable segments of one loaded object.
void add_object(const dl_phdr_info& info) {
  if (is_runtime_library(info.dlpi_name)) return;
  range relro{0, 0};
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& ph = info.dlpi_phdr[i];
    if (ph.p_type == PT_GNU_RELRO)
      relro = {info.dlpi_addr + ph.p_vaddr, info.dlpi_addr + ph.p_vaddr + ph.p_memsz};
  }
  const std::size_t first = static_ranges->size();
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& ph = info.dlpi_phdr[i];
    if (ph.p_type != PT_LOAD || (ph.p_flags & PF_W) == 0) continue;
    const std::uintptr_t from = info.dlpi_addr + ph.p_vaddr;
    static_ranges->push_back({from, from + ph.p_memsz});
  }
  cut_out(*static_ranges, first, relro);
}

struct loaded_call {
  void (*f)(void*);
  void* arg;
};

int collect_object(dl_phdr_info* info, std::size_t, void*) {
  add_object(*info);
  return 0;
}

// The first call of the outer iteration: everything happens in here, under the loader's lock.
int inside_lock(dl_phdr_info*, std::size_t, void* p) {
  static_ranges->clear();
  dl_iterate_phdr(collect_object, nullptr);
  cut_out_private(*static_ranges);
  const auto* call = static_cast<loaded_call*>(p);
  call->f(call->arg);
  return 1;
}

char* thread_pointer() noexcept { return static_cast<char*>(__builtin_thread_pointer()); }

int collect_tls(dl_phdr_info* info, std::size_t, void*) {
  if (info->dlpi_tls_data == nullptr || is_runtime_library(info->dlpi_name)) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& ph = info->dlpi_phdr[i];
    if (ph.p_type != PT_TLS || ph.p_memsz == 0) continue;
    const std::ptrdiff_t offset = static_cast<char*>(info->dlpi_tls_data) - thread_pointer();
    // Static blocks lie next to the thread pointer; those of libraries opened later are malloc'd, at distances that
    // differ from thread to thread.
    constexpr std::ptrdiff_t k_near = 1 << 20;
    if (offset > -k_near && offset < k_near) tls_blocks->push_back({offset, ph.p_memsz});
  }
  return 0;
}

const void* top_of(const sched::m& thread) noexcept {
  return reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(thread.saved_sp) & ~std::uintptr_t{7});
}

std::size_t stack_bytes(const sched::m& thread) noexcept {
  return static_cast<std::size_t>(static_cast<const char*>(thread.stack_high) -
                                  static_cast<const char*>(top_of(thread)));
}

// f(from, to) for every thread-local block.
template <class F>
void for_each_thread_local(const sched::m& thread, F&& f) noexcept {
  if (thread.thread_pointer == nullptr) return;
  for (const tls_block& b : *tls_blocks) {
    const auto start = reinterpret_cast<std::uintptr_t>(thread.thread_pointer) +
                       static_cast<std::uintptr_t>(b.offset);
    f(reinterpret_cast<const void*>(round_up(start)),
      reinterpret_cast<const void*>((start + b.bytes) & ~std::uintptr_t{7}));
  }
}

// What lies above the stack pointer of a thread that a signal has interrupted: the handler's frames, the kernel's with
// all registers, the red zone, and, of the interrupted function, the values that it has spilled.
CAIRN_PRIVATE constinit std::size_t signal_window_bytes = 0;  // Immutable after start.

}  // namespace

void with_loaded_objects(void (*f)(void*), void* arg) {
  if (static_ranges == nullptr) static_ranges = new std::vector<range>;
  loaded_call call{f, arg};
  dl_iterate_phdr(inside_lock, &call);
}

void find_thread_locals() {
  if (tls_blocks != nullptr) return;
  signal_window_bytes = std::max<std::size_t>(getauxval(AT_MINSIGSTKSZ), 4096) + 8192;
  tls_blocks = new std::vector<tls_block>;
  dl_iterate_phdr(collect_tls, nullptr);
}

std::size_t mark_static(marker& m) noexcept {
  std::size_t bytes = 0;
  for (const range& r : *static_ranges) {
    m.scan_words(reinterpret_cast<void*>(r.from), reinterpret_cast<void*>(r.to));
    bytes += r.to - r.from;
  }
  return bytes;
}

void mark_kept(marker& m) noexcept {
  root_slots::mark(m);
  rt().specials.mark_roots(m);
}

namespace {

// A worker in the scheduler: its own stack has nothing of the program's, but leftovers of scanning for it.
bool is_scheduler(const sched::m& thread) noexcept {
  return thread.is_worker && thread.current_goroutine.load(std::memory_order_relaxed) == nullptr;
}

}  // namespace

root_sizes mark_roots(marker& m, const sched::world_stopped& stopped) {
  root_sizes sizes;
  const auto scan = [&m](const void* from, const void* to) { m.scan_stack(from, to); };
  sizes.globals = mark_static(m);
  sched::for_each_m(stopped, [&](sched::m& thread) {
    if (thread.dead) return;
    if (!is_scheduler(thread)) {
      m.scan_stack(top_of(thread), thread.stack_high);
      sizes.stacks += stack_bytes(thread);
    }
    for_each_thread_local(thread, [&m](const void* from, const void* to) { m.scan_words(from, to); });
    for (unsigned i = 0; i < thread.barrier.n; ++i)
      m.candidate(reinterpret_cast<std::uintptr_t>(thread.barrier.words[i]));
    thread.barrier.n = 0;
    CAIRN_ASSERT(thread.barrier.out == nullptr, "a barrier's work buffer has outlived its cycle");
  });
  sched::records::for_each([&](sched::goroutine& g) {
    if (runs(g)) scan_function(g, scan);
    else sizes.stacks += scan_parked(g, scan);
  });
  mark_kept(m);
  return sizes;
}

void for_each_root_range(const sched::world_stopped& stopped,
                         void (*f)(void* arg, const void* from, const void* to), void* arg) noexcept {
  const auto scan = [f, arg](const void* from, const void* to) { f(arg, from, to); };
  for (const range& r : *static_ranges)
    scan(reinterpret_cast<const void*>(r.from), reinterpret_cast<const void*>(r.to));
  sched::for_each_m(stopped, [&scan](const sched::m& thread) {
    if (thread.dead) return;
    if (!is_scheduler(thread)) scan(top_of(thread), thread.stack_high);
    for_each_thread_local(thread, scan);
  });
  sched::records::for_each([&scan](const sched::goroutine& g) {
    if (runs(g)) scan_function(g, scan);
  });
}

std::size_t scan_thread(const sched::m& thread) noexcept {
  work_writer out(rt().work);
  const auto scan = [&out](const void* from, const void* to) {
    for_each_stack_word(from, to, [&out](std::uintptr_t entry) { out.push(entry); });
  };
  for_each_thread_local(thread, scan);
  if (is_scheduler(thread)) return 0;
  scan(top_of(thread), thread.stack_high);
  if (sched::goroutine* g = thread.current_goroutine.load(std::memory_order_relaxed)) {
    scan_function(*g, scan);
    g->set_colour(sched::scan_epoch.load(std::memory_order_relaxed));
  }
  return stack_bytes(thread);
}

void scan_top(const sched::m& thread) noexcept {
  work_writer out(rt().work);
  const char* from = static_cast<const char*>(top_of(thread));
  const char* high = static_cast<const char*>(thread.stack_high);
  const char* to = from + std::min<std::size_t>(signal_window_bytes, static_cast<std::size_t>(high - from));
  for_each_stack_word(from, to, [&out](std::uintptr_t entry) { out.push(entry); });
}

namespace {

struct lookup {
  std::uintptr_t address;
  bool found = false;
};

}  // namespace

bool is_static_root(const void* p) noexcept {
  lookup l{reinterpret_cast<std::uintptr_t>(p)};
  with_loaded_objects(
      [](void* arg) {
        auto& query = *static_cast<lookup*>(arg);
        for (const range& r : *static_ranges) query.found |= query.address >= r.from && query.address < r.to;
      },
      &l);
  if (l.found) return true;
  sched::registry_guard guard;
  sched::for_each_m(guard, [&l](const sched::m& thread) {
    for (const tls_block& b : *tls_blocks) {
      const auto start = reinterpret_cast<std::uintptr_t>(thread.thread_pointer) +
                         static_cast<std::uintptr_t>(b.offset);
      l.found |= l.address - start < b.bytes;
    }
  });
  return l.found;
}

bool is_other_stack(const void* p) noexcept {
  bool found = false;
  sched::registry_guard guard;
  sched::for_each_m(guard,
                    [&](const sched::m& thread) { found |= p >= thread.stack_low && p < thread.stack_high; });
  if (found) return true;
  sched::stack s;
  bool in_guard = false;
  return sched::stacks::find(p, s, in_guard);
}

// ---- root slots ----------------------------------------------------------------------------------------------------

namespace root_slots {
namespace {

// Slots lie in slabs that are never given back. A free one holds the address of the next free one, which is not a heap
// address: marking reads all words of a slab alike. Each thread has a list of free slots; the rest are here.
struct slab {
  static constexpr std::size_t k_slots = 2047;
  slab* next = nullptr;
  void* slots[k_slots] = {};
};
static_assert(sizeof(slab) == 16384);

constexpr unsigned k_batch = 64;  // moved between a thread's list and the common one at a time

struct pool {
  heap::lock lock;
  std::atomic<slab*> slabs{nullptr};  // Pushed at depth 0; release, pairs with mark.
  void** free CAIRN_GUARDED_BY(lock) = nullptr;
  std::size_t n_free CAIRN_GUARDED_BY(lock) = 0;
  std::atomic<std::size_t> n_slabs{0};
};
CAIRN_PRIVATE constinit pool g_pool;

// Slots start as a chain through the slab.
void add_slab(slab* s) noexcept {
  for (std::size_t i = 0; i + 1 < slab::k_slots; ++i) s->slots[i] = &s->slots[i + 1];
  slab* head = g_pool.slabs.load(std::memory_order_relaxed);
  do s->next = head;
  while (!g_pool.slabs.compare_exchange_weak(head, s, std::memory_order_release, std::memory_order_relaxed));
  g_pool.n_slabs.fetch_add(1, std::memory_order_relaxed);
  sched::runtime_section section;
  heap::lock_guard guard(g_pool.lock);
  s->slots[slab::k_slots - 1] = g_pool.free;
  g_pool.free = s->slots;
  g_pool.n_free += slab::k_slots;
}

// Up to k_batch slots of the common list, as a chain.
void** take_batch(unsigned& n) noexcept {
  sched::runtime_section section;
  heap::lock_guard guard(g_pool.lock);
  void** first = g_pool.free;
  void** last = first;
  n = 0;
  if (first == nullptr) return nullptr;
  for (n = 1; n < k_batch && *last != nullptr; ++n) last = static_cast<void**>(*last);
  g_pool.free = static_cast<void**>(*last);
  g_pool.n_free -= n;
  *last = nullptr;
  return first;
}

void give_chain(void** first, unsigned n) noexcept {
  if (n == 0) return;
  sched::runtime_section section;
  heap::lock_guard guard(g_pool.lock);
  void** last = first;
  while (*last != nullptr) last = static_cast<void**>(*last);
  *last = g_pool.free;
  g_pool.free = first;
  g_pool.n_free += n;
}

}  // namespace

void** acquire() {
  sched::m& self = sched::self();
  while (self.free_root_slots == nullptr) {
    unsigned n = 0;
    void** chain = take_batch(n);
    if (chain == nullptr) {
      void* memory = heap::metadata_alloc(sizeof(slab));
      if (memory == nullptr) throw std::bad_alloc();
      add_slab(::new (memory) slab);
      continue;
    }
    self.free_root_slots = chain;
    self.free_root_slot_count = n;
  }
  void** slot = self.free_root_slots;
  self.free_root_slots = static_cast<void**>(*slot);
  --self.free_root_slot_count;
  *slot = nullptr;
  return slot;
}

void release(void** slot) noexcept {
  sched::m* self = sched::current();
  if (self == nullptr) {  // a static's destructor, or a thread that has detached
    *slot = nullptr;
    give_chain(slot, 1);
    return;
  }
  *slot = self->free_root_slots;
  self->free_root_slots = slot;
  if (++self->free_root_slot_count < 4 * k_batch) return;
  void** chain = self->free_root_slots;
  const unsigned n = self->free_root_slot_count;
  self->free_root_slots = nullptr;
  self->free_root_slot_count = 0;
  give_chain(chain, n);
}

void flush(sched::m& thread) noexcept {
  if (thread.free_root_slots == nullptr) return;
  give_chain(thread.free_root_slots, thread.free_root_slot_count);
  thread.free_root_slots = nullptr;
  thread.free_root_slot_count = 0;
}

void mark(marker& m) noexcept {
  for (slab* s = g_pool.slabs.load(std::memory_order_acquire); s != nullptr; s = s->next)
    m.scan_words(s->slots, s->slots + slab::k_slots);
}

bool owns(const void* p) noexcept {
  for (slab* s = g_pool.slabs.load(std::memory_order_acquire); s != nullptr; s = s->next)
    if (p >= s->slots && p < s->slots + slab::k_slots) return true;
  return false;
}

std::size_t bytes() noexcept { return g_pool.n_slabs.load(std::memory_order_relaxed) * sizeof(slab); }

std::size_t in_use() noexcept {
  heap::lock_guard guard(g_pool.lock);
  return g_pool.n_slabs.load(std::memory_order_relaxed) * slab::k_slots - g_pool.n_free;
}

}  // namespace root_slots
}  // namespace cairn::gc
