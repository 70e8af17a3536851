// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The timers of one P: a 4-ary heap of times, maintained lazily.
//
// A timer that is started gets a *slot* of the heap that it is started in; an entry of the heap is a time and
// the number of a slot. The slot, not the timer, says whether the timer is active, and slots are never
// unmapped. So a timer is stopped by a few instructions on its slot, from any thread and without the heap's
// lock, and its record may be freed at once: what stays behind, an entry whose slot names no timer (a
// "zombie"), knows nothing of it. A timer is put off by writing the later time into its slot, likewise; the
// entry, too early now, is corrected when it comes to the top. Only a start, and a reset to an earlier time
// (which moves the timer to a new slot), take the lock: of the heap of the caller's own P, so that it is nearly
// always free.
//
// The word of a slot:
//
//   0 -> t                start; under the lock of the heap
//   0 -> t|k_claimed      of the slot that a timer is moved to: before its old slot becomes 0
//   t -> t|k_claimed      by who stops, fires, resets or moves the timer: only they look into t, and into the slot
//   (t with k_weak, for as long as the slot names it, if the timer is weak)
//   t|k_claimed -> 0      a one-shot timer was fired (its entry is gone: the slot is freed), or the timer was stopped
//                         or moved (a zombie: whoever takes the entry out of the heap frees the slot)
//   t|k_claimed -> t      a periodic timer was fired; the timer was put off; nothing was done
//
// Whoever stops or resets a timer waits for a claim to end; so nobody ever waits for a claim with a heap's lock held,
// for the function of a timer that is being fired may want that lock. run_due leaves a claimed timer for later.
//
//   entry.when <= slot.when while the slot names a timer; earliest() <= entries[0].when
//   entries == active timers + zombies, when nobody is inside a call
//
// Zombies that come to the top go then. When they are more than a quarter, every start and run_due looks at some
// entries more and takes out those that are zombies. All work of a call is bounded by k_most_at_once, for the lock is
// held and the section delays handshakes: run_due runs so many timers and returns.
//
// Timers of equal times fire in the order in which they were started, as long as they are in one heap and were not
// reset; in random order if the heap is made so. Times are ns of the monotonic clock (sched/futex.h).
//
// A weak timer lies in a collected object that the heap does not keep. Between the end of marking and the first sweep
// the collector calls stop_dead, which stops those whose objects are not marked. A claimed one is waited for, so what
// is fired at that moment has ended before its object goes. Nobody starts such a timer any more, for it is unreachable,
// and one that somebody starts meanwhile is reachable, so it is marked.
//
// The gc layer may assume: a timer is in for_each from before start returns until stop returns true, or until its
// function (of a one-shot timer) has returned. The heap tells nobody of a change, so while a cycle marks, who starts a
// timer that lives in a collected object shades it, and so does the function of one that hands it on. A timer that was
// stopped is not kept: the heap does not hold its address any more.
//
// Rejected: an index of its entry in each timer, for a removal at once (every step of a sift writes to a timer far
// away: at a million timers a cache miss each); a zombie flag in the timer (the record could not be freed, and records
// lie on stacks); a full rebuild of the heap to clean it (milliseconds under the lock at a million); a destructor that
// stops a timer whose object is dead (each object had to be armed, kept for one more cycle, queued and destroyed, which
// was most of what a timer cost that was stopped long before; a look at each slot costs a cycle some nanoseconds).
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "cairn/detail/annotate.h"
#include "heap/lock.h"

namespace cairn::sched {

struct timer_slot;
class timers;

// Owner: whoever embeds it. start and reset of one timer are serialised by the owner; stop may come at any time, from
// any thread, together with all others. It must not go away or be moved while it is active.
struct timer {
  // Called inside a runtime section, with no lock held, on whichever thread runs the heap's timers. Short: it readies a
  // goroutine or queues work. A one-shot timer may be started again by it, or by whom it wakes, and may be freed by
  // whom it wakes: then waking is the last thing that the function does with `t`. It must not stop or reset `t` itself.
  using function = void (*)(timer& t, std::int64_t now);

  constexpr explicit timer(function f = nullptr, bool weak = false) noexcept : call(f), is_weak(weak) {}
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;

