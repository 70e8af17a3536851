// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// m: what the runtime knows of one attached thread, and the runtime section in which that thread is not stopped.
//
// Records come from a list that never shrinks and are used again, so a stale pointer to one (a late futex wake, a late
// signal) always points at an m. The state word is described in sched/handshake.h.
#pragma once
#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "cairn/detail/entry.h"
#include "heap/delay.h"
#include "heap/mcache.h"
#include "sched/fiber.h"
#include "sched/read_counts.h"

namespace cairn::sched {

struct goroutine;
struct p;

// Words that a cycle has yet to look at, in the order in which the barrier found them. Owner: the gc layer.
struct barrier_buffer {
  void* words[128] = {};
  unsigned n = 0;
  void* out = nullptr;  // what was found worth looking at, until that is a buffer full too
};

// The state word of an m; sched/handshake.h says who may make which change.
enum m_state : std::uint32_t {
  k_running,      // runs; nobody wants anything
  k_requested,    // runs, and has been asked to answer
  k_safe,         // parked in the runtime or inside blocking(): its stack above saved_sp does not change
  k_held,         // as k_safe, and must not leave it until released
  k_held_waited,  // as k_held, and its thread sleeps on the word because it wants to leave
  k_stopped,      // has answered a stop and sleeps on the word
};

// For what somebody else keeps a thread from running.
enum class interruption : std::uint8_t { stop, handshake, stack_scan };

struct m : heap::mcache {
  // ---- stopping. Owner: sched.
  std::atomic<std::uint32_t> state{k_running};
  // Runtime sections that the thread is in. Written by the thread only, read by its own signal handler.
  std::atomic<int> depth{0};
  // What it relies on a permission for just now; see sched/window.h. Written by the thread only.
  std::atomic<const void*> window{nullptr};
  // What it has locked for reading. Stays with the record: who uses that next goes on with it.
  read_counts reads;
  std::uint32_t fenced_reads = 0;  // sched/rw_mutex.cc; of the thread

  // ---- what the gc layer reads of a thread that is stopped, held, or the caller itself
  // The stack from saved_sp up to stack_high holds everything that the thread can reach, registers included.
  void* saved_sp = nullptr;
  void *saved_pc = nullptr, *saved_fp = nullptr;  // with saved_sp: a position, see sched/unwind.h
  void* stack_high = nullptr;
  void* stack_low = nullptr;
  void* thread_pointer = nullptr;  // base of its thread-local storage; null when the thread died unnoticed
  pid_t tid = 0;
  pthread_t thread = {};
  m* next = nullptr;   // registry or free list; under the registry lock
  m* older = nullptr;  // of all records, attached or not; see for_each_record

  // ---- goroutines. Owner: the thread, in sections, unless said otherwise. See sched/proc.h
  // Null: an attached thread of the program's own, or a worker in the scheduler.
  std::atomic<goroutine*> current_goroutine{nullptr};
  std::atomic<std::uintptr_t> proc{0};  // its P; bit 0: somebody is about to take it away
  fiber own;                            // the thread's own stack, while a goroutine runs
  // What is to be done with the goroutine that the thread has just left, once it runs on another stack.
  void (*after)(m& self, goroutine* left, void* arg) = nullptr;
  goroutine* left = nullptr;
  void* after_arg = nullptr;
  goroutine* chosen = nullptr;            // the scheduler's loop runs it next
  exception_state* exceptions = nullptr;  // the thread's, of the C++ runtime
  int* error = nullptr;                   // its errno
  // Written before it is linked, and by itself at its end; see work().
  bool is_worker = false;
  bool is_runtimes = false;     // a thread of the library's own
  bool must_end = false;        // its goroutine ended locked to it; or written by who then wakes it
  goroutine* locked = nullptr;  // runs on this thread only, and nothing else does
  // The runtime's signals to it: begun and sent, by any thread; seen, by itself. See sched/signal.h.
  std::atomic<std::uint32_t> signals_begun{0}, signals_sent{0};
  std::uint32_t signals_seen = 0;
  std::atomic<bool> freeze_wanted{false};  // set by sysmon before its signal, cleared by the thread; relaxed
  int freeze_off = 0;                      // see no_freeze
  bool spinning = false;                   // it looks for work, and counts as one who does
  p* stole_from = nullptr;                 // what it runs, and is not judged yet: sched/stealing.h
  std::uint64_t stole_at = 0;              // in ticks()
  std::atomic<std::uint32_t> note{0};      // a sleeping worker is woken by 1, after `handed`
  p* handed = nullptr;                     // written by the waker, as is the next
  goroutine* handed_goroutine = nullptr;
  m *next_idle = nullptr, *prev_idle = nullptr;  // under the scheduler's lock, as is the next
  bool is_listed = false;                        // among the idle workers
  bool was_idle = false;                         // it has run no goroutine since it was in that list; its own
  bool signal_was_blocked = false;               // before the thread attached; so again when it detaches
  bool interrupted = false;  // it answers in its signal handler, not by itself at a section's end; own thread
  bool reported = false;     // named on standard error during this stop; under the registry lock
  std::int64_t cpu_when_late = -1;  // its processor time when it was found late in this stop, or -1; likewise
  bool dead = false;                // the kernel knows no such thread; under the registry lock

