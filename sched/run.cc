// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// run(), and what a goroutine can do with itself.
//
// The thread that calls run() sleeps, in the safe state, until its main goroutine is over: then it can end the run even
// if every worker is busy with goroutines that do not end.
//
// The end of a run. `run_ending` is set, and from there on nothing is started: workers drop what they find
// runnable, and who runs ends at its next call. The caller of run() drops what waits: it holds the goroutine
// (so nobody can run it), takes it out of what it waits in, and gives up its stack and record. One that is
// being woken at that moment becomes runnable, and is dropped there. What is left after a second is an orphan:
// its thread loses its P.
#include "cairn/run.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "cairn/clock.h"
#include "cairn/detail/assert.h"
#include "cairn/go.h"
#include "heap/metadata.h"
#include "sched/bubble.h"
#include "sched/futex.h"
#include "sched/goroutine.h"
#include "sched/handshake.h"
#include "sched/hooks.h"
#include "sched/message.h"
#include "sched/overflow.h"
#include "sched/preempt.h"
#include "sched/records.h"
#include "sched/registry.h"
#include "sched/run_state.h"
#include "sched/scheduler.h"
#include "sched/signal.h"
#include "sched/sleep.h"
#include "sched/sysmon.h"
#include "sched/traceback.h"
#include "sched/worker.h"

namespace cairn {
namespace sched {
namespace {

constexpr std::int64_t k_end_ns = 1'000'000'000;

// The run that is active. Owner: the thread that called run(), and main's goroutine while that runs.
struct {
  void (*fn)(void*) = nullptr;
  void* arg = nullptr;
  std::exception_ptr error;
  std::atomic<std::uint32_t> over{0};   // release by main's goroutine, acquire by the caller of run()
  std::atomic<bool> is_waiting{false};  // see run_is_waiting; relaxed
} active;

std::atomic<int> chosen_procs{1};       // relaxed: a number
std::atomic<std::uint32_t> n_ended{0};  // runs; relaxed: as run_ending, which follows

std::uint64_t live_goroutines() noexcept {
  const counts c = count_goroutines();
  return c.started - c.ended;
}

// `is_late`: those as well that are in the middle of something which is not to be left half done.
void drop_waiting(bool is_late) noexcept {
  records::for_each([is_late](goroutine& g) {
    if (g.status.load(std::memory_order_relaxed) != g_status::waiting) return;
    runtime_section section;
    hold(g);
    // Acquire, both: what it waits in was written before.
    const bool waits = g.status.load(std::memory_order_acquire) == g_status::waiting &&
                       g.running_on.load(std::memory_order_acquire) == nullptr && g.cancel != nullptr &&
                       (g.end_later == 0 || is_late);
    const bool ours = waits && g.cancel(g, g.cancel_arg);
    release(g);
    if (ours) drop(&g);
  });
}

// Frozen ones come into the rings too, with others from the global queue.
void drop_unless_needed(goroutine* g) noexcept {
  if (!is_frozen(*g) && g->end_later == 0) return drop(g);
  put_global(g);  // it has to go on to its next call, or to the end of what it is about
  wake_one();
}

void drop_runnable() noexcept {
  runtime_section section;
  goroutine *list = nullptr, *without_stack = nullptr;
  {
    heap::lock_guard held(sch.lock);
    without_stack = std::exchange(sch.without_stack, nullptr);
    sch.n_without_stack.store(0, std::memory_order_relaxed);
    list = std::exchange(sch.head, nullptr);
    sch.tail = nullptr;
    sch.queued.store(0, std::memory_order_relaxed);
  }
  // Without the lock: who waits for one that is dropped is put into the queue.
  while (without_stack != nullptr) drop(std::exchange(without_stack, without_stack->next));
  while (list != nullptr) drop_unless_needed(std::exchange(list, list->next));
  goroutine* got[run_queue::k_slots / 2];
  for (int i = 0; i < procs_made(); ++i) {
    run_queue& queue = proc_at(i)->queue;
    while (const std::uint32_t n = queue.grab(got))
      for (std::uint32_t k = 0; k < n; ++k) drop_unless_needed(got[k]);
    if (goroutine* g = queue.take_next()) drop_unless_needed(g);
  }
}

void take_p_from(m& thread) noexcept {
  for (int tries = 0; tries < 1000; ++tries) {
    runtime_section section;
    auto* pp = reinterpret_cast<p*>(thread.proc.load(std::memory_order_relaxed) & ~std::uintptr_t{1});
    if (pp == nullptr) return;
    if (take_p_away(thread, *pp)) return hand_off(*pp);
  }
}

std::size_t orphan_others() noexcept {
  std::size_t n = 0;
  records::for_each([&n](goroutine& g) {
    m* thread = g.running_on.load(std::memory_order_acquire);
    if (thread == nullptr || !g.claim_end(goroutine::fate::orphan)) return;
    ++n;
    {
      runtime_section section;
      count_ended();
      leave_bubble(g);
    }
    take_p_from(*thread);
  });
  return n;
}

// Ends all goroutines that there are.
void end_others(m& self) {
  const std::int64_t deadline = now_ns() + k_end_ns;
  constexpr std::int64_t k_look_again_ns = 200'000;
  n_ended.fetch_add(1, std::memory_order_relaxed);
  run_ending.store(true, std::memory_order_relaxed);
  long_ways.fetch_or(k_run_ends, std::memory_order_relaxed);
  std::size_t n = 0;
  for (;;) {
    drop_runnable();
    drop_waiting(now_ns() >= deadline);
    // Those that are neither running nor found waiting or runnable are on the way: the next round finds them.
    if (now_ns() >= deadline) n += orphan_others();
    if (live_goroutines() == 0) break;
    std::atomic<std::uint32_t> never{0};
    in_safe_state(self, [&] { futex_wait(never, 0, now_ns() + k_look_again_ns); });
  }
  if (n != 0) {
    (message() << "cairn: run: " << n << (n == 1 ? " goroutine has" : " goroutines have")
               << " not come to an end within a second after main; the threads go on as attached ones\n")
        .send();
  }
  forget_dropped(n == 0);
  run_ending.store(false, std::memory_order_relaxed);
  long_ways.fetch_and(static_cast<std::uint8_t>(~k_run_ends), std::memory_order_relaxed);
}

void start_main() {
  runtime_section section;
  goroutine* g = new_goroutine();
  if (g == nullptr) throw std::bad_alloc();
  g->is_main = true;
  g->creator = 0;
  g->created_at = nullptr;
  // Before main can be over, which takes it back. This thread counts as one that can act until it waits.
  active.is_waiting.store(true, std::memory_order_relaxed);
  start(g);
}

void await_main(m& self) {
  self.is_runtimes = true;  // nothing comes from it: see deadlock.cc
  count_foreign(-1);
  in_safe_state(self, [] {
    while (active.over.load(std::memory_order_acquire) == 0) futex_wait(active.over, 0);
  });
  count_foreign(1);
  self.is_runtimes = false;
}

// How long it has been in blocking(), for goroutine_info.
class since_mark {
 public:
  explicit since_mark(goroutine* g) noexcept : g_(g) {
    if (g_ != nullptr) g_->since.store(coarse_now(), std::memory_order_relaxed);
  }
  ~since_mark() {
    if (g_ != nullptr) g_->since.store(0, std::memory_order_relaxed);
  }
  since_mark(const since_mark&) = delete;
  since_mark& operator=(const since_mark&) = delete;

