// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/stack.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>

#include "cairn/detail/annotate.h"
#include "cairn/detail/assert.h"
#include "heap/lock.h"
#include "heap/metadata.h"
#include "heap/os.h"
#include "heap/private.h"
#include "sched/m.h"
#include "sched/message.h"

#if CAIRN_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace cairn::sched::stacks {
namespace {

// A region is this large, or one slot. Smaller: more regions, and the table is short. Larger: little, it is only
// address space, which a limit may make scarce (see grow).
constexpr std::size_t k_first_region_bytes = std::size_t{64} << 20;
constexpr std::size_t k_largest_region_bytes = std::size_t{64} << 30;
// Memory that is committed at a time; where the system counts commitments, that is what it counts.
constexpr std::size_t k_commit_bytes = std::size_t{16} << 20;
constexpr unsigned k_max_regions = 256;
// What one page table describes.
constexpr std::size_t k_table_bytes = heap::k_huge_page_bytes;
// Each takes two of the 65530 mappings that a process may have; the rest is the program's.
constexpr unsigned k_max_split_guards = 20000;
// What moves between a cache and the pool, but in a burst.
constexpr unsigned k_batch = stack_cache::k_stacks / 2;
// What the pool gives to one in a burst: calls of the system for more at once cost less for each.
constexpr unsigned k_burst_batch = stack_cache::k_stacks;
static_assert(k_burst_batch <= heap::k_most_ranges && 64 <= heap::k_most_ranges);

// `base`, `slots`, `shift` and the bitmaps do not change once the region counts in g_region_count.
struct region {
  char* base = nullptr;
  std::size_t slots = 0;
  unsigned shift = 0;  // a slot is 1 << shift bytes
  // Slots below were taken at least once. Changed under the lock, read by find.
  std::atomic<std::size_t> carved{0};
  std::size_t committed = 0;  // slots; this and all below under the lock
  std::size_t free = 0;
  std::size_t clean = 0;
  std::uint64_t* free_bits = nullptr;
  std::uint64_t* idle_bits = nullptr;
  std::uint64_t* clean_bits = nullptr;
  std::uint64_t* bare_bits = nullptr;
  std::uint64_t* words_with_free = nullptr;  // bit w: free_bits[w] is not zero

