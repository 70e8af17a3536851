// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/goroutine.h"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdlib>
#include <new>
#include <utility>

#include "cairn/detail/assert.h"
#include "cairn/detail/kept.h"
#include "cairn/detail/library_call.h"
#include "sched/bubble.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/message.h"
#include "sched/proc.h"
#include "sched/registry.h"
#include "sched/run_state.h"
#include "sched/uncaught.h"
#include "sched/worker.h"

namespace cairn::sched {

std::atomic<bool> run_ending{false};
std::atomic<std::uint8_t> long_ways{0};

namespace {

// By `next`; only ever taken as a whole.
std::atomic<goroutine*> dropped{nullptr};

// Who waits for a task; on its stack. There is one at most.
struct task_waiter {
  detail::task_base& task;
  goroutine* g;                         // null: a thread, which sleeps on `woken`
  std::atomic<std::uint32_t> woken{0};  // release by the waker, acquire by the thread
};

void wake(task_waiter& w) noexcept {
  if (w.g != nullptr) {
    runtime_section section;
    ready(w.g);
    return;
  }
  std::atomic<std::uint32_t>& word = w.woken;
  word.store(1, std::memory_order_release);  // from here on `w` may be gone
  futex_wake(word, 1);
}

void complete(detail::task_base& task) noexcept {
  using base = detail::task_base;
  // Acquire and release: as task_base says.
  const std::uintptr_t before = task.state.exchange(base::k_done, std::memory_order_acq_rel);
  if (before == base::k_detached) return detail::destroy_outcome(task);
  if (before != base::k_pending) wake(*reinterpret_cast<task_waiter*>(before));
}

// After the goroutine has left its stack.
void publish_waiter(void* arg) noexcept {
  auto* w = static_cast<task_waiter*>(arg);
  std::uintptr_t pending = detail::task_base::k_pending;
  // Release: with complete. Acquire when it is done: with the same; the outcome is looked at by who wakes.
  if (!w->task.state.compare_exchange_strong(pending, reinterpret_cast<std::uintptr_t>(w),
                                             std::memory_order_release, std::memory_order_acquire))
    ready(w->g);
}

bool cancel_waiter(goroutine&, void* arg) noexcept {
  auto* w = static_cast<task_waiter*>(arg);
  auto expected = reinterpret_cast<std::uintptr_t>(w);
  // Relaxed: only its own address is taken back.
  return w->task.state.compare_exchange_strong(expected, detail::task_base::k_pending,
                                               std::memory_order_relaxed, std::memory_order_relaxed);
}

bool awaits_task(const goroutine& g, void (*f)(void*, const void*), void* arg) {
  const auto* w = static_cast<const task_waiter*>(g.cancel_arg);
  if (w->task.state.load(std::memory_order_acquire) != reinterpret_cast<std::uintptr_t>(w)) return false;
  f(arg, &w->task);
  return true;
}

void await_on_thread(m& self, detail::task_base& task) {
  task_waiter w{task, nullptr};
  std::uintptr_t pending = detail::task_base::k_pending;
  // As in publish_waiter.
  if (!task.state.compare_exchange_strong(pending, reinterpret_cast<std::uintptr_t>(&w),
                                          std::memory_order_release, std::memory_order_acquire))
    return;
  in_safe_state(self, [&w] {
    while (w.woken.load(std::memory_order_acquire) == 0) futex_wait(w.woken, 0);
  });
}

// The goroutine has come to its end, on its own stack.
void finish(goroutine* g) noexcept {
  // Counted first, so that who has got the result does not count this one any more.
  if (g->claim_end()) {
    runtime_section section;
    count_ended();
  }
  if (g->task != nullptr) {
    if (g->task->result == detail::task_base::outcome::none)
      g->task->result = detail::task_base::outcome::exited;
    complete(*g->task);
  }
  if (g->home.load(std::memory_order_relaxed) != nullptr) [[unlikely]] {
    runtime_section section;
    leave_bubble(*g);  // last: who waits for the others in the bubble finds the outcome there
  }
}

[[noreturn, gnu::cold]] void report_caught_exit(const goroutine* g) noexcept {
  (message() << "cairn: goroutine " << g->id
             << " caught the exception of cairn::goexit and did not rethrow it: catch (...) must\n")
      .send();
  std::abort();
}

[[noreturn, gnu::cold]] void report_unwound(const goroutine* g) noexcept {
  (message()
   << "cairn: goroutine " << g->id
   << " called pthread_exit, or was cancelled: a goroutine ends by returning, or by cairn::goexit\n")
      .send();
  std::abort();
}

// Calls the function; what leaves it is taken care of.
void call(goroutine* g) noexcept {
  try {
    if (g->is_main) call_main();
    else if (g->task == nullptr) call_to_the_end(*g);
    else g->function->run(g->function, nullptr);
    if (g->exiting) report_caught_exit(g);
  } catch (abi::__forced_unwind&) {
    report_unwound(g);
  } catch (const goexit_signal&) {
  } catch (...) {
    if (g->is_main) return main_threw(std::current_exception());
    if (g->task == nullptr) report_uncaught(*g);
    g->task->error = std::current_exception();
    g->task->result = detail::task_base::outcome::error;
  }
}

}  // namespace

void run_goroutine(goroutine* g) noexcept {
  if (!run_ending.load(std::memory_order_relaxed)) call(g);
  const bool ends_run = g->is_main && !g->exiting;
  finish(g);
  if (ends_run) main_is_over();
}

void tie_loose_ends(goroutine& g) noexcept {
  while (loose_end* end = g.loose_ends) {
    g.loose_ends = end->next_end;
    end->tie(*end);
  }
}

void drop(goroutine* g) noexcept {
  tie_loose_ends(*g);
  leave_bubble(*g);
  // Before it is counted off: who sees that nobody is left finds all of them in the list.
  g->status.store(g_status::runnable, std::memory_order_relaxed);
  g->next = dropped.load(std::memory_order_relaxed);
  // Release: with the acquire in forget_dropped.
  while (!dropped.compare_exchange_weak(g->next, g, std::memory_order_release, std::memory_order_relaxed)) {
  }
  detail::task_base* task = g->task;
  if (g->claim_end()) count_ended();
  if (task == nullptr) return;
  task->result = detail::task_base::outcome::exited;
  complete(*task);
}

void forget_dropped(bool reuse) noexcept {
  goroutine* list = dropped.exchange(nullptr, std::memory_order_acquire);
  while (list != nullptr && reuse) {
    runtime_section section;
    discard(std::exchange(list, list->next));
  }
}

goroutine* own_goroutine(const m& self) noexcept {
  goroutine* g = self.current_goroutine.load(std::memory_order_relaxed);
  return g != nullptr && !g->is_orphan() ? g : nullptr;
}

namespace {

goroutine* this_goroutine() noexcept {
  m* self = current();
  return self != nullptr ? own_goroutine(*self) : nullptr;
}

}  // namespace

end_later::end_later() noexcept : g_(this_goroutine()) {
  if (g_ != nullptr) ++g_->end_later;
}
end_later::~end_later() {
  if (g_ != nullptr) --g_->end_later;
}

void end_this_goroutine() {
  m* self = current();
  if (self == nullptr || self->depth.load(std::memory_order_relaxed) != 0) return;
  // Called inside blocking(): a mistake that the next entry into the safe state names.
  const std::uint32_t state = self->state.load(std::memory_order_relaxed);
  if (state != k_running && state != k_requested) return;
  goroutine* g = own_goroutine(*self);
  if (g == nullptr || g->is_main || g->end_later != 0) return;
  {
    runtime_section section;
    tie_loose_ends(*g);
  }
  finish(g);
  enter_section();
  leave_for_good();
}

}  // namespace cairn::sched

