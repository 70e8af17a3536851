// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The poller: who waits for which file descriptor, on epoll. It knows nothing of goroutines: a waiter is a record on
// the stack of who waits, with a function to be called.
//
// A descriptor is registered with epoll at its first waiter and stays so until it is closed, which the kernel notices
// by itself. Each wait arms it for the directions that somebody waits for, for one event (EPOLLONESHOT): the library
// waits on descriptors that it does not own, whose readiness others consume, so "readable" must be asked of the kernel
// anew each time and must not be remembered, as edges would have to be. Arming a descriptor that is ready already
// gives its event at once.
//
//   an event wakes all waiters of its direction; those of the other one are armed again
//   an arming has a number, which the event brings back: what was fetched before the last arming is void. That is no
//   loss, for arming looks at the state anew. It also voids events of a description that was registered under the same
//   number earlier and lives on in a duplicate
//
// A descriptor that is closed while somebody waits is silent for ever, unless told otherwise: check_closed arms the
// waiters' descriptors again, a few at each call, and the kernel answers EBADF when one is closed and ENOENT when the
// number belongs to another file meanwhile. (Rejected: comparing fstat's device and inode, which all eventfds share.)
//
// One lock guards the table, with epoll_ctl called under it: the kernel has one lock for that as well. wake is called
// under it too, so that whoever has called remove knows that nobody touches the waiter any more.
//
// A child after fork does not use the poller. The object is constant-initialised and never destroyed.
#pragma once
#include <sys/epoll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cairn/detail/annotate.h"
#include "heap/lock.h"

namespace cairn::sched {

struct poll_entry;

struct poll_waiter {
  // Called at most once, inside a section, under the poller's lock: it readies somebody and calls nothing of the
  // poller. `error` is 0 (ready, or in a state of error that the next call on the descriptor will report), or EBADF:
  // the descriptor was closed meanwhile. The waiter belongs to its owner again, and may be gone when wake returns.
  using function = void (*)(poll_waiter& w, int error);

  int fd = -1;
  bool for_write = false;
  function wake = nullptr;

  // ---- owner: the poller, under its lock
  poll_waiter* next = nullptr;
  poll_waiter** link = nullptr;  // what points here; null: not waiting
  poll_entry* entry = nullptr;
};

// What wait has fetched and dispatch has yet to act upon. On the stack of who polls.
struct poll_events {
  static constexpr int k_most = 128;
  int count = 0;
  epoll_event events[k_most];
};

class netpoll {
 public:
  static constexpr int k_always_ready = -1;

  constexpr netpoll() noexcept = default;
  netpoll(const netpoll&) = delete;
  netpoll& operator=(const netpoll&) = delete;

  // Makes the poller's own descriptors, if that is not done; an errno value or 0. add does it by itself. Any depth.
  int open() noexcept CAIRN_EXCLUDES(lock_);

  // 0: w waits. k_always_ready: a regular file or a directory, of which epoll knows nothing; w does not wait, and
  // neither has the caller to. Else an errno value, and w does not wait. Inside a section.
  int add(poll_waiter& w) noexcept CAIRN_EXCLUDES(lock_);
  // True: it waited, and will not be woken. False: it was woken, or never waited. In either case nobody touches it any
  // more. Inside a section.
  bool remove(poll_waiter& w) noexcept CAIRN_EXCLUDES(lock_);

  // The right to block in wait: one thread has it at a time. (Any thread may wait without blocking.) Open before that,
  // so that whoever sees the claim can interrupt. Sequentially consistent: who is about to block claims, then looks for
  // work; who brings work looks for a claim afterwards.
  [[nodiscard]] bool try_claim() noexcept {
    return !claimed_.load(std::memory_order_relaxed) && !claimed_.exchange(true, std::memory_order_seq_cst);
  }
  void release() noexcept { claimed_.store(false, std::memory_order_release); }
  bool is_claimed() const noexcept { return claimed_.load(std::memory_order_seq_cst); }

  // Fetches what is ready. Deadline 0 does not block. k_forever or a time of now_ns() block, until there is an event,
  // an interrupt, a signal or the deadline; then the caller has the claim and is in the safe state, or not attached.
  // Blocks nobody while the poller is not open.
  void wait(poll_events& out, std::int64_t deadline) noexcept;
  // Wakes the waiters of those events; how many. Inside a section.
  int dispatch(const poll_events& fetched) noexcept CAIRN_EXCLUDES(lock_);
  // wait and dispatch, without blocking. Inside a section.
  int poll() noexcept CAIRN_EXCLUDES(lock_);

  // Makes the wait that blocks, or the next that would, return at once. Many before that are as one. Any thread, any
  // depth.
  void interrupt() noexcept;

  // Lock-free. 0: there is nothing to poll for, and what the last one's wake has done can be seen.
  std::size_t waiters() const noexcept { return waiters_.load(std::memory_order_acquire); }

  // Wakes waiters whose descriptors were closed, of the k_checked_at_once that it looks at; the next call looks at the
  // next ones. How many were woken. Inside a section.
  static constexpr int k_checked_at_once = 64;
  int check_closed() noexcept CAIRN_EXCLUDES(lock_);

 private:
  // The table of entries by descriptor: pages of them, each made at the first use of one of its descriptors.
  poll_entry* entry_of(int fd) noexcept CAIRN_REQUIRES(lock_);
  bool reserve_page(std::size_t index) noexcept CAIRN_REQUIRES(lock_);

  int arm(poll_entry& e, int operation) noexcept CAIRN_REQUIRES(lock_);
  void link(poll_entry& e, poll_waiter& w) noexcept CAIRN_REQUIRES(lock_);
  void unlink(poll_waiter& w) noexcept CAIRN_REQUIRES(lock_);
  void link_busy(poll_entry& e) noexcept CAIRN_REQUIRES(lock_);
  void unlink_busy(poll_entry& e) noexcept CAIRN_REQUIRES(lock_);
  int wake_all(poll_entry& e, bool readers, bool writers, int error) noexcept CAIRN_REQUIRES(lock_);
  int dispatch_one(const epoll_event& event) noexcept CAIRN_EXCLUDES(lock_);
  int open_locked() noexcept CAIRN_REQUIRES(lock_);

  // Written once, under the lock.
  std::atomic<int> epoll_{-1};
  std::atomic<int> event_{-1};  // an eventfd, readable after interrupt
  std::atomic<std::size_t> waiters_{0};
  std::atomic<bool> claimed_{false};
  std::atomic<bool> interrupted_{false};  // event_ is readable or about to be

  heap::lock lock_;
  poll_entry** pages_ CAIRN_GUARDED_BY(lock_) = nullptr;
  std::size_t page_count_ CAIRN_GUARDED_BY(lock_) = 0;
  // Entries with waiters, in the order in which check_closed comes to them.
  poll_entry* first_busy_ CAIRN_GUARDED_BY(lock_) = nullptr;
  poll_entry* last_busy_ CAIRN_GUARDED_BY(lock_) = nullptr;
};

}  // namespace cairn::sched