  std::size_t slot_bytes() const noexcept { return std::size_t{1} << shift; }
  std::size_t words() const noexcept { return (slots + 63) / 64; }
  stack at(std::size_t slot) const noexcept {
    char* start = base + (slot << shift);
    return {start + k_guard_bytes, start + slot_bytes()};
  }
};

constinit heap::lock g_lock;
constinit region g_regions[k_max_regions];
const heap::private_table regions_are_private(g_regions);
// Release by grow() after the region is complete; acquire by find, which has no lock.
constinit std::atomic<unsigned> g_region_count{0};
constinit std::atomic<unsigned> g_shift{std::countr_zero(k_default_bytes)};
constinit std::atomic<unsigned> g_split_guards{0};
constinit std::atomic<std::size_t> g_unguarded{0};

unsigned shift_for(std::size_t bytes) noexcept {
  return static_cast<unsigned>(std::bit_width(std::clamp(bytes, k_smallest_bytes, k_largest_bytes) - 1));
}

std::size_t usable(const stack& s) noexcept { return static_cast<std::size_t>(s.high - s.low); }
bool is_of(const stack& s, unsigned shift) noexcept {
  return usable(s) == (std::size_t{1} << shift) - k_guard_bytes;
}

// AddressSanitizer keeps poison of frames that a longjmp or a goroutine's end left.
void forget_frames([[maybe_unused]] const stack& s) noexcept {
#if CAIRN_ASAN
  __asan_unpoison_memory_region(s.low, usable(s));
#endif
}

// ---- regions, under the lock ---------------------------------------------------------------------------------------

// All bitmaps in one piece.
bool make_bitmaps(region& r) noexcept {
  const std::size_t words = r.words(), summary = (words + 63) / 64;
  auto* bits = static_cast<std::uint64_t*>(heap::metadata_map((4 * words + summary) * sizeof(std::uint64_t)));
  if (bits == nullptr) return false;
  r.free_bits = bits;
  r.idle_bits = bits + words;
  r.clean_bits = bits + 2 * words;
  r.bare_bits = bits + 3 * words;
  r.words_with_free = bits + 4 * words;
  return true;
}

// As large as the pool was, within the limits above; where address space is limited at most a quarter of what is
// left, so that the heap, the program's threads and its malloc keep theirs. One slot is tried even beyond that.
region* grow(unsigned shift, std::size_t pool_bytes) noexcept CAIRN_REQUIRES(g_lock) {
  const unsigned n = g_region_count.load(std::memory_order_relaxed);
  if (n == k_max_regions) return nullptr;
  const std::size_t slot_bytes = std::size_t{1} << shift;
  const std::size_t wanted = std::clamp(pool_bytes, k_first_region_bytes, k_largest_region_bytes);
  const std::size_t share = heap::the_os().address_space_left() / 4;
  region& r = g_regions[n];
  for (std::size_t bytes = std::max(std::bit_floor(wanted), slot_bytes); bytes >= slot_bytes; bytes /= 2) {
    if (bytes > share && bytes != slot_bytes) continue;
    void* base = heap::the_os().reserve(
        bytes, bytes < k_table_bytes ? slot_bytes : std::max(slot_bytes, k_table_bytes), nullptr);
    if (base == nullptr) continue;
    r.base = static_cast<char*>(base);
    r.slots = bytes >> shift;
    r.shift = shift;
    if (!make_bitmaps(r)) {
      heap::the_os().release(base, bytes);
      return nullptr;
    }
    g_region_count.store(n + 1, std::memory_order_release);
    return &r;
  }
  return nullptr;
}

bool commit_more(region& r) noexcept CAIRN_REQUIRES(g_lock) {
  const std::size_t step = std::max<std::size_t>({k_commit_bytes >> r.shift, r.committed / 8, 1});
  std::size_t n = std::min(step, r.slots - r.committed);
  char* start = r.base + (r.committed << r.shift);
  if (!heap::the_os().commit(start, n << r.shift)) {
    n = 1;
    if (!heap::the_os().commit(start, n << r.shift)) return false;
  }
  heap::the_os().advise(start, n << r.shift, heap::huge_pages::no);
  r.committed += n;
  return true;
}

void set_free(region& r, std::size_t slot, bool clean, bool bare) noexcept CAIRN_REQUIRES(g_lock) {
  const std::size_t word = slot / 64;
  const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
  CAIRN_ASSERT((r.free_bits[word] & bit) == 0, "a stack is given back twice");
  r.free_bits[word] |= bit;
  r.idle_bits[word] &= ~bit;
  r.words_with_free[word / 64] |= std::uint64_t{1} << (word % 64);
  ++r.free;
  if (bare) r.bare_bits[word] |= bit;
  if (!clean) return;
  r.clean_bits[word] |= bit;
  ++r.clean;
}

// Takes slots out of the free ones: `bits` of one word.
void clear_free(region& r, std::size_t word, std::uint64_t bits) noexcept CAIRN_REQUIRES(g_lock) {
  r.free_bits[word] &= ~bits;
  if (r.free_bits[word] == 0) r.words_with_free[word / 64] &= ~(std::uint64_t{1} << (word % 64));
  r.free -= static_cast<std::size_t>(std::popcount(bits));
  r.clean -= static_cast<std::size_t>(std::popcount(bits & r.clean_bits[word]));
  r.clean_bits[word] &= ~bits;
  r.bare_bits[word] &= ~bits;
}

// The word with the lowest free slot. Pre: there is one.
std::size_t lowest_free_word(const region& r) noexcept CAIRN_REQUIRES(g_lock) {
  std::size_t i = 0;
  while (r.words_with_free[i] == 0) ++i;
  return i * 64 + static_cast<std::size_t>(std::countr_zero(r.words_with_free[i]));
}

struct batch {
  stack at[k_burst_batch];
  unsigned n = 0;
  bool has_clean = false;        // one of them at least has no memory
  unsigned n_bare = 0;           // so many have no guard
  unsigned bare[k_burst_batch];  // these

