// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Work buffers: what marking has found and not yet looked at, in pieces that workers pass to each other.
//
// An entry is a candidate, the address of some byte of the heap with its low three bits cleared (the object it lies in
// is the same), or with bit 0 set what is left to scan of a marked object over 512 bytes, or of one of its oblets, or
// with bit 1 a candidate from a stack (gc/mark.h). Candidates have been neither
// checked nor marked; an object that many fields point to is entered many times and marked once.
//
// Of a large heap most buffers are of one region of it each, and hold offsets (gc/regions.h). They are full
// buffers like the others, in lists of their own.
//
// No lock: threads of the program come here from the barrier, from assists and from handshakes, and would wait for a
// holder that the kernel has taken off its processor. Full buffers and empty ones lie in two stacks without one
// (heap/tagged_stack.h; buffers are never unmapped).
//
// What the barrier has shaded comes first: until it is marked each store that overwrites it shades it again.
// Behind the rest, which lasts as long as the cycle does, a thread that exchanged pointers among 16,384 objects
// recorded 10 million words a cycle, and was three times slower by it.
//
// Termination of parallel marking. A worker is busy or idle; only busy ones have entries in hand (those that a
// sorter keeps are in hand), and take and add buffers. How many workers there are, how many of them idle, and
// whether the round is finished, is one word, so a change of it is a change of a state that was whole. The
// rules:
//   1. Who joins is busy. Nobody joins a finished round.
//   2. A worker becomes idle when it has no entry in hand and has just found no buffer to take.
//   3. It becomes busy again, unless the round is finished, before it takes a buffer; not when it has one.
//   4. A round is finished, by an exchange, from "all workers are idle". (One in which nothing is marked, but
//      stacks are dealt out, is finished by who began it.)
// Then: when the round is finished no worker has anything in hand, and no buffer that a worker has put is left.
// Proof. At the exchange all are idle, each since the last change that it made of the word. What it put it put
// before that, for after it, it takes and puts nothing (3). Consider the last change of the stack that was a
// worker's put. The worker that made it found the stack empty afterwards, before it became idle (2). Since then
// no worker has put anything. So what came after that look came from threads that are no workers, as all that
// is shaded does. Nobody has an entry in hand, for only busy ones have (2, 3); and none becomes busy any more
// (1, 3). It does not matter that the word may have changed and come back since the one who finishes has read
// it. Buffers of others (barrier, handshakes, assists) may come at any time, also when the round is finished
// already. Who began the round looks for them again; when there can be no more of them is the cycle's business
// (gc/concurrent.h).
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "gc/regions.h"
#include "heap/metadata.h"
#include "heap/tagged_stack.h"

namespace cairn::gc {

class scout;

struct work_buf : heap::stack_link {
  static constexpr std::size_t k_entries = 254;
  static constexpr std::size_t k_offsets = 508;
  std::uint32_t n = 0;
  std::uint32_t region = k_no_region;  // else it holds offsets into that one
  union {
    std::uintptr_t entries[k_entries];
    std::uint32_t offsets[k_offsets];
  };
};
static_assert(sizeof(work_buf) == 2048);
static_assert(sizeof(work_buf::entries) == sizeof(work_buf::offsets));

// Buffers kept in reserve while marking goes on, by the thread that runs the cycle: a thread of the program that has to
// get more from the system takes its page faults, some 50 us a slab, and longer if others map memory, too. A mark of a
// graph may fill 400 buffers in a millisecond, and the thread may be kept waiting for its processor for some of these;
// so when many are in use there are as many more, up to 8 MiB.
//
// But spare buffers are memory, too, and are kept for good. So there are no more of them than a 64th of the live heap,
// and a 256th while few are in use: most heaps are small, and of those most lead to few candidates at a time (of
// binary-trees, with 20 MiB live, 4 buffers are in use). What a small heap needs more it has after some cycles.
struct spare_buffers {
  std::size_t least = k_least, most = k_least;

  static constexpr std::size_t k_least = 32, k_enough = 256, k_most = 4096;
  // A marker that begins to sort takes one for each region that it meets.
  static constexpr std::size_t k_to_sort = 512;
  static constexpr spare_buffers of(std::size_t live, bool may_sort) noexcept;
};

constexpr spare_buffers spare_buffers::of(std::size_t live, bool may_sort) noexcept {
  const std::size_t buffers = live / sizeof(work_buf);
  const std::size_t least = may_sort ? k_to_sort : std::clamp(buffers / 256, k_least, k_enough);
  return {least, std::clamp(buffers / 64, least, k_most)};
}

class work_pool {
 public:
  // By the thread that runs the cycle, before it marks a heap of so many bytes, and after regions().fit().
  void begin_cycle(std::size_t live) noexcept { spare_ = spare_buffers::of(live, regions_.may_sort()); }
  // By the same thread, at depth 0: so many as are in use can be taken without asking the system, within the bounds.
  void reserve() noexcept { records_.reserve(std::clamp(records_.in_use(), spare_.least, spare_.most)); }