 private:
  goroutine* g_;
};

struct only_run {
  only_run() {
    static_assert(std::atomic<bool>::is_always_lock_free);
    if (is_active.exchange(true, std::memory_order_acquire))
      throw std::logic_error("cairn::run is active already");
  }
  ~only_run() { is_active.store(false, std::memory_order_release); }
  static inline std::atomic<bool> is_active{
      false};  // acquire and release, for a run after another one elsewhere
};

}  // namespace

void call_main() { active.fn(active.arg); }
void main_threw(std::exception_ptr what) noexcept { active.error = std::move(what); }

void main_is_over() noexcept {
  active.is_waiting.store(false,
                          std::memory_order_relaxed);  // here, while a goroutine runs still: see deadlock.cc
  active.over.store(1, std::memory_order_release);
  futex_wake(active.over, 1);
}

unsigned long main_stack_bytes() noexcept {
  constexpr unsigned long k_least = 8ul << 20, k_most = 64ul << 20;
  if (stacks::size() != stacks::k_default_bytes) return stacks::size() - stacks::k_guard_bytes;
  rlimit limit{};
  getrlimit(RLIMIT_STACK, &limit);
  return std::clamp<unsigned long>(limit.rlim_cur, k_least, k_most) - stacks::k_guard_bytes;
}

std::uint32_t runs_ended() noexcept { return n_ended.load(std::memory_order_relaxed); }
bool run_is_waiting() noexcept { return active.is_waiting.load(std::memory_order_relaxed); }

}  // namespace sched

void detail::run_main(void (*fn)(void*), void* arg, const options& chosen) {
  sched::only_run only;
  if (sched::m* p = sched::current(); p != nullptr && sched::own_goroutine(*p) != nullptr)
    throw std::logic_error("cairn::run is called inside a goroutine");
  sched::start_runtime(chosen, true);
  sched::m& self = sched::self();
  sched::ensure_workers();
  sched::set_proc_limit(sched::procs());
  using sched::active;
  active.fn = fn;
  active.arg = arg;
  active.over.store(0, std::memory_order_relaxed);
  sched::start_main();
  sched::await_main(self);
  sched::in_safe_state(self, [] { sched::traceback::await_last_report(); });
  sched::end_others(self);
  if (active.error != nullptr) std::rethrow_exception(std::exchange(active.error, nullptr));
}

void yield() {
  sched::self();
  sched::check_ending();
  sched::safepoint_poll();
  if (sched::parkable() != nullptr) sched::yield_now();
  else sched_yield();
  sched::check_ending();
}

void goexit() {
  sched::check_ending();
  sched::goroutine* g = sched::own_goroutine(sched::self());
  if (g == nullptr) throw std::logic_error("cairn::goexit: the calling thread is no goroutine");
  g->exiting = true;
  throw sched::goexit_signal{};
}

void sleep_until(std::chrono::steady_clock::time_point when) {
  sched::sleep_until_ns(std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count());
}

void sleep_for(std::chrono::nanoseconds duration) {
  if (duration <= std::chrono::nanoseconds::zero()) {
    yield();
    return;
  }
  auto now = monotonic_clock::now();
  auto furthest = std::chrono::steady_clock::time_point::max();
  sleep_until(duration > furthest - now ? furthest : now + duration);
}

void detail::call_blocking(void (*fn)(void*), void* arg) {
  struct regained {
    ~regained() {
      sched::regain_p();
      sched::check_ending();
    }
  };
  sched::m& self = sched::self();
  sched::check_ending();
  regained afterwards;  // destroyed when nothing refers to the thread any more: it may be another one then
  const sched::since_mark mark(sched::own_goroutine(self));
  struct call {
    sched::m& self;
    void (*fn)(void*);
    void* arg;
  } c{self, fn, arg};
  auto when_quiet = [](void* p) {
    const call& inner = *static_cast<call*>(p);
    sched::await_signals(inner.self);
    inner.fn(inner.arg);
  };
  sched::call_in_safe_state(self, when_quiet, &c);
}

lock_os_thread::lock_os_thread() {
  sched::m& self = sched::self();
  if (sched::goroutine* g = sched::parkable(); g != nullptr && g->thread_locks++ == 0) {
    g->bound = &self;
    self.locked = g;
  }
}
lock_os_thread::~lock_os_thread() {
  sched::runtime_section section;  // a thread that is thawed loses `bound` if there are no locks
  if (sched::goroutine* g = sched::parkable(); g != nullptr && --g->thread_locks == 0) {
    g->bound->locked = nullptr;
    g->bound = nullptr;
  }
}

int max_procs() {
  sched::ensure_started();
  return sched::procs();
}

int max_procs(int n) {
  sched::ensure_started();
  if (n < 1) throw std::invalid_argument("cairn::max_procs: the number must be at least 1");
  if (n > sched::k_most_procs)
    throw std::invalid_argument("cairn::max_procs: the number must be at most 4096");
  const int before = sched::chosen_procs.load(std::memory_order_relaxed);
  sched::ensure_workers();
  sched::set_proc_limit(n);
  sched::set_max_procs(n);
  return before;
}

std::size_t num_goroutines() { return sched::live_goroutines(); }

std::uint64_t goroutine_id() {
  sched::goroutine* g = sched::own_goroutine(sched::self());
  return g != nullptr ? g->id : 0;
}

int sched::procs() noexcept { return chosen_procs.load(std::memory_order_relaxed); }
void sched::set_max_procs(int n) noexcept {
  chosen_procs.store(std::min(n, k_most_procs), std::memory_order_relaxed);
}
void sched::set_stack_size(std::size_t bytes) noexcept { stacks::set_size(bytes); }

void sched::set_proc_limit(int n) {
  static std::mutex mutex;  // of who makes Ps
  std::lock_guard making(mutex);
  while (sch.made.load(std::memory_order_relaxed) < n) {
    const int i = sch.made.load(std::memory_order_relaxed);
    void* memory = heap::metadata_alloc(sizeof(p), alignof(p));
    if (memory == nullptr) throw std::bad_alloc();
    sch.all[i] = ::new (memory) p(i);
    sch.made.store(i + 1, std::memory_order_release);
  }
  runtime_section section;
  change_limit(n);
  wake_one();
}

void sched::initialise(int signal_number) {
  static std::once_flag once;
  std::call_once(once, [&] {
    create_exit_key();
    install_fork_handlers();
    install_signal_handler(signal_number);
    install_overflow_handler();
  });
}

}  // namespace cairn