  // ---- owned by the gc layer
  barrier_buffer barrier;
  void** free_root_slots = nullptr;
  unsigned free_root_slot_count = 0;
  std::ptrdiff_t assist_credit = 0;  // bytes it may allocate before it must mark; below 0: what it owes
  std::uint64_t share_from = 0;      // its part of the background's marking is paid up to here (gc/share.cc)
  std::int64_t share_spent = 0;      // ns, and not yet counted there
  std::uint64_t assist_ns = 0;       // likewise (gc/assist.cc)
  unsigned lent_last = 0;            // the place of the marker that it had last (gc/guest.cc)
  unsigned no_gc_scopes = 0;         // that it is in, while it runs no goroutine
  // As goroutine::scan: the epoch since which all that it allocates is black. Owner: the thread, or who holds it.
  std::uint32_t colour = 0;
};

// What tls_cache points at in a thread that is not attached. Empty, never written.
extern m nobody;

// The calling thread's m; null when it is not attached.
inline m* current() noexcept {
  detail::thread_cache* cache = detail::this_cache();
  return cache == &nobody ? nullptr : static_cast<m*>(cache);
}

// For what is done to the calling thread, in its signal's handler too, which may have interrupted it in the middle of a
// look.
inline heap::stopwatch stopwatch_of(m& self) noexcept {
  return self.interrupted ? heap::stopwatch() : heap::stopwatch(self.used);
}

// Attaches the calling thread, which is in no runtime section and holds no runtime lock. Throws std::bad_alloc;
// aborts with a message in a forked child. Calls hooks.start first if the runtime was not started.
m& attach();

// The calling thread's m; attaches it at first use. Only where attach() may be called.
inline m& self() {
  m* p = current();
  return p != nullptr ? *p : attach();
}

// Marks the calling thread, which is not attached, as one of the library's own, and attaches it.
m& attach_own(bool is_worker);

// Takes the calling thread out of the registry: attach_thread's destructor and the end of a thread.
void detach() noexcept;

// True in the child of a fork(), where the library may not be used.
bool in_forked_child() noexcept;

// Calls fn(arg) after spilling the callee-saved registers to the stack and publishing saved_sp below them, so that
// [saved_sp, stack_high) is all that the callers' frames can reach for as long as fn runs.
void spill_and_call(m& self, void (*fn)(void*), void* arg);

namespace detail_m {
[[gnu::cold, gnu::noinline]] void answer_deferred(m& self) noexcept;
}

// While one exists the thread is not stopped: it may hold runtime locks, and must not call malloc, stdio, dl*,
// pthread_create or throw. Nests. A request that came meanwhile is answered when the outermost one ends.
// A thread that is not attached is never stopped, so for it a section is nothing.
class runtime_section {
 public:
  runtime_section() noexcept : self_(current()) { enter(); }
  explicit runtime_section(m& self) noexcept : self_(&self) { enter(); }
  ~runtime_section() {
    if (self_ == nullptr) return;
    heap::maybe_delay("section end");
    int depth = self_->depth.load(std::memory_order_relaxed) - 1;
    // Release keeps the section's stores before the end of it for the handler on this same thread. A request that is
    // set after the load below finds depth 0, for its signal comes after it was set: the handler answers.
    self_->depth.store(depth, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (depth == 0 && self_->state.load(std::memory_order_relaxed) == k_requested) [[unlikely]]
      detail_m::answer_deferred(*self_);
  }
  runtime_section(const runtime_section&) = delete;
  runtime_section& operator=(const runtime_section&) = delete;

 private:
  void enter() noexcept {
    if (self_ == nullptr) return;
    self_->depth.store(self_->depth.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // nothing of the section before its start
  }
  m* self_;
};

// A section that may end on another thread than it began on: what lies between may park the goroutine.
inline void enter_section(m& self) noexcept {
  self.depth.store(self.depth.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // nothing of the section before its start
}
inline m& enter_section() noexcept {
  m& self = *current();
  enter_section(self);
  return self;
}
inline void leave_section(m& self) noexcept {
  heap::maybe_delay("section end");
  const int depth = self.depth.load(std::memory_order_relaxed) - 1;
  self.depth.store(depth, std::memory_order_release);  // as at the end of a runtime_section
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (depth == 0 && self.state.load(std::memory_order_relaxed) == k_requested) [[unlikely]]
    detail_m::answer_deferred(self);
}
inline void leave_section() noexcept { leave_section(*current()); }

inline bool in_runtime_section() noexcept {
  m* p = current();
  return p != nullptr && p->depth.load(std::memory_order_relaxed) > 0;
}

}  // namespace cairn::sched