namespace cairn::detail {

void start_goroutine(closure* function, task_base* task) {
  using namespace sched;
  goroutine* g = nullptr;
  try {
    check_ending();
    self();
    ensure_workers();
    runtime_section section;
    g = new_goroutine();
    if (g != nullptr) {
      const goroutine* creator = own_goroutine(*current());
      g->creator = creator != nullptr ? creator->id : 0;
      g->created_at = __builtin_return_address(0);
      g->function = function;
      g->task = task;
      if (bubble* b = creator != nullptr ? creator->home.load(std::memory_order_relaxed) : nullptr)
          [[unlikely]] {
        join_bubble(*b, *g);
        if (task != nullptr) task->bubble = b->id;
      }
      // The goroutine may be black already while this thread, and so the closure, is not.
      shade_if_marking(&function, sizeof(std::uintptr_t));
      start(g);
    }
  } catch (...) {
    function->drop(function);
    throw;
  }
  if (g != nullptr) return;
  function->drop(function);
  throw std::bad_alloc();
}

void await_task(task_base& task) {
  using namespace sched;
  m& self = sched::self();
  check_ending();
  if (task.state.load(std::memory_order_acquire) == task_base::k_done) return;
  if (goroutine* g = parkable()) {
    task_waiter w{task, g};
    enter_section();
    park({wait_reason::task, publish_waiter, cancel_waiter, &w, awaits_task,
          task.bubble != 0 && task.bubble == own_bubble_id()});
  } else {
    await_on_thread(self, task);
  }
  check_ending();
}

void detach_task(task_base& task) noexcept {
  std::uintptr_t state = task.state.load(std::memory_order_acquire);
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

std::exception_ptr exception_to_keep() noexcept {
  try {
    throw;
  } catch (const sched::goexit_signal&) {
    return std::make_exception_ptr(goroutine_exited("the function was ended by cairn::goexit"));
  } catch (...) {
    return std::current_exception();
  }
}

bool is_exiting() noexcept {
  const sched::m* self = sched::current();
  const sched::goroutine* g = self != nullptr ? sched::own_goroutine(*self) : nullptr;
  return g != nullptr && g->exiting;
}

void begin_call_slow() { sched::take_long_way(); }

void shade_words(const void* first, std::size_t bytes) noexcept {
  void* const* word = static_cast<void* const*>(first);
  for (std::size_t i = 0; i < bytes / sizeof *word; ++i)
    // As if it were overwritten: since the words were stored the last stack may have turned black, and what this
    // thread had on its own when it was filled is in no place then that will be scanned.
    if (word[i] != nullptr) barrier_slow(&word[i], word[i], word[i], "a goroutine's arguments or result");
}

}  // namespace cairn::detail
