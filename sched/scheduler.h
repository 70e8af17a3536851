// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the scheduler's files share: its lock with the global queue and the idle lists, and a look at one's own P.
// Internal to proc.cc, idle.cc and their neighbours; others use proc.h.
#pragma once
#include <atomic>
#include <cstdint>

#include "heap/lock.h"
#include "sched/futex.h"
#include "sched/proc.h"

namespace cairn::sched {

inline constexpr int k_most_procs = 4096;
// Workers that sleep, while goroutines are being frozen: see D2 in preempt.h.
inline constexpr unsigned k_spare_workers = 2;

struct scheduler {
  heap::lock lock;                                   // in sections, or on threads without an m
  goroutine* head CAIRN_GUARDED_BY(lock) = nullptr;  // the global queue
  goroutine* tail CAIRN_GUARDED_BY(lock) = nullptr;
  p* idle_p CAIRN_GUARDED_BY(lock) = nullptr;  // last in, first out
  m* idle_m CAIRN_GUARDED_BY(lock) = nullptr;  // see sched/idle_list.h
  unsigned n_idle_m CAIRN_GUARDED_BY(lock) = 0;
  unsigned frozen CAIRN_GUARDED_BY(lock) = 0;                 // threads
  std::atomic<bool> wants_spares{false};                      // somebody has had to be frozen; relaxed
  goroutine* without_stack CAIRN_GUARDED_BY(lock) = nullptr;  // the system refused them one
  std::atomic<std::uint32_t> n_without_stack{0};              // written under the lock
  // Written under the lock; read without one. Sequentially consistent where proc.h says so.
  std::atomic<std::uint32_t> queued{0};   // in the global queue
  std::atomic<std::uint32_t> idle_ps{0};  // in the idle list
  std::atomic<int> limit{1};              // Ps with an id below it may be used
  std::atomic<int> made{0};               // of `all`; release by who makes one, acquire by who reads `all`
  std::atomic<std::int32_t> spinning{0};  // workers that look for work; see proc.h
  p* all[k_most_procs] = {};
  // Goroutines made and ended by threads without a P.
  std::atomic<std::uint64_t> started{0}, ended{0};
  bool fences_itself = false;       // no membarrier; written before the first P is used
  std::atomic<unsigned> in_use{0};  // Ps that were taken from the idle list and not given back; under the lock
};
extern scheduler sch;

// The calling worker's P; null if it has none, or none any more. In a section.
inline p* own_p(m& self) noexcept {
  if (sch.fences_itself) [[unlikely]]
    std::atomic_thread_fence(std::memory_order_seq_cst);
  // Relaxed: see "Taking a P away"; what the P holds came with the note that handed it over.
  std::uintptr_t word = self.proc.load(std::memory_order_relaxed);
  if ((word & 1) != 0) [[unlikely]] {
    // Claimed back, if it is not gone by now.
    if (self.proc.compare_exchange_strong(word, word & ~std::uintptr_t{1}, std::memory_order_relaxed,
                                          std::memory_order_relaxed))
      return reinterpret_cast<p*>(word & ~std::uintptr_t{1});
    return nullptr;
  }
  return reinterpret_cast<p*>(word);
}
// Gives the calling thread a P that nobody has.
inline void adopt_p(m& self, p& pp) noexcept {
  pp.owner.store(&self, std::memory_order_release);  // with sysmon's look
  self.proc.store(reinterpret_cast<std::uintptr_t>(&pp), std::memory_order_relaxed);
}
// The calling thread has none any more. Null if it had lost it before.
p* drop_p(m& self) noexcept;

// ---- queues
void put_local(p& pp, goroutine* g) noexcept;
void put_global(goroutine* first, goroutine* last, std::uint32_t n) noexcept;
inline void put_global(goroutine* g) noexcept { put_global(g, g, 1); }
// Some of the global queue: the first is returned, the others go to the P's ring. `most`: 0 for a fair share.
goroutine* take_global(p& pp, std::uint32_t most) noexcept;

// ---- idle.cc
// What to run next on the calling worker, which stands in its loop, in a section. Waits for it. Null: the thread has
// nothing to do any more and ends; it has no P then.
goroutine* find_runnable(m& self) noexcept;
// Somebody should look for work: see proc.h.
void wake_one() noexcept;
// One of those that wait for memory for a stack may try again.
void try_for_stack() noexcept;
// Gives a P that nobody has to a worker if it has work, or to the idle list.
void hand_off(p& pp) noexcept;
// Wakes `to`, which sleeps on its note or is about to, with a P or without, and with what it is to run.
void hand(m& to, p* pp, goroutine* g = nullptr) noexcept;
// Sleeps until the note is raised, in the safe state; false once the deadline (as futex_wait's) has passed. In a
// section before and after.
bool sleep_on_note(m& self, std::int64_t deadline = k_forever) noexcept;
void put_idle(p& pp) noexcept CAIRN_REQUIRES(sch.lock);
p* take_idle() noexcept CAIRN_REQUIRES(sch.lock);
// All Ps below `n` have been made.
void change_limit(int n) noexcept;

// Gets the goroutine ready to be switched to: a stack, if it has none, and the colour. False: no memory for a stack.
bool prepare(m& self, p& pp, goroutine& g) noexcept;
// To be called first on every stack that is switched to.
inline void after_switch(m& self) noexcept {
  if (auto* fn = self.after) {
    self.after = nullptr;
    self.left->running_on.store(nullptr, std::memory_order_release);  // with the collector's look, and cancel
    fn(self, self.left, self.after_arg);
  }
}
// From `from` to the goroutine, or to the thread's own stack for null.
void switch_to(m& self, fiber& from, goroutine* to, bool last) noexcept;

// Some 10 ns; of a constant rate, which is one of a few GHz (x86-64), or of 20 MHz to 1 GHz (AArch64, which says it).
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  std::uint64_t t;
  asm volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#endif
}
// 20 to 50 us.
inline std::uint64_t wake_ticks() noexcept {
#if defined(__x86_64__)
  return 100'000;
#else
  std::uint64_t per_second;
  asm("mrs %0, cntfrq_el0" : "=r"(per_second));
  return per_second / 32'768;
#endif
}

inline std::uint64_t next_random(p& pp) noexcept {
  std::uint64_t x = pp.random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return pp.random = x;
}

}  // namespace cairn::sched
