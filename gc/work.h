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
// Termination of parallel marking. A worker is busy or idle; only busy ones add buffers.
//   idle == workers and no buffer is full  =>  nothing is left and nothing can be added
// Both are read under the pool's lock by a worker that has just become idle, so the last one sees it.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "heap/lock.h"
#include "heap/metadata.h"

namespace cairn::gc {

struct work_buf {
  static constexpr std::size_t k_entries = 254;
  work_buf* next = nullptr;
  std::size_t n = 0;
  std::uintptr_t entries[k_entries];
};
static_assert(sizeof(work_buf) == 2048);

class work_pool {
 public:
  // At depth 0: so many buffers can be taken without asking the system.
  void reserve(std::size_t n) noexcept { records_.reserve(n); }

  // An empty buffer; null when the system gives no memory.
  work_buf* take_empty() noexcept;
  void give_empty(work_buf* b) noexcept { records_.give(b); }
  void put_full(work_buf* b) noexcept;
  work_buf* try_take_full() noexcept;
  bool has_full() const noexcept { return n_full_.load(std::memory_order_relaxed) != 0; }
  // No full buffer, for certain: whoever took the last one did so before.
  bool is_empty() noexcept;
  // Gives up all full buffers unread: after marking has ended.
  void discard() noexcept;

  // Parallel marking, one round per drain: begin; every worker joins or is refused; wait_for_work returns a buffer, or
  // null when all are out of work; leave. The one who began it waits for the others to leave.
  void begin_round() noexcept;
  bool join() noexcept;
  work_buf* wait_for_work() noexcept;
  void leave() noexcept;
  void await_others() noexcept;
  // Somebody waits for work, or an assist asks for some: a hint for those who have plenty.
  bool is_wanted() const noexcept {
    return (idle_.load(std::memory_order_relaxed) != 0 || asked_.load(std::memory_order_relaxed)) &&
           !has_full();
  }
  void ask() noexcept { asked_.store(true, std::memory_order_relaxed); }

 private:
  heap::fixed_alloc<work_buf> records_;
  heap::lock lock_;
  work_buf* full_ CAIRN_GUARDED_BY(lock_) = nullptr;
  bool finished_ CAIRN_GUARDED_BY(lock_) = true;
  unsigned workers_ CAIRN_GUARDED_BY(lock_) = 0;
  std::atomic<unsigned> n_full_{0};  // Written under lock_; read without as a hint.
  std::atomic<unsigned> idle_{0};    // Likewise.
  std::atomic<bool> asked_{false};   // Set by assists, cleared with the next full buffer.
  std::atomic<unsigned> inside_{
      0};  // Workers between join and leave. Release in leave, acquire in await_others.
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
    if (b_->n != 0) pool_.put_full(b_);
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
