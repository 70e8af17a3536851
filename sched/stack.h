// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Stacks of goroutines: millions of them, of which only touched pages cost memory.
//
// A stack is a slot of a power of two bytes of address space, aligned to its size:
//
//   slot: [ guard, 64 KiB ][ low ... usable ... high )        each access to the guard faults
//
// Slots of one size form a pool. A pool has regions: reservations of address space that double in size, so that the
// whole table of regions is short enough to be searched by a signal handler, without a lock. Slots of a region are
// carved from its low end: memory is committed for some at a time, the guard is made when the slot is first taken.
// What is carved is out, or free; the free ones are bits, taken lowest address first, so that after a
// peak the high ones lie idle and release_idle returns their memory.
//
//   carved slots == out + free            out: with a goroutine, or in the cache of a P
//   clean is part of free                 free, and the memory was returned
//   idle is part of free, without clean   free since release_idle last looked
//   bare is part of free                  without a guard: it is made when the slot is taken
//
// Page tables. A guard lies in the same ones as its stack, so a stack's address space costs an eighth of a table, 512
// bytes, for as long as it has a guard; after a peak of a million that is half a GiB. When all the slots that a table
// describes are free and clean, or about to be, release_idle takes their guards off first: then the system (Linux 6.14)
// returns the table with the memory. Regions begin where a table does.
//
// Each P has a stack_cache, last in first out, so that goroutines that end soon run on a stack that is still in the
// processor's cache; half a cache at a time, or all of it in a burst, moves to or from the pool. Only that, and what is
// said to below, takes the lock of the pools.
//
// A burst. A batch gets its guards in one call of the system (Linux 6.15; before, each its own). A P that has taken
// some batches in a row, and given none back, gets the next ones, twice as large, with their first pages, in one more
// call: a fault for each would take half as long again. Not from the first batch on, for ten goroutines need no hundred
// pages.
//
// A pool per size, because set_size may change the size while stacks are out: they go back to the pool of their own.
//
// The guard is a mark on pages (MADV_GUARD_INSTALL, Linux 6.13), which costs no mapping. Older kernels split the
// mapping, and a process may have 65530 mappings: after k_max_split_guards stacks go without guard, and the first
// is reported. 64 KiB, because a large frame jumps over less; see -fstack-clash-protection in the documentation.
//
// Rejected: MADV_FREE for idle stacks (the memory stays charged until pressure, and the pages may vanish later than
//             a test or a user looks);
//           huge pages (a stack would cost 2 MiB at its first touch);
//           stacks cut out of the collector's heap (their addresses would look like pointers into it);
//           a mapping per stack (two mappings each with the guard).
#pragma once
#include <cstddef>

namespace cairn::sched {

// The usable range; below low lies the guard.
struct stack {
  char* low = nullptr;
  char* high = nullptr;
  explicit operator bool() const noexcept { return low != nullptr; }
};

// Owner: a P. Last in, first out.
struct stack_cache {
  // More: fewer visits to the pool under goroutines that come and go in bursts. Fewer: less memory that lies hot in
  // each P (a page or two per stack) and is never returned but by flush.
  static constexpr unsigned k_stacks = 32;
  stack hot[k_stacks];
  unsigned n = 0;
  // So many of them, the first ones, come from the pool, and may have no memory yet; may be more than n.
  unsigned n_cold = 0;
  // How often in a row a batch was taken from the pool, and none was given to it. Beyond k_quiet_batches it is a
  // burst: more than a few goroutines were started here, so what of the last batch is never used is little beside what
  // is.
  static constexpr unsigned k_quiet_batches = 4;
  unsigned taken_in_row = 0;

  // The next one costs no page fault, and no visit to the pool.
  bool has_hot() const noexcept { return n > n_cold; }
};

namespace stacks {

inline constexpr std::size_t k_guard_bytes = std::size_t{64} << 10;
inline constexpr std::size_t k_smallest_bytes = 2 * k_guard_bytes;
inline constexpr std::size_t k_default_bytes = std::size_t{256} << 10;
inline constexpr std::size_t k_largest_bytes = std::size_t{1} << 30;

// Address space of a stack from now on, guard included: `bytes` rounded up to a power of two, between
// k_smallest_bytes and k_largest_bytes. Any thread, any depth.
void set_size(std::size_t bytes) noexcept;
// What is in use.
std::size_t size() noexcept;

// A stack of size(). Empty when the system refuses. Inside a runtime section.
[[nodiscard]] stack take(stack_cache& cache) noexcept;
// Takes a stack back, of whatever size. Its contents may be kept. Inside a runtime section.
void give(stack_cache& cache, stack s) noexcept;
// All of the cache back to the pools. Inside a runtime section.
void flush(stack_cache& cache) noexcept;

// A stack with at least `bytes` usable, past any cache; empty when the system refuses or bytes is more than half of
// k_largest_bytes. Any depth.
[[nodiscard]] stack take_own(std::size_t bytes) noexcept;
// Takes it back and returns its memory at once. Any depth.
void give_own(stack s) noexcept;

// Returns the memory of stacks that have lain in the pools since the last call, or since the one before that. The
// address space of those stacks, of which only touched pages were memory. Any depth, any thread; calls are serialised
// by the caller, a background thread.
std::size_t release_idle() noexcept;

// Returns the memory of a parked stack whose stack pointer is `sp`: all pages below the red zone. Any depth.
void trim(const stack& s, const void* sp) noexcept;

// The stack in whose slot the address lies, and whether it lies in its guard. Not for slots that nobody ever took.
// Async-signal-safe, without lock.
bool find(const void* address, stack& out, bool& in_guard) noexcept;

// f(arg, first byte, bytes) for each reservation that stacks are made of. Any depth.
void for_each_region(void (*f)(void* arg, const void* first, std::size_t bytes), void* arg) noexcept;

// Address space in bytes, guards included; what of it is memory only the kernel knows.
struct usage {
  std::size_t mapped = 0;       // reserved: all regions
  std::size_t in_use = 0;       // of stacks with goroutines and in caches of Ps
  std::size_t cached_free = 0;  // of free stacks that may still have memory
  std::size_t released = 0;     // of free stacks whose memory was returned
  std::size_t unguarded = 0;    // stacks, not bytes, that the system refused a guard
};
usage read_usage() noexcept;

}  // namespace stacks
}  // namespace cairn::sched
