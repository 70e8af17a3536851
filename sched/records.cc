// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/records.h"

#include <bit>

#include "heap/lock.h"
#include "heap/metadata.h"
#include "heap/os.h"
#include "heap/private.h"
#include "sched/gdb_layout.h"
#include "sched/p.h"

namespace cairn::sched::records {

// Whoever links this file links what gdb looks for.
[[gnu::used]] const std::uintptr_t* const gdb_layout = cairn_gdb_layout;

std::atomic<goroutine*> segments[k_most_segments];
std::atomic<std::size_t> segment_count{0};

namespace {

const heap::private_table segments_are_private(segments);

constexpr std::size_t k_words = k_segment_records / 64;
constexpr unsigned k_batch = p::k_records / 2;

enum class memory : std::uint8_t { resident, idle, returned };

struct segment_state {
  std::uint64_t free[k_words];
  std::uint32_t n_free;
  memory is;  // idle: it was empty at the last release_idle, and has been since
};

heap::lock lock;
segment_state states[k_most_segments] CAIRN_GUARDED_BY(lock);
const heap::private_table states_are_private(states);
std::size_t lowest CAIRN_GUARDED_BY(lock) = 0;  // no segment before it has a free record

// The lowest segment with a free record; k_most_segments when the system gives no memory.
std::size_t find_segment() noexcept CAIRN_REQUIRES(lock) {
  const std::size_t n = segment_count.load(std::memory_order_relaxed);
  while (lowest < n && states[lowest].n_free == 0) ++lowest;
  if (lowest < n) return lowest;
  if (n == k_most_segments) return n;
  void* made = heap::metadata_map(k_segment_bytes);
  if (made == nullptr) return k_most_segments;
  for (std::uint64_t& word : states[n].free) word = ~std::uint64_t{0};
  states[n].n_free = k_segment_records;
  segments[n].store(static_cast<goroutine*>(made), std::memory_order_release);
  segment_count.store(n + 1, std::memory_order_release);
  return n;
}

goroutine* take_one() noexcept CAIRN_REQUIRES(lock) {
  const std::size_t at = find_segment();
  if (at == k_most_segments) return nullptr;
  segment_state& s = states[at];
  std::size_t word = 0;
  while (s.free[word] == 0) ++word;
  const auto bit = static_cast<std::size_t>(std::countr_zero(s.free[word]));
  s.free[word] &= s.free[word] - 1;
  --s.n_free;
  s.is = memory::resident;
  goroutine* g = segments[at].load(std::memory_order_relaxed) + word * 64 + bit;
  g->segment = static_cast<std::uint32_t>(at);
  return g;
}

void give_one(goroutine* g) noexcept CAIRN_REQUIRES(lock) {
  const std::size_t at = g->segment;
  const auto i = static_cast<std::size_t>(g - segments[at].load(std::memory_order_relaxed));
  states[at].free[i / 64] |= std::uint64_t{1} << (i % 64);
  ++states[at].n_free;
  if (at < lowest) lowest = at;
}

}  // namespace

goroutine* take(p* pp) noexcept {
  if (pp != nullptr && pp->n_records != 0) return pp->records[--pp->n_records];
  heap::lock_guard held(lock);
  if (pp != nullptr) {
    while (pp->n_records < k_batch - 1) {
      goroutine* g = take_one();
      if (g == nullptr) break;
      pp->records[pp->n_records++] = g;
    }
  }
  return take_one();
}

void give(p* pp, goroutine* g) noexcept {
  if (pp != nullptr && pp->n_records < p::k_records) {
    pp->records[pp->n_records++] = g;
    return;
  }
  heap::lock_guard held(lock);
  give_one(g);
  if (pp == nullptr) return;
  while (pp->n_records > k_batch) give_one(pp->records[--pp->n_records]);
}

void flush(p& pp) noexcept {
  heap::lock_guard held(lock);
  while (pp.n_records > 0) give_one(pp.records[--pp.n_records]);
}

std::size_t release_idle() noexcept {
  std::size_t bytes = 0;
  const std::size_t n = segment_count.load(std::memory_order_acquire);
  for (std::size_t at = 0; at < n; ++at) {
    heap::lock_guard held(lock);
    segment_state& s = states[at];
    if (s.n_free != k_segment_records || s.is == memory::returned) continue;
    if (s.is == memory::resident) {
      s.is = memory::idle;
      continue;
    }
    // Under the lock: nobody can take a record of it.
    if (!heap::the_os().give_back(segments[at].load(std::memory_order_relaxed), k_segment_bytes)) continue;
    s.is = memory::returned;
    bytes += k_segment_bytes;
  }
  return bytes;
}

}  // namespace cairn::sched::records
