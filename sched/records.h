// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The records of goroutines. They lie in segments of 256 that are never unmapped, so a stale pointer to a record
// stays readable, and all goroutines can be walked without a lock. A free record is all zero or what its last
// goroutine left, with status `free`; a segment without a goroutine gives its memory back to the system, and reads as
// free records then.
//
// Each P keeps some free ones (p::records); the rest are bits in the segments' words, taken from the lowest segment
// that has any, so that after a spike the higher ones fall empty.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sched/goroutine.h"

namespace cairn::sched {

struct p;

namespace records {

inline constexpr std::size_t k_segment_records = 256;
inline constexpr std::size_t k_segment_bytes = k_segment_records * sizeof(goroutine);
static_assert(k_segment_bytes % 4096 == 0);
inline constexpr std::size_t k_most_segments = std::size_t{1} << 16;  // 16 million goroutines

// Null when the system gives no memory. `pp`: the caller's P, or null. In a section or on a thread without an m.
goroutine* take(p* pp) noexcept;
// The goroutine has ended.
void give(p* pp, goroutine* g) noexcept;
// Gives back what a P keeps.
void flush(p& pp) noexcept;
// Memory of segments that have lain empty since the last call goes back to the system. Returns its bytes. One caller.
std::size_t release_idle() noexcept;

// Written under the pool's lock (release), read by anybody (acquire): the segment's records.
extern std::atomic<goroutine*> segments[k_most_segments];
extern std::atomic<std::size_t> segment_count;

// f(goroutine&) for every record of segments [from, to) that is not free. Records change meanwhile. `ahead` is called
// some records earlier for each, free ones too, to prefetch what f will look at.
template <class F, class Ahead>
void for_each_in(std::size_t from, std::size_t to, F&& f, Ahead&& ahead) {
  constexpr std::size_t k_records_ahead = 16, k_ahead = 8;
  for (std::size_t s = from; s < to; ++s) {
    goroutine* first = segments[s].load(std::memory_order_acquire);
    for (std::size_t i = 0; i < k_segment_records; ++i) {
      if (i + k_records_ahead < k_segment_records) {
        const char* record = reinterpret_cast<const char*>(&first[i + k_records_ahead]);
        __builtin_prefetch(record);
        __builtin_prefetch(record + 64);
      }
      if (i + k_ahead < k_segment_records) ahead(first[i + k_ahead]);
      // Acquire: with the store of who made it a goroutine.
      if (first[i].status.load(std::memory_order_acquire) != g_status::free) f(first[i]);
    }
  }
}

template <class F>
void for_each(F&& f) {
  for_each_in(0, segment_count.load(std::memory_order_acquire), f, [](const goroutine&) {});
}

}  // namespace records
}  // namespace cairn::sched
