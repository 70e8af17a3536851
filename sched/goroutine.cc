// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/goroutine.h"

#include <cxxabi.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <system_error>
#include <typeinfo>

#include "cairn/detail/assert.h"
#include "heap/lock.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/hooks.h"
#include "sched/message.h"
#include "sched/park.h"
#include "sched/worker.h"

namespace cairn::sched {

std::atomic<bool> run_ending{false};

namespace {

constexpr std::int64_t k_end_ns = 1'000'000'000;
constexpr std::int64_t k_wake_again_ns = 1'000'000;

heap::mutex list_lock;                  // taken in runtime sections
goroutine* list = nullptr;              // under list_lock
goroutine* free_records = nullptr;      // under list_lock; never shrinks, so a stale pointer is to a record
std::atomic<std::uint32_t> live{0};     // length of `list`; written under list_lock, slept on by await_fewer
std::atomic<std::uint64_t> last_id{0};  // relaxed: a counter

goroutine* take_record() {
  {
    runtime_section section;
    heap::lock_guard held(list_lock);
    if (goroutine* g = free_records) {
      free_records = g->next;
      return g;
    }
  }
  return new goroutine;
}

void give_record(goroutine* g) noexcept {
  runtime_section section;
  heap::lock_guard held(list_lock);
  g->next = free_records;
  free_records = g;
}

void enlist(goroutine* g) noexcept {
  g->id = last_id.fetch_add(1, std::memory_order_relaxed) + 1;
  g->exiting = false;
  g->orphaned.store(false, std::memory_order_relaxed);
  runtime_section section;
  heap::lock_guard held(list_lock);
  g->next = list;
  g->link = &list;
  if (list != nullptr) list->link = &g->next;
  list = g;
  live.fetch_add(1, std::memory_order_relaxed);
}

void unlink(goroutine* g) noexcept CAIRN_REQUIRES(list_lock) {
  *g->link = g->next;
  if (g->next != nullptr) g->next->link = g->link;
  live.fetch_sub(1, std::memory_order_relaxed);
}

void delist(goroutine* g) noexcept {
  {
    runtime_section section;
    heap::lock_guard held(list_lock);
    if (g->orphaned.load(std::memory_order_relaxed)) return;
    unlink(g);
  }
  futex_wake(live, INT_MAX);
}

void complete(detail::task_base& task) noexcept {
  // Acquire and release: as task_base says.
  std::uint32_t before = task.state.exchange(detail::task_base::k_done, std::memory_order_acq_rel);
  if (before == detail::task_base::k_awaited) futex_wake(task.state, INT_MAX);
  if (before == detail::task_base::k_detached) detail::destroy_outcome(task);
}

// The goroutine has ended, however that came.
void finish(goroutine* g) noexcept {
  delist(g);  // first, so that who has got the result does not count this one any more
  if (g->task != nullptr) {
    if (g->task->result == detail::task_base::outcome::none)
      g->task->result = detail::task_base::outcome::exited;
    complete(*g->task);
  }
  g->function = nullptr;
  g->task = nullptr;
  detail::root_release(g->root);
  g->root = nullptr;
  give_record(g);
}

[[noreturn, gnu::cold]] void report_uncaught(const goroutine* g) noexcept {
  message text;
  text << "cairn: an exception left goroutine " << g->id;
  if (const std::type_info* type = abi::__cxa_current_exception_type()) {
    char* name = abi::__cxa_demangle(type->name(), nullptr, nullptr, nullptr);
    text << ", of type " << (name != nullptr ? name : type->name());
    std::free(name);
  }
  try {
    throw;
  } catch (const std::exception& e) {
    text << ": " << e.what();
  } catch (...) {
  }
  (text << "\n").send();
  _exit(2);
}

[[noreturn, gnu::cold]] void report_caught_exit(const goroutine* g) noexcept {
  (message() << "cairn: goroutine " << g->id
             << " caught the exception of cairn::goexit and did not rethrow it: catch (...) must\n")
      .send();
  std::abort();
}

// Calls the function; what leaves it is taken care of, but for the unwinding of pthread_exit.
void call(goroutine* g) {
  try {
    g->function->run(g->function, nullptr);
    if (g->exiting) report_caught_exit(g);
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (const goexit_signal&) {
  } catch (...) {
    if (g->task == nullptr) report_uncaught(g);
    g->task->error = std::current_exception();
    g->task->result = detail::task_base::outcome::error;
  }
}

// Calls the function unless the run is over. False if it was left by longjmp. Here and nowhere else, so that no
// variable lives across the second return.
[[gnu::noinline]] bool call_or_end(goroutine* g) {
  if (_setjmp(g->end) != 0) return false;
  check_ending();
  if (g->orphaned.load(std::memory_order_relaxed)) return false;  // the run ended before the thread began
  call(g);
  return true;
}

// Wakes every parked goroutine but main.
void wake_parked() {
  registry_guard held;
  for_each_m(held, [](m& p) {
    goroutine* g = p.current_goroutine.load(std::memory_order_relaxed);
    std::atomic<std::uint32_t>* word = p.parked_on.load(std::memory_order_acquire);
    if (g != nullptr && !g->is_main && word != nullptr) futex_wake(*word, INT_MAX);
  });
}

// Returns how many there were.
std::size_t orphan_others() noexcept {
  runtime_section section;
  heap::lock_guard held(list_lock);
  std::size_t n = 0;
  for (goroutine *g = list, *next = nullptr; g != nullptr; g = next) {
    next = g->next;
    if (g->is_main) continue;
    unlink(g);
    g->orphaned.store(true, std::memory_order_relaxed);
    ++n;
  }
  return n;
}

}  // namespace

bool run_goroutine(m& self, goroutine* g) {
  struct scope {
    m& self;
    goroutine* g;
    ~scope() {
      self.parked_on.store(nullptr, std::memory_order_relaxed);
      self.current_goroutine.store(nullptr, std::memory_order_relaxed);
      finish(g);
    }
  } at_end{self, g};
  self.current_goroutine.store(g, std::memory_order_relaxed);
  bool returned = call_or_end(g);
  bool pinned = self.os_thread_locks != 0;
  self.os_thread_locks = 0;
  return returned && !pinned;
}

goroutine* own_goroutine(const m& self) noexcept {
  goroutine* g = self.current_goroutine.load(std::memory_order_relaxed);
  return g != nullptr && !g->orphaned.load(std::memory_order_relaxed) ? g : nullptr;
}

void end_this_goroutine() {
  m* self = current();
  if (self == nullptr || self->depth.load(std::memory_order_relaxed) != 0) return;
  // Called inside blocking(): a mistake that the next entry into the safe state names.
  std::uint32_t state = self->state.load(std::memory_order_relaxed);
  if (state != k_running && state != k_requested) return;
  goroutine* g = own_goroutine(*self);
  if (g == nullptr || g->is_main) return;
  _longjmp(g->end, 1);
}

std::size_t live_goroutines() noexcept { return live.load(std::memory_order_relaxed); }

goroutine* begin_main(m& self) {
  goroutine* g = take_record();
  g->is_main = true;
  enlist(g);
  self.current_goroutine.store(g, std::memory_order_relaxed);
  return g;
}

void end_main(m& self, goroutine* main) {
  self.current_goroutine.store(nullptr, std::memory_order_relaxed);
  delist(main);
  main->is_main = false;
  give_record(main);
}

void await_fewer(m& self, std::size_t n, std::int64_t deadline) {
  for (;;) {
    std::uint32_t now = live.load(std::memory_order_relaxed);
    if (now < n) return;
    bool in_time = true;
    in_safe_state(self, [&] { in_time = futex_wait(live, now, deadline); });
    if (!in_time) return;
  }
}

void end_others(m& self) {
  std::int64_t deadline = now_ns() + k_end_ns;
  run_ending.store(true, std::memory_order_relaxed);
  while (live_goroutines() > 1 && now_ns() < deadline) {
    wake_parked();
    await_fewer(self, 2, now_ns() + k_wake_again_ns);
  }
  if (std::size_t n = orphan_others()) {
    (message() << "cairn: run: " << n << (n == 1 ? " goroutine has" : " goroutines have")
               << " not come to an end within a second after main; the threads go on as attached ones\n")
        .send();
  }
  run_ending.store(false, std::memory_order_relaxed);
}

}  // namespace cairn::sched

namespace cairn::detail {

void start_goroutine(closure* function, task_base* task) {
  using namespace sched;
  goroutine* g = nullptr;
  try {
    check_ending();
    g = take_record();
    g->root = root_acquire(function);
    g->function = function;
    g->task = task;
  } catch (...) {
    if (g != nullptr) give_record(g);
    function->drop(function);
    throw;
  }
  enlist(g);
  if (give_to_idle(g)) return;
  if (int error = start_worker(g); error != 0) {
    g->task = nullptr;  // nobody will ask for its outcome
    finish(g);
    function->drop(function);
    throw std::system_error(error, std::generic_category(), "cairn: cannot start a thread for a goroutine");
  }
}

void await_task(task_base& task) {
  sched::m& self = sched::self();
  sched::check_ending();
  std::uint32_t state = task_base::k_pending;
  // Acquire, here and below: with the exchange in complete(). Needless on success, where it only asks for a wake.
  if (task.state.compare_exchange_strong(state, task_base::k_awaited, std::memory_order_acquire,
                                         std::memory_order_acquire))
    state = task_base::k_awaited;
  while (state != task_base::k_done) {
    sched::park(self, task.state, task_base::k_awaited);
    state = task.state.load(std::memory_order_acquire);
  }
}

void detach_task(task_base& task) noexcept {
  // Awaited when a get() was left by longjmp or by an exception: then nobody waits any more.
  std::uint32_t state = task.state.load(std::memory_order_acquire);
  // Release: with the exchange in complete(). Acquire when it is done: with the same.
  while (state != task_base::k_done) {
    if (task.state.compare_exchange_weak(state, task_base::k_detached, std::memory_order_release,
                                         std::memory_order_acquire))
      return;
  }
  destroy_outcome(task);
}

void destroy_outcome(task_base& task) noexcept {
  task_base::outcome had = std::exchange(task.result, task_base::outcome::exited);
  if (had == task_base::outcome::value) task.destroy_value(&task);
  task.error = nullptr;
}

void shade_words(const void* first, std::size_t bytes) noexcept {
  void* const* word = static_cast<void* const*>(first);
  for (std::size_t i = 0; i < bytes / sizeof *word; ++i)
    // As if it were overwritten: since the words were stored the last stack may have turned black, and what this
    // thread had on its own when it was filled is in no place then that will be scanned.
    if (word[i] != nullptr) barrier_slow(&word[i], word[i], word[i], "a goroutine's arguments or result");
}

}  // namespace cairn::detail
