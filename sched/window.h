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
// A fenced window is opened by an exchange instead, and the look is sequentially consistent: then who withdraws makes
// that fence himself, on his own processor, and none for others. For permissions that are withdrawn often.
//
// A window is opened in a section: nobody is frozen or stopped in one. It waits for nothing and opens no other one,
// so whoever waits for its end waits for a few instructions, or for the kernel to give the thread its processor
// again. Where the kernel has no such fence nobody gives permissions (has_fence_for_all).
#pragma once
#include <atomic>

#include "cairn/detail/assert.h"
#include "heap/delay.h"
#include "heap/pause.h"
#include "sched/fence.h"
#include "sched/m.h"

namespace cairn::sched {

class window {
 public:
  window(m& self, const void* on) noexcept : self_(self) {
    // Release: who waits for the end of a former window may find this one.
    self.window.store(on, std::memory_order_release);
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
enum class window_kind { plain, fenced };
template <window_kind kind = window_kind::plain>
inline void open_window(m& self, const void* on) noexcept {
  self.depth.store(1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // nothing of the section before its start
  if constexpr (kind == window_kind::fenced) self.window.exchange(on, std::memory_order_seq_cst);
  else self.window.store(on, std::memory_order_release);  // as in the constructor above
  std::atomic_signal_fence(std::memory_order_seq_cst);    // likewise
}
// False: a request has come meanwhile, which is to be answered at once, by answer_deferred().
[[nodiscard]] inline bool close_window(m& self) noexcept {
  self.window.store(nullptr, std::memory_order_release);  // with await_window
  self.depth.store(0, std::memory_order_release);         // as at the end of a runtime_section
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return self.state.load(std::memory_order_relaxed) != k_requested;
}

// f() in such a window. `must_answer`: a request has come meanwhile, and waits. Written by who inlines it, so that
// nothing but what hardly ever happens follows the window's end.
template <bool is_delayed, window_kind kind = window_kind::plain, class F>
[[gnu::always_inline]] inline bool in_window(m& self, const void* on, bool& must_answer, F f) noexcept {
  if (is_delayed)
    CAIRN_ASSERT(self.depth.load(std::memory_order_relaxed) == 0, "it is locked inside a runtime section");
  open_window<kind>(self, on);
  if (is_delayed) heap::maybe_delay("window.opened");
  const bool is_done = f();
  if (is_delayed) heap::maybe_delay("window.closing");
  must_answer = !close_window(self);
  return is_done;
}
[[gnu::cold, gnu::noinline]] inline bool answer_after(m& self, bool is_done) noexcept {
  detail_m::answer_deferred(self);
  return is_done;
}
template <window_kind kind = window_kind::plain, class F>
[[gnu::cold, gnu::noinline]] bool in_delayed_window(m& self, const void* on, F f) noexcept {
  bool must_answer = false;
  const bool is_done = in_window<true, kind>(self, on, must_answer, f);
  return must_answer ? answer_after(self, is_done) : is_done;
}
inline bool are_delays_on() noexcept { return heap::delays.permille.load(std::memory_order_relaxed) != 0; }
// The same, and has answered on return.
template <window_kind kind = window_kind::plain, class F>
[[gnu::always_inline]] inline bool in_answered_window(m& self, const void* on, F f) noexcept {
  if (are_delays_on()) [[unlikely]]
    return in_delayed_window<kind>(self, on, f);
  bool must_answer = false;
  const bool is_done = in_window<false, kind>(self, on, must_answer, f);
  if (must_answer) [[unlikely]]
    return answer_after(self, is_done);
  return is_done;
}

// After the permission was withdrawn and fence_other_threads() has returned.
inline void await_window(const m& other, const void* on) noexcept {
  for (unsigned spins = 0; other.window.load(std::memory_order_acquire) == on;) heap::relax(spins);
}

}  // namespace cairn::sched