  function call;                           // constant while the timer is active
  std::int64_t period = 0;                 // 0: one shot. Written by start and reset
  std::atomic<timer_slot*> slot{nullptr};  // of the last start; owner: timers
  const bool is_weak;                      // see the head comment
};

// A slot of a heap; sched/timers.cc.
struct timer_slot {
  std::atomic<std::uintptr_t> word;  // see the head comment
  std::atomic<std::int64_t> when;  // the time that counts. Written under the lock (new) or under a claim, only up
  timers* owner;                   // constant
  std::uint32_t number;            // constant
  std::uint32_t next_free;         // number + 1 of the next free slot of the chunk; under the lock
};
static_assert(sizeof(timer_slot) == 32, "two in a cache line");

struct timer_change {
  bool done;        // false: no memory. Then nothing was changed: an active timer keeps its time
  bool was_active;  // had not fired yet
  // It is the first of its heap now: who sleeps until the time that was the earliest before has to be woken.
  bool is_first;
};

// All functions but earliest, active, zombies and stop_dead are called inside a runtime section (or by a thread
// that is not attached). An object is never destroyed while timers may name it, and its memory is never
// unmapped.
class timers {
 public:
  static constexpr std::int64_t k_never = std::numeric_limits<std::int64_t>::max();
  static constexpr int k_most_at_once = 32;

  constexpr timers() noexcept = default;
  // Timers of equal times fire in random order.
  explicit timers(std::uint32_t seed) noexcept : is_random_(true), order_(seed) {}
  timers(const timers&) = delete;
  timers& operator=(const timers&) = delete;

  // The timer, which is not active, fires at `when` and then every `period`, if that is not 0. A periodic timer that
  // is late skips the times that it missed.
  timer_change start(timer& t, std::int64_t when, std::int64_t period = 0) noexcept CAIRN_EXCLUDES(lock_);

  // True: it was active, and will not fire (again). In either case its function is not running when this returns, and
  // nobody but the caller touches the timer from then on. Whichever heap it is in. `own`: the heap of the caller's P,
  // which for its timers is cheaper; null: of any.
  static bool stop(timer& t, timers* own = nullptr) noexcept;

  // As stop and start, but of memory that fails nothing comes. A timer that is put off stays in its heap; else it
  // comes to this one.
  timer_change reset(timer& t, std::int64_t when, std::int64_t period = 0) noexcept CAIRN_EXCLUDES(lock_);

  // A lower bound of the time of the next timer, k_never if there is none. Lock-free. Never too late for timers whose
  // start happened before. Sequentially consistent, for the sleeper, which looks here after it has said until when it
  // sleeps (sched/sleeper.h); it costs what an acquire does.
  std::int64_t earliest() const noexcept { return earliest_.load(std::memory_order_seq_cst); }

  // Runs timers that are due at `now`, at most k_most_at_once, and returns earliest(). If that is not after `now`
  // there may be more to run: end the section, so that handshakes are answered, and call again. Any thread may call.
  std::int64_t run_due(std::int64_t now) noexcept CAIRN_EXCLUDES(lock_);

  // Moves all active timers to `other`; of a P that goes away, in which nobody starts timers any more. False: no
  // memory, some are still here. Waits for functions that are running. Of timers of equal times the order is lost.
  bool move_all_to(timers& other) noexcept CAIRN_EXCLUDES(lock_);

  // Stops all active timers, of a heap in which nobody starts any meanwhile, after f(t) of each. Waits for functions
  // that are running. The heap is empty then, but for zombies that would never have fired.
  void stop_all(void (*f)(timer& t) noexcept) noexcept CAIRN_EXCLUDES(lock_);

  // Stops the weak timers of which is_dead(address) is true; see the head comment. Waits for functions that are
  // running.
  void stop_dead(bool (*is_dead)(const timer* t) noexcept) noexcept CAIRN_EXCLUDES(lock_);

  // Timers that will fire. Exact when nobody is inside a call; for the detection of deadlocks.
  std::size_t active() const noexcept;
  std::size_t zombies() const noexcept;

  // f(timer*) for each active timer and each whose function is running, under the lock. f starts and stops nothing.
  // A function that runs may just have let go of its timer, so f looks at the address only.
  template <class F>
  void for_each(F&& f) noexcept CAIRN_EXCLUDES(lock_) {
    heap::lock_guard guard(lock_);
    for (const chunk& c : chunks_) {
      for (std::uint32_t i = 0; i < c.carved; ++i) {
        if (timer* t = timer_of(c.slots[i].word.load(std::memory_order_relaxed))) f(t);
      }
    }
  }

 private:
  struct entry {
    std::int64_t when;
    std::uint32_t order;  // of starts, modulo 2^32: breaks ties
    std::uint32_t slot;
  };