  // An empty buffer; null when the system gives no memory.
  work_buf* take_empty() noexcept;
  void give_empty(work_buf* b) noexcept { records_.give(b); }
  void put_full(work_buf* b) noexcept;
  work_buf* try_take_full() noexcept;
  // What the caller has learnt of, by a handshake or an acquire, it does not miss here.
  bool has_full() const noexcept { return !shaded_.empty() || !full_.empty() || !regions_.empty(); }
  bool is_empty() const noexcept { return !has_full(); }
  // One that a sorter has filled. Such buffers come last from try_take_full(): any of them.
  void put_region(work_buf* b) noexcept;
  region_lists& regions() noexcept { return regions_; }
  // What others than markers have found.
  void put_shaded(work_buf* b) noexcept;
  bool has_shaded() const noexcept { return !shaded_.empty(); }
  work_buf* try_take_shaded() noexcept { return static_cast<work_buf*>(shaded_.pop()); }
  // Gives up all full buffers unread: after marking has ended.
  void discard() noexcept;

  // Parallel marking, one round per drain: somebody begins it, and is the first worker; every other one joins
  // or is refused; wait_for_work returns a buffer, or null when all are out of work; leave. The one who began
  // it waits for the others to leave. (It does not join like the others: a helper that is late for the round
  // before could join this one first, finish it alone, and have the one who began it refused.)
  void begin_round() noexcept;
  bool join() noexcept;
  // `ahead`: what the caller does meanwhile, after a moment; may be null.
  work_buf* wait_for_work(scout* ahead = nullptr) noexcept;
  void leave() noexcept;
  void await_others() noexcept;
  // By who began it: nobody joins any more. Ends a round in which nothing was marked (gc/parked.h).
  void close_round() noexcept { round_.fetch_or(round::k_finished, std::memory_order_acq_rel); }
  // Somebody waits for work, or an assist asks for some: a hint for those who have plenty.
  bool is_wanted() const noexcept {
    return (round{round_.load(std::memory_order_relaxed)}.idle() != 0 ||
            asked_.load(std::memory_order_relaxed)) &&
           !has_full();
  }
  void ask() noexcept { asked_.store(true, std::memory_order_relaxed); }

 private:
  // bit 0        finished
  // bits 1-20    workers that have joined
  // bits 21-40   idle ones
  // bits 41-60   those that have not left
  struct round {
    static constexpr unsigned k_bits = 20;
    static constexpr std::uint64_t k_finished = 1, k_worker = 2, k_idle = k_worker << k_bits,
                                   k_inside = k_idle << k_bits, k_mask = (1u << k_bits) - 1;
    std::uint64_t word;
    bool finished() const noexcept { return (word & k_finished) != 0; }
    std::uint64_t workers() const noexcept { return word / k_worker & k_mask; }
    std::uint64_t idle() const noexcept { return word / k_idle & k_mask; }
    std::uint64_t inside() const noexcept { return word / k_inside & k_mask; }
  };
  bool change_unless_finished(std::uint64_t by) noexcept;  // false: it is finished
  bool finish_if_all_idle() noexcept;                      // true: it is finished

  heap::fixed_alloc<work_buf> records_;
  spare_buffers spare_;        // Owner: the thread that runs the cycle.
  heap::tagged_stack full_;    // by workers
  heap::tagged_stack shaded_;  // by others
  region_lists regions_;       // by workers that sort
  std::atomic<std::uint64_t> round_{round::k_finished};
  std::atomic<bool> asked_{false};  // Set by assists, cleared with the next full buffer.
};

// Fills buffers with entries, for who finds pointers without being a marker: a handshake that scans its own thread's
// stack, the write barrier. Inside a section, or unattached.
class work_writer {
 public:
  // `begun`: a buffer that another one has released, or null.
  explicit work_writer(work_pool& pool, work_buf* begun = nullptr) noexcept : pool_(pool), b_(begun) {}
  // The buffer that is being filled, null if there is none; the caller's.
  work_buf* release() noexcept { return std::exchange(b_, nullptr); }
  ~work_writer() {
    if (b_ == nullptr) return;
    if (b_->n != 0) pool_.put_shaded(b_);
    else pool_.give_empty(b_);
  }
  work_writer(const work_writer&) = delete;
  work_writer& operator=(const work_writer&) = delete;

  void push(std::uintptr_t entry) noexcept {
    if (b_ == nullptr || b_->n == work_buf::k_entries) [[unlikely]]
      next();
    b_->entries[b_->n++] = entry;
  }

 private:
  void next() noexcept;
  work_pool& pool_;
  work_buf* b_;
};

}  // namespace cairn::gc
