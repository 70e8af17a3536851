// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// G: what the scheduler knows of one goroutine.
//
// Records lie in memory that is never unmapped (sched/records.h), so a stale pointer to one points at a record.
// Who may touch which field follows from where the goroutine is:
//
//   free      nobody's; a record, or the rest of one
//   runnable  in one run queue, or on its way from or to one: whoever took it out owns it
//   running   current on one M: that M's thread owns it. Also while the M's thread is frozen, or in blocking()
//   waiting   in the queues of what it waits for: whoever takes it out there makes it runnable
//
// `status` only tells others which of these it is; what orders the changes is the queue's own lock or CAS.
//
// The colour of its stack. A cycle raises `scan_epoch` when every thread has its barrier on; a goroutine whose `scan`
// is another number is grey. It is scanned, and gets the new number, by the M that runs it, in a handshake; by an M
// that is about to run it; or by the collector while it does not run. The low bit of `scan` keeps these apart:
// whoever sets it scans, and who wants to run the goroutine meanwhile waits for some microseconds. Others hold one that
// does not run by the same bit: who trims its stack, lists it, or drops it (hold and release in sched/proc.h).
//
// A thread has a colour too, m::colour: black since it has marked what is left of the runs that it allocates from. A
// black goroutine runs on black threads only. (It might come from one that has answered the scanning handshake to one
// that has not, allocate there, and park before the answer: nobody would ever look at its stack again.)
#pragma once
#include <atomic>
#include <cstdint>

#include "cairn/go.h"
#include "sched/context.h"
#include "sched/fiber_sanitizer.h"
#include "sched/m.h"
#include "sched/stack.h"

namespace cairn::sched {

struct p;
struct bubble;

enum class g_status : std::uint8_t { free, runnable, running, waiting };

// For whom a goroutine waits, in messages and in goroutine_info.
enum class wait_reason : std::uint8_t {
  none,
  sleep,
  wait_group,
  task,
  mutex,
  semaphore,
  cond,
  io,
  collection,
  chan_receive,
  chan_send,
  chan_receive_nil,
  chan_send_nil,
  select,
  select_no_cases,
  rw_mutex_read,
  rw_mutex_write,
  bubble,
  bubble_wait,
};

struct goroutine;

// Of a goroutine that waits, with the world stopped: f(arg, object) for each object (a channel, a mutex, a task) by the
// use of which alone it can be woken. False: it is being woken already.
using awaited_objects = bool (*)(const goroutine& g, void (*f)(void* arg, const void* object), void* arg);

// Something on a goroutine's stack that others know of. Whoever ends the goroutine from outside, or in the middle of a
// call into the library, ties it up first, for no destructor runs then.
struct loose_end {
  void (*tie)(loose_end& self) noexcept = nullptr;  // in a section, or on a thread without an m
  loose_end* next_end = nullptr;
};

struct alignas(64) goroutine {
  fiber self;  // where it goes on; owner as above
  std::atomic<std::uint32_t> scan{0};
  std::atomic<std::uint32_t> runs{0};               // how often it was switched to; see count_run
  std::atomic<g_status> status{g_status::free};     // release by the owner; acquire by who lists goroutines
  std::atomic<wait_reason> why{wait_reason::none};  // relaxed: for messages
  bool is_main = false;
  bool exiting = false;     // goexit was called
  bool is_durable = false;  // it waits, and does not count as active in its bubble; owner as above
  // What became of it. Who takes it from `alive` counts it off: the goroutine at its end, whoever drops it, or a run
  // that ends without it; then its thread goes on as an attached one. Relaxed: nothing else hangs on it.
  enum class fate : std::uint8_t { alive, over, orphan };
  std::atomic<fate> became{fate::alive};
  std::uint64_t id = 0;
  std::atomic<std::int64_t> since{0};   // when it parked, or went into blocking(): see coarse_now; relaxed
  detail::closure* function = nullptr;  // a root for as long as the record is not free
  detail::task_base* task = nullptr;    // the same object, of spawn
  goroutine* next = nullptr;            // in a queue
  // Null: any M may run it. Else only that one: it is locked to its thread.
  m* bound = nullptr;
  unsigned thread_locks = 0;
  unsigned preempt_off = 0;  // scopes in which its thread is not frozen
  unsigned end_later = 0;    // scopes in which it is not ended, nor dropped
  std::atomic<std::uint32_t> trimmed_at{
      0};                     // `runs`, when its stack was trimmed; written by who holds it, relaxed
  bool is_frozen = false;     // in a queue, with its thread asleep in the handler; owner: as `next`
  unsigned no_gc_scopes = 0;  // that it is in; owner: the gc layer
  int saved_errno = 0;
  std::atomic<m*> running_on{nullptr};  // the M whose current one it is. Written by that M, inside sections
  // Takes a waiting goroutine out of the queues in which it waits, at the end of a run. False: it is being woken.
  bool (*cancel)(goroutine& g, void* arg) noexcept = nullptr;
  void* cancel_arg = nullptr;
  // For the report of leaks (gc/leaks.cc). Null: it may also be woken by the clock, a descriptor or the runtime.
  awaited_objects awaited = nullptr;
  loose_end* loose_ends = nullptr;  // the last one made first; owner as above
  exception_state exceptions;
  std::uint64_t creator = 0;   // id of who started it; 0: a thread
  void* created_at = nullptr;  // where that was
  // Its bubble, or null; see sched/bubble.h. Relaxed: a goroutine that runs may be counted off by who ends the run.
  std::atomic<bubble*> home{nullptr};
  std::uint32_t segment = 0;  // where the record lies; owner: sched/records.cc
  // `runs` + 1 when it was last found to be leaked: it still is as long as it has not run. Relaxed: for messages.
  std::atomic<std::uint32_t> found_leaked{0};