  void add(const stack& s, bool is_clean, bool is_bare) noexcept {
    if (is_bare) bare[n_bare++] = n;
    at[n++] = s;
    has_clean |= is_clean;
  }
};

// Free slots, until there are `want` of them, by address.
void take_free(region& r, batch& out, unsigned want) noexcept CAIRN_REQUIRES(g_lock) {
  while (out.n < want && r.free != 0) {
    const std::size_t word = lowest_free_word(r);
    const std::uint64_t bit = r.free_bits[word] & -r.free_bits[word];
    out.add(r.at(word * 64 + static_cast<std::size_t>(std::countr_zero(bit))),
            (r.clean_bits[word] & bit) != 0, (r.bare_bits[word] & bit) != 0);
    clear_free(r, word, bit);
  }
}

// Likewise slots that nobody had before; they have no guard yet.
void carve(region& r, batch& out, unsigned want) noexcept CAIRN_REQUIRES(g_lock) {
  std::size_t next = r.carved.load(std::memory_order_relaxed);
  for (; out.n < want && next < r.slots; ++next) {
    if (next == r.committed && !commit_more(r)) break;
    out.add(r.at(next), true, true);
  }
  // Relaxed: find needs only the number, of a region that it acquired.
  r.carved.store(next, std::memory_order_relaxed);
}

// ---- the pools -----------------------------------------------------------------------------------------------------

void make_guard(const stack& s) noexcept {
  const bool may_split = g_split_guards.load(std::memory_order_relaxed) < k_max_split_guards;
  switch (heap::the_os().guard(s.low - k_guard_bytes, k_guard_bytes, may_split)) {
    case heap::guard_kind::marked:
      return;
    case heap::guard_kind::split:
      g_split_guards.fetch_add(1, std::memory_order_relaxed);
      return;
    case heap::guard_kind::none:
      break;
  }
  if (g_unguarded.fetch_add(1, std::memory_order_relaxed) != 0) return;
  message text;
  text << "cairn: goroutine stacks from here on have no guard: the system refuses to protect more memory ("
       << g_split_guards.load(std::memory_order_relaxed)
       << " guards made; Linux 6.13 has them without limit)\n";
  text.send();
}

// Of those that have none.
void make_guards(const batch& of) noexcept {
  unsigned made = 0;
  if (of.n_bare > 1) {
    heap::range guards[k_burst_batch];
    for (unsigned i = 0; i < of.n_bare; ++i)
      guards[i] = {of.at[of.bare[i]].low - k_guard_bytes, k_guard_bytes};
    made = static_cast<unsigned>(heap::the_os().guard_marks(guards, of.n_bare));
  }
  for (; made < of.n_bare; ++made) make_guard(of.at[of.bare[made]]);
}

// Gives each its first page. False: the system does so at their first use.
bool touch(const batch& of) noexcept {
  const std::size_t page = heap::the_os().physical_page_bytes();
  heap::range tops[k_burst_batch];
  for (unsigned i = 0; i < of.n; ++i) tops[i] = {of.at[i].high - page, page};
  return heap::the_os().populate(tops, of.n);
}

// Only the newest region of a pool has slots that nobody had.
region* region_with_room(unsigned shift) noexcept CAIRN_REQUIRES(g_lock) {
  for (unsigned i = g_region_count.load(std::memory_order_relaxed); i-- != 0;) {
    region& r = g_regions[i];
    if (r.shift == shift && r.carved.load(std::memory_order_relaxed) != r.slots) return &r;
  }
  return nullptr;
}

// Free slots if there are any, else new ones, else a new region's.
void find_slots(unsigned shift, batch& out, unsigned want) noexcept CAIRN_REQUIRES(g_lock) {
  std::size_t pool_bytes = 0;
  const unsigned regions = g_region_count.load(std::memory_order_relaxed);
  for (unsigned i = 0; i < regions; ++i) {
    region& r = g_regions[i];
    if (r.shift != shift) continue;
    pool_bytes += r.slots << shift;
    take_free(r, out, want);
  }
  if (out.n != 0) return;
  region* r = region_with_room(shift);
  if (r == nullptr) r = grow(shift, pool_bytes);
  if (r != nullptr) carve(*r, out, want);
}

// With their guards. None when the system refuses.
void take_slots(unsigned shift, batch& out, unsigned want) noexcept {
  {
    heap::lock_guard guard(g_lock);
    find_slots(shift, out, want);
  }
  make_guards(out);  // without the lock: nobody else knows of these slots
}

region* region_of(const void* address) noexcept {
  const auto a = reinterpret_cast<std::uintptr_t>(address);
  // Acquire: pairs with grow().
  const unsigned regions = g_region_count.load(std::memory_order_acquire);
  for (unsigned i = 0; i < regions; ++i) {
    region& r = g_regions[i];
    if (a - reinterpret_cast<std::uintptr_t>(r.base) < r.slots << r.shift) return &r;
  }
  return nullptr;
}

std::size_t slot_of(const region& r, const void* address) noexcept {
  return (reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(r.base)) >> r.shift;
}

void give_slot(const stack& s, bool clean) noexcept CAIRN_REQUIRES(g_lock) {
  region* r = region_of(s.low);
  CAIRN_CHECK(r != nullptr && is_of(s, r->shift), "what is given back is no stack");
  set_free(*r, slot_of(*r, s.low), clean, false);
}

void give_slots(const stack* from, unsigned n) noexcept {
  heap::lock_guard guard(g_lock);
  for (unsigned i = 0; i < n; ++i) give_slot(from[i], false);
}

[[gnu::noinline]] stack take_slow(stack_cache& cache, unsigned shift) noexcept {
  flush(cache);  // of another size, if any
  batch taken;
  const bool is_burst = cache.taken_in_row >= stack_cache::k_quiet_batches;
  take_slots(shift, taken, is_burst ? k_burst_batch : k_batch);
  if (taken.n == 0) return {};
  ++cache.taken_in_row;
  const bool have_memory = is_burst && taken.has_clean && touch(taken);
  std::reverse_copy(taken.at, taken.at + taken.n, cache.hot);  // the lowest address first
  cache.n = taken.n - 1;
  cache.n_cold = have_memory ? 0 : cache.n;
  return cache.hot[cache.n];
}

[[gnu::noinline]] void give_slow(stack_cache& cache, stack s, unsigned shift) noexcept {
  if (!is_of(s, shift)) return give_slots(&s, 1);
  // The older half: the newer one is still in the processor's cache.
  give_slots(cache.hot, k_batch);
  std::copy(cache.hot + k_batch, cache.hot + cache.n, cache.hot);
  cache.n -= k_batch;
  cache.n_cold -= std::min(cache.n_cold, k_batch);
  cache.taken_in_row = 0;
  cache.hot[cache.n++] = s;
}

// ---- idle stacks ---------------------------------------------------------------------------------------------------

// Where guards are no marks they stay: they are mappings of their own.
bool guards_are_marks() noexcept {
  return g_split_guards.load(std::memory_order_relaxed) == 0 &&
         g_unguarded.load(std::memory_order_relaxed) == 0;
}

// The slots of those page tables that describe none but those in `all`, and one in `some` at least; bits of one word.
std::uint64_t slots_of_tables(const region& r, std::uint64_t all, std::uint64_t some) noexcept {
  const unsigned step = r.slot_bytes() < k_table_bytes ? static_cast<unsigned>(k_table_bytes >> r.shift) : 1;
  std::uint64_t found = 0;
  for (unsigned first = 0; first < 64; first += step) {
    const std::uint64_t table = ((std::uint64_t{1} << step) - 1) << first;
    if ((all & table) == table && (some & table) != 0) found |= table;
  }
  return found;
}

// Slots of one word of bitmaps that have left the free ones, so that what they have can be returned without the lock.
struct claim {
  std::uint64_t slots = 0;
  std::uint64_t dirty = 0;   // of those: may have memory
  std::uint64_t tables = 0;  // of those: all that their page tables describe
  std::uint64_t bare = 0;    // of those: without a guard, when it is done
};

// Those that were idle already; the others are idle from now on. And those without memory that share their page tables
// with none but these: then it is their guards that keep the tables.
claim claim_idle(region& r, std::size_t word) noexcept {
  runtime_section section;
  heap::lock_guard guard(g_lock);
  const std::uint64_t clean = r.clean_bits[word], bare = r.bare_bits[word];
  const std::uint64_t dirty = r.free_bits[word] & ~clean;
  claim c;
  c.dirty = dirty & r.idle_bits[word];
  c.tables = guards_are_marks() ? slots_of_tables(r, c.dirty | clean, ~bare) : 0;
  c.slots = c.dirty | c.tables;
  c.bare = c.tables | (bare & c.slots);
  r.idle_bits[word] = dirty;
  if (c.slots != 0) clear_free(r, word, c.slots);
  return c;
}

void unclaim(region& r, std::size_t word, const claim& c, std::uint64_t bits, bool clean) noexcept {
  runtime_section section;
  heap::lock_guard guard(g_lock);
  for (; bits != 0; bits &= bits - 1) {
    const auto i = static_cast<unsigned>(std::countr_zero(bits));
    set_free(r, word * 64 + i, clean, (c.bare >> i & 1) != 0);
  }
}

void remove_guards(const region& r, std::size_t word, std::uint64_t bits) noexcept {
  heap::range guards[64];
  std::size_t n = 0;
  for (; bits != 0; bits &= bits - 1)
    guards[n++] = {r.base + ((word * 64 + static_cast<unsigned>(std::countr_zero(bits))) << r.shift),
                   k_guard_bytes};
  heap::the_os().unmark(guards, n);
}

// Neighbours in one call. Guards keep their marks, but where a whole table is idle.
std::size_t release_word(region& r, std::size_t word) noexcept {
  std::size_t returned = 0;
  const claim c = claim_idle(r, word);
  if (c.tables != 0) remove_guards(r, word, c.tables);
  std::uint64_t rest = c.slots;
  while (rest != 0) {
    const auto first = static_cast<unsigned>(std::countr_zero(rest));
    const auto run = static_cast<unsigned>(std::countr_one(rest >> first));
    const std::uint64_t bits = (run == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << run) - 1) << first;
    char* start = r.base + ((word * 64 + first) << r.shift);
    const bool clean = heap::the_os().give_back(start, std::size_t{run} << r.shift);
    if (clean) returned += static_cast<std::size_t>(std::popcount(bits & c.dirty)) << r.shift;
    unclaim(r, word, c, bits, clean);
    rest &= ~bits;
  }
  return returned;
}

}  // namespace

