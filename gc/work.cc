// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The pool of work buffers and the end of parallel marking. See gc/work.h.
#include "gc/work.h"

#include "heap/fatal.h"
#include "heap/pause.h"

namespace cairn::gc {

work_buf* work_pool::take_empty() noexcept {
  work_buf* b = records_.take();
  if (b != nullptr) b->n = 0;
  return b;
}

void work_pool::put_full(work_buf* b) noexcept {
  heap::lock_guard guard(lock_);
  b->next = full_;
  full_ = b;
  n_full_.store(n_full_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (asked_.load(std::memory_order_relaxed)) asked_.store(false, std::memory_order_relaxed);
}

work_buf* work_pool::try_take_full() noexcept {
  if (!has_full()) return nullptr;
  heap::lock_guard guard(lock_);
  work_buf* b = full_;
  if (b == nullptr) return nullptr;
  full_ = b->next;
  n_full_.store(n_full_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  return b;
}

bool work_pool::is_empty() noexcept {
  heap::lock_guard guard(lock_);
  return full_ == nullptr;
}

void work_pool::discard() noexcept {
  while (work_buf* b = try_take_full()) give_empty(b);
}

void work_writer::next() noexcept {
  if (b_ != nullptr) pool_.put_full(b_);
  b_ = pool_.take_empty();
  // Without the system's 2 KiB what was found would be lost.
  if (b_ == nullptr)
    heap::fatal_error("out of memory for the collector's work buffers: the system refused 64 KiB");
}

void work_pool::begin_round() noexcept {
  heap::lock_guard guard(lock_);
  finished_ = false;
  workers_ = 0;
  idle_.store(0, std::memory_order_relaxed);
}

bool work_pool::join() noexcept {
  heap::lock_guard guard(lock_);
  if (finished_) return false;
  ++workers_;
  inside_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

work_buf* work_pool::wait_for_work() noexcept {
  bool idle = false;
  for (unsigned spins = 0;; ++spins) {
    {
      heap::lock_guard guard(lock_);
      if (work_buf* b = full_) {
        full_ = b->next;
        n_full_.store(n_full_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
        if (idle) idle_.store(idle_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
        return b;
      }
      if (!idle) idle_.store(idle_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      idle = true;
      if (idle_.load(std::memory_order_relaxed) == workers_) finished_ = true;
      if (finished_) return nullptr;
    }
    // A worker that is busy is inside an object or about to share: microseconds.
    for (unsigned i = 0; i < 64 && !has_full(); ++i) heap::cpu_relax();
    if (spins > 100) heap::yield_cpu();
  }
}

void work_pool::leave() noexcept { inside_.fetch_sub(1, std::memory_order_release); }

void work_pool::await_others() noexcept {
  for (unsigned spins = 0; inside_.load(std::memory_order_acquire) != 0; ++spins) {
    heap::cpu_relax();
    if (spins > 1000) heap::yield_cpu();
  }
}

}  // namespace cairn::gc
