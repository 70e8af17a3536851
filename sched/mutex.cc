// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The mutex of goroutines. As Go's, it is unfair until somebody has waited for a millisecond: an unlock frees the mutex
// and calls the first in line, and whoever comes by meanwhile may take it, for it runs already. The called one keeps
// its place if it comes too late. If it has waited for long the unlock reserves the mutex: nobody but the first in line
// takes it then, so that a loser gets it at the latest with the first unlock after a millisecond and its own wake.
//
// The word. k_held: somebody has it. k_line: somebody may stand in line, so an unlock has to look. k_called:
// the first in line has been called and is not here yet, so an unlock has nothing to do. k_reserved: not held,
// but for the first in line. 0 becomes k_held and back by a CAS; k_line, with k_called or without, gets k_held
// by a CAS, and k_held | k_line | k_called loses it; everything else happens under the lock of the hall. Not
// held with a line means that its first has been called. Bits that speak of nobody, because who was called has
// been dropped, are found out under the lock of the hall: k_called by the next one who comes to stand in line,
// k_line by the next unlock without k_called. (Where the line goes on without who was dropped, its next has
// been called instead.)
//
// The bias. The two locked instructions are what an uncontended mutex costs. A thread that has locked it k_streak times
// in a row gets the bias: it locks and unlocks by plain stores, in a window on the mutex (window.h) in which it has
// seen that it has the bias. The first other one ends it. (Kawachiya, Koseki, Onodera: Lock reservation, OOPSLA 2002,
// where who ends it stops the owner instead.)
//
//   k_held             -> k_held | k_biased   by the thread that has just locked it, under the lock of the hall, by a
//                                             CAS; then bias_ is its m
//   k_biased           -> k_biased | k_held   by the owner's plain store, in a window in which bias_ is its m
//   k_biased | k_held  -> k_biased            the same
//   biased             -> not biased          under the lock of the hall: bias_ becomes 0, then the fence and the wait
//                                             for the owner's window, then k_biased goes
//
// As long as k_biased is there only the owner, in a window, and who ends the bias change the word: all CAS expect a
// word without it, and whatever happens under the lock of the hall ends the bias first. So after the wait nobody but
// who ends it changes the word, and what the owner has stored is seen. bias_ is written under the lock of the hall,
// and made an m only by that m itself, so who finds itself there either has the bias or has yet to see it
// ended, which the fence sees to. k_line is never there with k_biased: nobody who is in line is overlooked.
//
// Who ends the bias does so while the mutex is his to use: he wants it or holds it. The owner does not touch it after
// its store. A goroutine may lock it by the bias and unlock it on another thread; it ends the bias then.
//
// Ending it costs some microseconds, which is about a tenth of what k_streak locks and unlocks took. A lock that had to
// wait ends a streak, so a mutex that many want at once gets no bias. bias_ is a word apart, for the reason that
// rw_mutex.cc gives.
//
// A CAS that fails costs as much as one that does not, so each is made after a look: the word's cache line was fetched
// for bias_ already. So a lock and unlock is two locked instructions while there is a line, too.
//
// Rejected: to leave the mutex to the thread that has locked it last for a microsecond (two threads that did so took
// longer for a turn than one that had it all the time, which is what comes of itself where stealing does not pay);
// the mutex's number of waiters in the word, as Go has it, and handing it over by a word that stays
// held. Both would have to be put right for a goroutine that is dropped while it waits, when the mutex may be
// gone.
#include <cstdlib>

#include "cairn/sync/mutex.h"
#include "heap/delay.h"
#include "sched/fence.h"
#include "sched/futex.h"
#include "sched/line.h"
#include "sched/message.h"
#include "sched/proc.h"
#include "sched/window.h"

