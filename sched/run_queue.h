// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The goroutines that wait for one P: a ring of 256, and `next`, which goes first.
//
// The owner puts at the tail and takes at the head; others take at the head only, up to half at a time. The slots are
// atomic because a thief may read one that the owner has meanwhile filled anew; its CAS on the head then fails.
//
//   tail   written by the owner alone (release: the slot before it; a thief acquires)
//   head   advanced by CAS, by whoever takes (release: the slots were read; the owner acquires before it fills them)
//   next   set by the owner, with a plain store if it is null: thieves make it only that; taken by a CAS
//
// The owner is the M that has the P, or whoever has taken the P from its M (sched/proc.h).
#pragma once
#include <atomic>
#include <cstdint>

namespace cairn::sched {

struct goroutine;

class run_queue {
 public:
  static constexpr std::uint32_t k_slots = 256;

  // ---- owner

  // False when the ring is full.
  bool put(goroutine* g) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    // Acquire: with the CAS of who took: the slot has been read.
    if (tail - head_.load(std::memory_order_acquire) == k_slots) return false;
    slots_[tail % k_slots].store(g, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);  // with the acquire in grab
    return true;
  }

  // `left`: how many there are from then on, itself included, by a tail that may be old.
  goroutine* take(std::uint32_t& left) noexcept {
    std::uint32_t head = head_.load(std::memory_order_relaxed);
    for (;;) {
      left = tail_.load(std::memory_order_relaxed) - head;
      if (left == 0) return nullptr;
      goroutine* g = slots_[head % k_slots].load(std::memory_order_relaxed);
      // Release: with the acquire in put. The owner wrote the slots itself, or took them over with the P.
      if (head_.compare_exchange_weak(head, head + 1, std::memory_order_release, std::memory_order_relaxed))
        return g;
    }
  }
  goroutine* take() noexcept {
    std::uint32_t left;
    return take(left);
  }

  // The one after `n` others, or null: to prefetch it. It may be taken, and run, by a thief meanwhile.
  goroutine* peek(std::uint32_t n) const noexcept {
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    // Signed: a thief may have taken what lay between the two loads.
    const auto there = static_cast<std::int32_t>(tail_.load(std::memory_order_relaxed) - head);
    return there > static_cast<std::int32_t>(n) ? slots_[(head + n) % k_slots].load(std::memory_order_relaxed)
                                                : nullptr;
  }

  // Takes the front half of a full ring; 0 if a thief was quicker.
  std::uint32_t take_half(goroutine** out) noexcept {
    std::uint32_t head = head_.load(std::memory_order_relaxed);
    const std::uint32_t n = (tail_.load(std::memory_order_relaxed) - head) / 2;
    for (std::uint32_t i = 0; i < n; ++i)
      out[i] = slots_[(head + i) % k_slots].load(std::memory_order_relaxed);
    // Release: as in take.
    if (!head_.compare_exchange_strong(head, head + n, std::memory_order_release, std::memory_order_relaxed))
      return 0;
    return n;
  }

  // Returns who was to go first until now. Release and acquire: with take_next by a thief.
  goroutine* put_next(goroutine* g) noexcept {
    if (next_.load(std::memory_order_relaxed) != nullptr) return next_.exchange(g, std::memory_order_acq_rel);
    next_.store(g, std::memory_order_release);
    return nullptr;
  }

  // ---- anybody

  goroutine* take_next() noexcept {
    goroutine* g = next_.load(std::memory_order_relaxed);
    // Acquire: with put_next.
    while (g != nullptr &&
           !next_.compare_exchange_weak(g, nullptr, std::memory_order_acquire, std::memory_order_relaxed)) {
    }
    return g;
  }
  goroutine* peek_next() const noexcept { return next_.load(std::memory_order_relaxed); }

  // Half of what is there, rounded up, at most k_slots / 2.
  std::uint32_t grab(goroutine** out) noexcept {
    // Acquire on the head: with the CAS of an earlier taker, so that the tail is not older. On the tail: with put.
    std::uint32_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      const std::uint32_t there = tail_.load(std::memory_order_acquire) - head;
      const std::uint32_t n = there - there / 2;
      if (n == 0) return 0;
      if (n <= k_slots / 2) {  // else head and tail were read at different times
        for (std::uint32_t i = 0; i < n; ++i)
          out[i] = slots_[(head + i) % k_slots].load(std::memory_order_relaxed);
        // Release: with the acquire in put.
        if (head_.compare_exchange_strong(head, head + n, std::memory_order_acq_rel, std::memory_order_acquire))
          return n;
      } else {
        head = head_.load(std::memory_order_acquire);
      }
    }
  }

  // In the ring; `next` does not count. A hint unless the queue stands still.
  std::uint32_t size() const noexcept {
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    const std::uint32_t n = tail_.load(std::memory_order_relaxed) - head;
    return n <= k_slots ? n : 0;
  }
  // Sequentially consistent, for who goes idle: see "No work is left lying" in sched/proc.h.
  bool seems_empty() const noexcept {
    return head_.load(std::memory_order_seq_cst) == tail_.load(std::memory_order_seq_cst) &&
           next_.load(std::memory_order_seq_cst) == nullptr;
  }

 private:
  alignas(64) std::atomic<std::uint32_t> head_{0};
  alignas(64) std::atomic<std::uint32_t> tail_{0};
  std::atomic<goroutine*> next_{nullptr};
  std::atomic<goroutine*> slots_[k_slots] = {};
};

}  // namespace cairn::sched
