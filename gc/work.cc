// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The pool of work buffers and the end of parallel marking. See gc/work.h.
#include "gc/work.h"

#include "gc/scout.h"
#include "heap/delay.h"
#include "heap/fatal.h"
#include "heap/pause.h"

namespace cairn::gc {

work_buf* work_pool::take_empty() noexcept {
  work_buf* b = records_.take();
  if (b != nullptr) {
    b->n = 0;
    b->region = k_no_region;
  }
  return b;
}

void work_pool::put_full(work_buf* b) noexcept {
  full_.push(b);
  if (asked_.load(std::memory_order_relaxed)) asked_.store(false, std::memory_order_relaxed);
}

void work_pool::put_region(work_buf* b) noexcept {
  regions_.put(b);
  if (asked_.load(std::memory_order_relaxed)) asked_.store(false, std::memory_order_relaxed);
}

void work_pool::put_shaded(work_buf* b) noexcept {
  shaded_.push(b);
  if (asked_.load(std::memory_order_relaxed)) asked_.store(false, std::memory_order_relaxed);
}

work_buf* work_pool::try_take_full() noexcept {
  if (has_shaded()) {
    if (work_buf* b = try_take_shaded()) return b;
  }
  if (work_buf* b = static_cast<work_buf*>(full_.pop())) return b;
  return regions_.try_take_any();
}

void work_pool::discard() noexcept {
  while (work_buf* b = try_take_full()) give_empty(b);
}

void work_writer::next() noexcept {
  if (b_ != nullptr) pool_.put_shaded(b_);
  b_ = pool_.take_empty();
  // Without the system's 2 KiB what was found would be lost.
  if (b_ == nullptr)
    heap::fatal_error("out of memory for the collector's work buffers: the system refused 64 KiB");
}

// ---- rounds ---------------------------------------------------------------------------------------------------------

// The last round is finished and all have left: nobody else changes the word.
void work_pool::begin_round() noexcept {
  round_.store(round::k_worker + round::k_inside, std::memory_order_release);
}

// Acquire and release: all changes of the word are one chain, so who finds a round finished, or everybody gone, sees
// what the others did before their changes.
bool work_pool::change_unless_finished(std::uint64_t by) noexcept {
  round seen{round_.load(std::memory_order_acquire)};
  do {
    if (seen.finished()) return false;
    heap::maybe_delay("pool.round");
  } while (!round_.compare_exchange_weak(seen.word, seen.word + by, std::memory_order_acq_rel,
                                         std::memory_order_acquire));
  return true;
}

bool work_pool::finish_if_all_idle() noexcept {
  round seen{round_.load(std::memory_order_acquire)};
  while (!seen.finished()) {
    if (seen.idle() != seen.workers()) return false;
    heap::maybe_delay("pool.finish");
    if (round_.compare_exchange_weak(seen.word, seen.word | round::k_finished, std::memory_order_acq_rel,
                                     std::memory_order_acquire))
      return true;
  }
  return true;
}

bool work_pool::join() noexcept { return change_unless_finished(round::k_worker + round::k_inside); }

namespace {

// For some 5 us. True: there is something to do.
bool scouts(scout& ahead) noexcept {
  for (int i = 0; i < 16; ++i) ahead.advance();
  return ahead.has_reached();
}

}  // namespace

work_buf* work_pool::wait_for_work(scout* ahead) noexcept {
  // Some 20 us. Who waits for less does not wait for somebody who follows a list.
  constexpr unsigned k_spins_before_scouting = 8;
  constexpr unsigned k_turns = 100;
  // From here on the caller has no entry in hand.
  for (unsigned spins = 0, turns = 0;; ++turns) {
    if (work_buf* b = try_take_full()) return b;
    // What has_full() promised somebody may be just putting or taking, who waits for a processor.
    if (turns > k_turns) heap::yield_cpu();
    heap::maybe_delay("pool.idle");
    if (!change_unless_finished(round::k_idle)) return nullptr;
    // A worker that is busy is inside an object or about to share: microseconds.
    bool found = false;
    for (; !has_full() && !found; ++spins) {
      if (finish_if_all_idle()) return nullptr;
      if (ahead != nullptr && spins >= k_spins_before_scouting) found = scouts(*ahead);
      for (unsigned i = 0; i < 64 && !has_full(); ++i) heap::cpu_relax();
      if (spins > 100) heap::yield_cpu();
    }
    heap::maybe_delay("pool.busy");
    if (!change_unless_finished(-round::k_idle)) return nullptr;
    if (found)
      if (work_buf* b = ahead->take()) return b;
  }
}

void work_pool::leave() noexcept { round_.fetch_sub(round::k_inside, std::memory_order_release); }

void work_pool::await_others() noexcept {
  for (unsigned spins = 0; round{round_.load(std::memory_order_acquire)}.inside() != 0; ++spins) {
    heap::cpu_relax();
    if (spins > 1000) heap::yield_cpu();
  }
}

}  // namespace cairn::gc
