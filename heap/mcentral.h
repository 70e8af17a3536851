// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The spans of one span class that no cache holds: those with free slots (partial) and those without (full), each
// swept or not. See heap/mheap.h for overview.
//
// There are two lists of each kind. Which of them holds the swept spans follows from the sweep generation, so raising
// that by two turns every swept span into one that needs sweeping without touching any of them; it is raised while
// the unswept lists are empty.
//
// Whoever takes a span from a list owns it (heap/mspan.h).
//
// Lists are stacks without locks: every refill comes here, and would wait for a holder that the kernel has taken off
// its processor. Records of spans are never unmapped, as the stack wants. Only a large span may be wanted from the
// middle of a list, by an owner who frees it by hand. These have lists with a lock, which an allocation of over 32 KiB
// takes twice in its life. Rejected: to leave the record of one that was freed by hand in a stack until the next sweep
// finds it (a program that frees all by hand has no next sweep, and as many records as it ever made objects).
#pragma once
#include <atomic>
#include <cstdint>

#include "heap/clock.h"
#include "heap/lock.h"
#include "heap/mspan.h"
#include "heap/tagged_stack.h"

namespace cairn::heap {

class large_list {
 public:
  void push(mspan* s) noexcept;
  mspan* pop() noexcept;
  // Takes `s` out if it is in this list; walks nothing.
  bool remove(mspan* s) noexcept;
  // A look; for certain, as to what the caller has learnt of otherwise.
  bool empty() const noexcept { return head_.load(std::memory_order_relaxed) == nullptr; }

 private:
  lock lock_;
  std::atomic<mspan*> head_{nullptr};  // Written under lock_; read without for a look.
};

class span_list {
 public:
  void push(mspan* s) noexcept {
    if (s->is_large()) large_.push(s);
    else small_.push(s);
  }
  mspan* pop() noexcept {
    if (stack_link* s = small_.pop()) return static_cast<mspan*>(s);
    return large_.pop();
  }
  // For large spans.
  bool remove(mspan* s) noexcept { return large_.remove(s); }
  bool empty() const noexcept { return small_.empty() && large_.empty(); }

 private:
  tagged_stack small_;
  large_list large_;
};

class alignas(64) mcentral {
 public:
  // A swept span with a free slot, sweeping some if need be. Null when sweeping a hundred of them freed nothing; then
  // a fresh span is cheaper. Sets sweepgen to "in a cache, swept". `spent`: on sweeping, from the second span on; to
  // sweep one takes about as long as to read the clock twice.
  mspan* take(std::uint32_t h, interval& spent) noexcept;
  // The same while a cycle marks: all spans are swept, and the other lists are looked at by nobody who may hold an
  // old generation in hand, for which they would be the unswept ones.
  mspan* take_swept(std::uint32_t h) noexcept;
  // Back from a cache, or new: swept, sweepgen h.
  void put(mspan* s, std::uint32_t h) noexcept;
  // Sweeps one span that needs it, and files or frees it. Returns its pages, 0 when none is left. Unless
  // `may_wait` an empty small one that could be freed only after waiting for the lock of the pages is filed,
  // for the next refill of its class, or to be freed after the next cycle.
  std::size_t sweep_one(std::uint32_t h, bool may_wait) noexcept;
  // A large span that its owner frees by hand: true when it was found and is the caller's now.
  bool take_large(mspan* s, std::uint32_t h) noexcept;

  bool needs_sweep(std::uint32_t h) const noexcept {
    return !partial_[unswept(h)].empty() || !full_[unswept(h)].empty();
  }

  // Slots freed by sweeping or by hand, ever. Added to by sweepers, read by statistics.
  std::atomic<std::uint64_t> freed{0};
  // Spans of the class, in lists and caches. Changed where spans are made and freed.
  std::atomic<std::size_t> spans{0};
  // Slots taken into runs, less those given back, by threads that have detached.
  std::atomic<std::uint64_t> taken_by_gone{0};

 private:
  static constexpr unsigned swept(std::uint32_t h) noexcept { return h / 2 % 2; }
  static constexpr unsigned unswept(std::uint32_t h) noexcept { return 1 - h / 2 % 2; }
  // Sweeps a span taken from an unswept list; true when a slot of it is free.
  bool sweep(mspan* s, std::uint32_t h) noexcept;
  // How many spans one call of take may still sweep, and when it began with the second; the thread's preemptions then.
  struct search {
    unsigned budget;
    std::uint64_t second_at = 0;
    long preemptions = 0;
  };
  mspan* sweep_for_use(span_list& from, std::uint32_t h, search& s) noexcept;

  span_list partial_[2], full_[2];
};

}  // namespace cairn::heap
