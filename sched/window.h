// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Windows: a few instructions in which a thread relies on a word, its permission, that others withdraw hardly ever.
//
//   the thread (in a section)                 who withdraws
//   m::window = the thing                     the permission = none
//   looks at the permission: may it?          fence_other_threads()
//   does it, by plain stores                  waits while m::window is the thing
//   m::window = null (release)                (acquire) sees all that was done in it
//
// Dekker's, with the fence on one side only: the thread's store of the window and its look are not in order by
// themselves; the fence on its processor falls before the store, and then the look finds nothing, or after it, and
// then the window is seen open. So after the wait nobody does anything by that permission, and whoever did has done
// it visibly.
//
// A window is opened in a section: nobody is frozen or stopped in one. It waits for nothing and opens no other one,
// so whoever waits for its end waits for a few instructions, or for the kernel to give the thread its processor
// again. Where the kernel has no such fence nobody gives permissions (has_fence_for_all).
#pragma once
#include <atomic>

#include "heap/delay.h"
#include "heap/pause.h"
#include "sched/fence.h"
#include "sched/m.h"

namespace cairn::sched {

class window {
 public:
  window(m& self, const void* on) noexcept : self_(self) {
    self.window.store(on, std::memory_order_relaxed);
    // For the compiler; the processor's part is in fence_other_threads.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    heap::maybe_delay("window.opened");
  }
  ~window() {
    heap::maybe_delay("window.closing");
    self_.window.store(nullptr, std::memory_order_release);  // with await_window
  }
  window(const window&) = delete;
  window& operator=(const window&) = delete;

 private:
  m& self_;
};

// A section and a window in one, at depth 0, for where each instruction counts.
inline void open_window(m& self, const void* on) noexcept {
  self.depth.store(1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // nothing of the section before its start
  self.window.store(on, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // as in the constructor above
}
// False: a request has come meanwhile, which is to be answered at once, by answer_deferred().
[[nodiscard]] inline bool close_window(m& self) noexcept {
  self.window.store(nullptr, std::memory_order_release);  // with await_window
  self.depth.store(0, std::memory_order_release);         // as at the end of a runtime_section
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return self.state.load(std::memory_order_relaxed) != k_requested;
}

// After the permission was withdrawn and fence_other_threads() has returned.
inline void await_window(const m& other, const void* on) noexcept {
  for (unsigned spins = 0; other.window.load(std::memory_order_acquire) == on;) heap::relax(spins);
}

}  // namespace cairn::sched