void set_size(std::size_t bytes) noexcept { g_shift.store(shift_for(bytes), std::memory_order_relaxed); }

std::size_t size() noexcept { return std::size_t{1} << g_shift.load(std::memory_order_relaxed); }

stack take(stack_cache& cache) noexcept {
  const unsigned shift = g_shift.load(std::memory_order_relaxed);
  if (cache.n != 0 && is_of(cache.hot[cache.n - 1], shift)) [[likely]]
    return cache.hot[--cache.n];
  return take_slow(cache, shift);
}

void give(stack_cache& cache, stack s) noexcept {
  forget_frames(s);
  const unsigned shift = g_shift.load(std::memory_order_relaxed);
  if (cache.n == stack_cache::k_stacks || !is_of(s, shift)) [[unlikely]]
    return give_slow(cache, s, shift);
  cache.n_cold = std::min(cache.n_cold, cache.n);
  cache.hot[cache.n++] = s;
}

void flush(stack_cache& cache) noexcept {
  if (cache.n != 0) give_slots(cache.hot, cache.n);
  cache.n = cache.n_cold = 0;
}

stack take_own(std::size_t bytes) noexcept {
  if (bytes > k_largest_bytes / 2) return {};
  runtime_section section;
  batch one;
  take_slots(shift_for(bytes + k_guard_bytes), one, 1);
  return one.at[0];
}