namespace cairn::sync {
namespace {

constexpr std::uint32_t k_held = 1, k_line = 2, k_reserved = 4, k_called = 8, k_biased = 16;
constexpr std::int64_t k_starving_ns = 1'000'000;

inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

// Whoever holds it may run on another processor and be done soon. Only while nobody waits: it would be no use to come
// before those who sleep already.
bool spin_for(std::atomic<std::uint32_t>& word) noexcept {
  constexpr int k_rounds = 4, k_pauses = 30;
  if (sched::proc_limit() == 1 && sched::parkable() != nullptr) return false;
  for (int i = 0; i < k_rounds; ++i) {
    std::uint32_t state = word.load(std::memory_order_relaxed);
    // Acquire, here and below: with the release of the unlock.
    if (state == 0 &&
        word.compare_exchange_strong(state, k_held, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
    if ((state & (k_line | k_reserved | k_biased)) != 0) return false;
    for (int k = 0; k < k_pauses; ++k) pause();
  }
  return false;
}

// Free, and the first in line has been called but is not here yet.
bool take_before_called(std::atomic<std::uint32_t>& word) noexcept {
  std::uint32_t state = word.load(std::memory_order_relaxed);
  while ((state & ~k_called) == k_line)
    if (word.compare_exchange_weak(state, state | k_held, std::memory_order_acquire, std::memory_order_relaxed))
      return true;
  return false;
}
// Held, and there is nobody to be called.
bool leave_to_called(std::atomic<std::uint32_t>& word) noexcept {
  std::uint32_t state = k_held | k_line | k_called;
  // Release: with lock(). From here on the mutex may be gone.
  return word.load(std::memory_order_relaxed) == state &&
         word.compare_exchange_strong(state, k_line | k_called, std::memory_order_release,
                                      std::memory_order_relaxed);
}

// Takes the mutex, if it is free for `w`: which need not be in line, or null. Else sees to it that an unlock looks.
bool take(std::atomic<std::uint32_t>& word, sched::hall& h, sched::place* w) noexcept CAIRN_REQUIRES(h.lock) {
  sched::place* first = h.first_at(&word);
  const bool comes_first = first == nullptr || first == w;
  const bool others = first != nullptr && (first != w || first->next != first);
  const std::uint32_t called = first != nullptr && first != w && !first->asleep ? k_called : 0;
  std::uint32_t state = word.load(std::memory_order_relaxed);
  for (;;) {
    const bool is_free = (state & k_held) == 0 && ((state & k_reserved) == 0 || comes_first);
    const std::uint32_t line = (others || !is_free ? k_line : 0) | called;
    const std::uint32_t wanted = (is_free ? k_held : state & (k_held | k_reserved)) | line;
    if (!is_free && (wanted == state || w == nullptr)) return false;
    if (word.compare_exchange_weak(state, wanted, std::memory_order_acquire, std::memory_order_relaxed))
      return is_free;
  }
}

[[noreturn, gnu::cold]] void report_not_held() noexcept {
  (sched::message() << "cairn: sync::mutex: unlock() of a mutex that is not locked\n").send();
  std::abort();
}

// In a window on the mutex: word from `from` to `to`, by who has the bias.
auto biased_step(std::atomic<std::uint32_t>& word, const std::atomic<std::uintptr_t>& bias,
                 const sched::m& self, std::uint32_t from, std::uint32_t to) noexcept {
  return [&, from, to] {
    // Relaxed: whoever had the mutex last had it on this same thread. The window's end publishes the store.
    if (bias.load(std::memory_order_relaxed) != reinterpret_cast<std::uintptr_t>(&self) ||
        word.load(std::memory_order_relaxed) != from)
      return false;
    word.store(to, std::memory_order_relaxed);
    return true;
  };
}

}  // namespace

bool mutex::lock_biased() noexcept {
  auto& self = *static_cast<sched::m*>(detail::this_cache());
  return sched::in_answered_window(self, &state_,
                                   biased_step(state_, bias_, self, k_biased, k_biased | k_held));
}

bool mutex::unlock_biased() noexcept {
  auto& self = *static_cast<sched::m*>(detail::this_cache());
  if (&self == &sched::nobody) [[unlikely]]
    return false;
  return sched::in_answered_window(self, &state_,
                                   biased_step(state_, bias_, self, k_biased | k_held, k_biased));
}

// By who has just locked it.
void mutex::bias() noexcept {
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  if (!h.lock.try_lock()) return;
  sched::m* self = sched::current();
  end_streak();
  std::uint32_t held = k_held;
  // By a CAS, for it may have been unlocked already by one who only knew that somebody had locked it. Relaxed: the
  // caller has acquired it, and others see the bias by the lock of the hall.
  if (sched::has_fence_for_all.load(std::memory_order_relaxed) && self != nullptr &&
      state_.compare_exchange_strong(held, k_held | k_biased, std::memory_order_relaxed)) {
    heap::maybe_delay("mutex.bias");
    bias_.store(reinterpret_cast<std::uintptr_t>(self), std::memory_order_relaxed);
  }
  h.lock.unlock();
}

// By who has just locked it. With delays the next streak is short: one asks for them to see what is rare.
void mutex::end_streak() noexcept {
  constexpr std::uint32_t k_delayed_streak = 16;
  streak_.store(sched::are_delays_on() ? streak_of(sched::current(), k_streak - k_delayed_streak) : 0,
                std::memory_order_relaxed);
}

// Under the lock of the hall.
void mutex::end_bias() noexcept {
  const std::uintptr_t owner = bias_.load(std::memory_order_relaxed);
  if (owner == 0) return;
  bias_.store(0, std::memory_order_relaxed);  // before the fence
  const auto* other = reinterpret_cast<const sched::m*>(owner);
  if (other != sched::current()) {
    heap::maybe_delay("mutex.ending");
    sched::fence_other_threads();
    sched::await_window(*other, &state_);
  }
  // Relaxed: nobody else changes it now; what the owner did in its windows is seen since the wait.
  state_.store(state_.load(std::memory_order_relaxed) & ~k_biased, std::memory_order_relaxed);
}

void mutex::lock_slow() {
  sched::take_long_way();
  // At once, too: it may be only that there was no short way.
  if (take_before_called(state_) || lock_at_once() || spin_for(state_)) return;
  sched::place w(&state_, sched::wait_reason::mutex, sched::first_of_line);
  sched::enter_section();
  {
    heap::lock_guard held(w.home.lock);
    end_bias();
    if (!take(state_, w.home, &w)) {
      w.since = sched::now_ns();
      w.home.append(w);
      do sched::sleep_in_line(w);
      while (!take(state_, w.home, &w));
      w.home.remove(w);
    }
    end_streak();
  }
  sched::leave_section();
}

bool mutex::try_lock_slow() {
  sched::self();
  sched::check_ending();
  if ((state_.load(std::memory_order_relaxed) & k_held) != 0) return false;
  // It may be reserved for one that is no more, or another one's by a bias.
  sched::runtime_section section;
  sched::hall& h = sched::hall_of(&state_);
  heap::lock_guard held(h.lock);
  end_bias();
  return take(state_, h, nullptr);
}

void mutex::unlock_slow(bool may_end) {
  bool was_held = leave_to_called(state_);
  if (!was_held) {
    sched::runtime_section section;
    sched::hall& h = sched::hall_of(&state_);
    sched::wake_up heir;
    {
      heap::lock_guard held(h.lock);
      end_bias();
      was_held = (state_.load(std::memory_order_relaxed) & k_held) != 0;
      sched::place* first = was_held ? h.first_at(&state_) : nullptr;
      // One that has been called and is not here yet comes too late, if it does, and sleeps again before it is asked.
      const bool starves = first != nullptr && first->asleep &&
                           sched::now_ns() - first->since >= k_starving_ns;
      heap::maybe_delay("mutex.unlock");
      if (first != nullptr) heir = sched::call(*first);
      // Release: with lock(). From here on the mutex may be gone.
      if (was_held)
        state_.store(first == nullptr ? 0 : k_line | k_called | (starves ? k_reserved : 0),
                     std::memory_order_release);
    }
    heir.deliver();
  }
  if (!was_held) report_not_held();
  if (may_end) sched::check_ending();  // not before: nobody else would unlock it
}

}  // namespace cairn::sync