  // Chunk k has k_first_chunk << k slots, so chunks are never moved. All its memory is zero or used before.
  struct chunk {
    timer_slot* slots;
    std::uint32_t carved;  // slots ever used since the memory was last given back
    std::uint32_t used;
    std::uint32_t free;  // number + 1 of a free slot, 0: none
  };
  static constexpr std::uint32_t k_first_chunk = 128;
  static constexpr unsigned k_chunks = 24;
  static constexpr std::uintptr_t k_claimed = 1, k_weak = 2;

  static constexpr std::uint32_t chunk_slots(unsigned k) noexcept { return k_first_chunk << k; }
  static unsigned chunk_of(std::uint32_t slot) noexcept;
  static timer* timer_of(std::uintptr_t word) noexcept {
    return reinterpret_cast<timer*>(word & ~(k_claimed | k_weak));
  }
  static std::uintptr_t word_of(const timer& t) noexcept;
  static timer_slot* claim(timer& t) noexcept;
  static void make_zombie(timer_slot& s, timers* own = nullptr) noexcept;

  timer_slot& slot_at(std::uint32_t number) noexcept CAIRN_REQUIRES(lock_);
  timer_slot* take_slot() noexcept CAIRN_REQUIRES(lock_);
  void give_slot(timer_slot& s) noexcept CAIRN_REQUIRES(lock_);
  bool reserve_entry() noexcept CAIRN_REQUIRES(lock_);
  void return_entries() noexcept CAIRN_REQUIRES(lock_);

  static bool before(const entry& a, const entry& b) noexcept;
  void sift_up(std::size_t at, entry e) noexcept CAIRN_REQUIRES(lock_);
  void sift_down(std::size_t at, entry e) noexcept CAIRN_REQUIRES(lock_);
  void remove_at(std::size_t at) noexcept CAIRN_REQUIRES(lock_);
  void put_off_top(std::int64_t when) noexcept CAIRN_REQUIRES(lock_);
  void remove_zombie(std::size_t at, timer_slot& s) noexcept CAIRN_REQUIRES(lock_);
  void clean() noexcept CAIRN_REQUIRES(lock_);
  bool too_many_zombies() const noexcept;
  void publish_earliest() noexcept CAIRN_REQUIRES(lock_);
  timer_slot* insert(timer& t, std::int64_t when, std::uintptr_t word) noexcept CAIRN_REQUIRES(lock_);
  timer_change take_over(timer_slot& from, timer& t, std::int64_t when) noexcept CAIRN_EXCLUDES(lock_);

  template <class W, class F>
  bool claim_each(W&& is_wanted, F&& f) noexcept CAIRN_EXCLUDES(lock_);
  std::uint32_t next_order() noexcept CAIRN_REQUIRES(lock_);
  timer_slot* claim_due(std::int64_t now, int& steps) noexcept CAIRN_REQUIRES(lock_);
  bool arm_again(timer_slot& s, timer& t, std::int64_t now) noexcept CAIRN_REQUIRES(lock_);

  // Written under the lock, the first also read without.
  std::atomic<std::int64_t> earliest_{k_never};
  std::atomic<std::uint32_t> count_{0};  // entries
  // Zombies made and removed, modulo 2^32. Counted before one is made, and after it was removed: the difference is too
  // high by those under way, never too low. The first is of who has the heap's P, one after the other, so that it needs
  // no locked instruction; the last is written under the lock.
  std::atomic<std::uint32_t> made_by_owner_{0};
  std::atomic<std::uint32_t> made_by_others_{0};
  std::atomic<std::uint32_t> removed_{0};
  heap::lock lock_;
  const bool is_random_ = false;
  std::uint32_t order_ CAIRN_GUARDED_BY(lock_) = 0;  // the last one, or the state of the generator
  entry* entries_ CAIRN_GUARDED_BY(lock_) = nullptr;
  std::size_t capacity_ CAIRN_GUARDED_BY(lock_) = 0;
  std::size_t touched_ CAIRN_GUARDED_BY(lock_) = 0;  // entries whose memory was used since it was last given back
  std::size_t cursor_ CAIRN_GUARDED_BY(lock_) = 0;  // clean() has looked at what is from here on
  unsigned lowest_ CAIRN_GUARDED_BY(lock_) = 0;     // chunks below it are full
  chunk chunks_[k_chunks] CAIRN_GUARDED_BY(lock_) = {};
};

}  // namespace cairn::sched