void give_own(stack s) noexcept {
  forget_frames(s);
  const bool clean = heap::the_os().give_back(s.low, usable(s));
  runtime_section section;
  heap::lock_guard guard(g_lock);
  give_slot(s, clean);
}

std::size_t release_idle() noexcept {
  std::size_t returned = 0;
  // Acquire: pairs with grow().
  const unsigned regions = g_region_count.load(std::memory_order_acquire);
  for (unsigned i = 0; i < regions; ++i) {
    region& r = g_regions[i];
    const std::size_t words = (r.carved.load(std::memory_order_relaxed) + 63) / 64;
    for (std::size_t word = 0; word < words; ++word) returned += release_word(r, word);
  }
  return returned;
}

void trim(const stack& s, const void* sp) noexcept {
  constexpr std::uintptr_t k_red_zone_bytes = 128;
  const std::uintptr_t page = heap::the_os().physical_page_bytes();
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(sp) - k_red_zone_bytes) & ~(page - 1);
  const auto low = reinterpret_cast<std::uintptr_t>(s.low);
  if (end > low) heap::the_os().give_back(s.low, end - low);
}

bool find(const void* address, stack& out, bool& in_guard) noexcept {
  const region* r = region_of(address);
  if (r == nullptr) return false;
  const std::size_t slot = slot_of(*r, address);
  // Relaxed: a slot counts before its address is known to anybody.
  if (slot >= r->carved.load(std::memory_order_relaxed)) return false;
  out = r->at(slot);
  in_guard = address < out.low;
  return true;
}

void for_each_region(void (*f)(void* arg, const void* first, std::size_t bytes), void* arg) noexcept {
  const unsigned regions = g_region_count.load(std::memory_order_acquire);  // with grow
  for (unsigned i = 0; i < regions; ++i) f(arg, g_regions[i].base, g_regions[i].slots << g_regions[i].shift);
}

usage read_usage() noexcept {
  runtime_section section;
  heap::lock_guard guard(g_lock);
  usage u;
  const unsigned regions = g_region_count.load(std::memory_order_relaxed);
  for (unsigned i = 0; i < regions; ++i) {
    const region& r = g_regions[i];
    u.mapped += r.slots << r.shift;
    u.in_use += (r.carved.load(std::memory_order_relaxed) - r.free) << r.shift;
    u.cached_free += (r.free - r.clean) << r.shift;
    u.released += r.clean << r.shift;
  }
  u.unguarded = g_unguarded.load(std::memory_order_relaxed);
  return u;
}

}  // namespace cairn::sched::stacks
