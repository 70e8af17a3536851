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
#include <optional>

#include "heap/lock.h"
#include "heap/mspan.h"
#include "heap/stopwatch.h"
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

// To take a span that nobody has looked at since the last cycle is a miss of all caches for its record, the next one's
// address lies in that, and its bits are another miss. So each record keeps the address of the one k_ahead below it, as
// it was pushed, for a pop to prefetch that; and of the one two below the bits are asked for, whose record has come by
// then. All of these are hints. What they point to is a record, of whatever span, for records are never unmapped.
class span_list {
 public:
  void push(mspan* s) noexcept {
    if (s->is_large()) return large_.push(s);
    note(s);
    small_.push(s);
  }
  // Small ones that are to be pushed in one step, as if one after the other.
  class chain {
   public:
    explicit chain(span_list& to) noexcept : to_(to) {}
    void add(mspan* s) noexcept {
      to_.note(s);
      if (first_ == nullptr) last_ = s;
      else s->next.store(first_, std::memory_order_relaxed);
      first_ = s;
    }
    void push() noexcept {
      if (first_ != nullptr) to_.small_.push_chain(first_, last_);
    }

   private:
    span_list& to_;
    mspan *first_ = nullptr, *last_ = nullptr;
  };
  mspan* pop() noexcept {
    if (stack_link* s = small_.pop()) return static_cast<mspan*>(s);
    return large_.pop();
  }
  // The same for who is going to sweep it, and others after it.
  mspan* pop_to_sweep() noexcept {
    mspan* s = pop();
    if (s == nullptr || s->is_large()) return s;
    if (const mspan* below = s->below.load(std::memory_order_relaxed)) below->prefetch();
    const stack_link* next = s->next.load(std::memory_order_relaxed);
    if (next != nullptr) next = next->next.load(std::memory_order_relaxed);
    if (next != nullptr) static_cast<const mspan*>(next)->prefetch_bits();
    return s;
  }
  // Up to `most` small ones. Returns how many.
  unsigned pop_to_sweep(mspan** spans, unsigned most) noexcept {
    unsigned n = 0;
    stack_link* s = small_.pop_chain(most, n);
    for (unsigned i = 0; i < n; ++i, s = s->next.load(std::memory_order_relaxed)) {
      spans[i] = static_cast<mspan*>(s);
      if (const mspan* below = spans[i]->below.load(std::memory_order_relaxed)) below->prefetch();
      spans[i]->prefetch_bits();
    }
    return n;
  }
  // For large spans.
  bool remove(mspan* s) noexcept { return large_.remove(s); }
  bool empty() const noexcept { return small_.empty() && large_.empty(); }

 private:
  static constexpr unsigned k_ahead = 8;
  // `s` is going to be pushed.
  void note(mspan* s) noexcept {
    const unsigned turn = turn_.load(std::memory_order_relaxed);
    s->below.store(recent_[turn % k_ahead].load(std::memory_order_relaxed), std::memory_order_relaxed);
    recent_[turn % k_ahead].store(s, std::memory_order_relaxed);
    turn_.store(turn + 1, std::memory_order_relaxed);
  }

  tagged_stack small_;
  large_list large_;
  // What was pushed last. Of pushes at the same time one may be lost.
  std::atomic<unsigned> turn_{0};
  std::atomic<mspan*> recent_[k_ahead] = {};
};

class alignas(64) mcentral {
 public:
  // A swept span with a free slot, sweeping some if need be. Null when sweeping a hundred of them freed nothing; then
  // a fresh span is cheaper. Sets sweepgen to "in a cache, swept". `spent`: on sweeping, from the second span on; to
  // sweep one takes about as long as to read the clock twice. `used`: mcache::used.
  mspan* take(std::uint32_t h, cpu_use& used, interval& spent) noexcept;
  // The same while a cycle marks: all spans are swept, and the other lists are looked at by nobody who may hold an
  // old generation in hand, for which they would be the unswept ones.
  mspan* take_swept(std::uint32_t h) noexcept;
  // Back from a cache, or new: swept, sweepgen h.
  void put(mspan* s, std::uint32_t h) noexcept;
  // Sweeps one span that needs it, and files or frees it. Returns its pages, 0 when none is left. Unless
  // `may_wait` an empty small one that could be freed only after waiting for the lock of the pages is filed,
  // for the next refill of its class, or to be freed after the next cycle.
  std::size_t sweep_one(std::uint32_t h, bool may_wait) noexcept;
  // Sweeps up to k_batch small spans. As if by sweep_one for each; but what is common to all threads, lists, counts and
  // the lock of the pages, is written once for all of them: who allocates meanwhile waits for these lines else at
  // every step. (A sweeper beside a ring of messages: their next span took 5 us instead of 3.)
  std::size_t sweep_batch(std::uint32_t h) noexcept;
  // Raising it keeps a handshake, and who wants the lock of the pages, waiting for longer.
  static constexpr unsigned k_batch = 8;
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
  // The same without counting what it freed, which it returns.
  static unsigned sweep_uncounted(mspan* s, std::uint32_t h) noexcept;
  // How many spans one call of take may still sweep, and the time since it began with the second.
  struct search {
    unsigned budget;
    cpu_use& used;
    std::optional<stopwatch> since_second;
  };
  mspan* sweep_for_use(span_list& from, std::uint32_t h, search& s) noexcept;

  span_list partial_[2], full_[2];
};

}  // namespace cairn::heap