  bool claim_end(fate how = fate::over) noexcept {
    fate now = fate::alive;
    return became.compare_exchange_strong(now, how, std::memory_order_relaxed, std::memory_order_relaxed);
  }
  // By who is about to switch to it. Before it writes to its stack: who reads that beside it finds out by the number.
  void count_run() noexcept {
    runs.store(runs.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);  // with the acquire fence in sched/inspect.cc
  }
  // Of a goroutine that runs, by its thread or by who holds that.
  void set_colour(std::uint32_t epoch) noexcept {
    std::uint32_t has = scan.load(std::memory_order_relaxed);
    // Release: with the acquire of who looks whether it is black. The low bit is somebody else's.
    while (has != epoch && !scan.compare_exchange_weak(has, epoch | (has & 1), std::memory_order_release,
                                                       std::memory_order_relaxed)) {
    }
  }
  bool is_leaked() const noexcept {
    return found_leaked.load(std::memory_order_relaxed) == runs.load(std::memory_order_relaxed) + 1;
  }
  bool is_orphan() const noexcept { return became.load(std::memory_order_relaxed) == fate::orphan; }
};
static_assert(sizeof(goroutine) <= 256);

// What goexit throws. No std::exception, so that only catch (...) meets it.
struct goexit_signal {};

// The colour that all stacks have to get. Raised by the cycle's thread when all threads have answered H1 (release by
// the handshake that follows).
extern std::atomic<std::uint32_t> scan_epoch;  // even: the low bit is the busy bit of `scan`

// True from the return of main until the others have ended or were given up. Relaxed everywhere: it is only a
// request, repeated until it is heeded.
extern std::atomic<bool> run_ending;
void end_this_goroutine();

// Why calls do not go the short way (cairn/detail/library_call.h). Relaxed, as above.
inline constexpr std::uint8_t k_run_ends = 1;        // with run_ending
inline constexpr std::uint8_t k_room_is_wanted = 2;  // set and cleared by sysmon: of some P
extern std::atomic<std::uint8_t> long_ways;

// Does not return if the calling goroutine's run is ending: its stack is given up, and no destructor on it runs. At
// the start of every library call that is made at depth 0, and where such a call waits.
inline void check_ending() {
  if (run_ending.load(std::memory_order_relaxed)) [[unlikely]]
    end_this_goroutine();
}

// For a change of what others go on with, which must not be left half done when a run ends: inside, the goroutine is
// neither ended by check_ending nor dropped while it is runnable or waits, until the run's end is a second old.
class end_later {
 public:
  end_later() noexcept;
  ~end_later();
  end_later(const end_later&) = delete;
  end_later& operator=(const end_later&) = delete;

 private:
  goroutine* const g_;  // null: a thread, which is not ended
};

// Before a goroutine ends other than by leaving all its scopes. In a section.
void tie_loose_ends(goroutine& g) noexcept;

// Ends one that does not run and never will again: no destructor runs. Whoever calls it has it in hand. In a section.
// Its stack stays as it is, for others may have references into it, until forget_dropped, when all have ended; or, if
// some have not (not `reuse`), for ever.
void drop(goroutine* g) noexcept;
void forget_dropped(bool reuse) noexcept;

// The goroutine that the thread runs; null for other threads, and for orphans.
goroutine* own_goroutine(const m& self) noexcept;

}  // namespace cairn::sched
