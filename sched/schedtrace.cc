// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/schedtrace.h"

#include <algorithm>
#include <cstddef>

#include "heap/private.h"
#include "sched/futex.h"
#include "sched/hooks.h"
#include "sched/inspect.h"
#include "sched/message.h"
#include "sched/records.h"
#include "sched/registry.h"
#include "sched/scheduler.h"

namespace cairn::sched {
namespace {

std::int64_t period_ns = 0;  // written before sysmon starts
bool with_details = false;   // likewise
std::int64_t began = 0;      // with the first line. sysmon's own, as the next
std::int64_t due = 0;

std::string_view name_of(bool value) noexcept { return value ? "true" : "false"; }

struct number_or_nil {
  std::int64_t number;  // -1: nil
};
message& operator<<(message& line, number_or_nil value) noexcept {
  if (value.number < 0) return line << "nil";
  return line << value.number;
}

// What is said of an M, taken while the list of them stands still.
struct thread_line {
  std::int64_t id, p, g, locked;
  int depth;
  bool spinning, blocked, unfreezable;
};

// Here and below fields are read that others may be writing: what is printed may be old.
CAIRN_LOOKS std::int64_t id_of(const goroutine* g) noexcept {
  return g != nullptr ? static_cast<std::int64_t>(g->id) : -1;
}
CAIRN_LOOKS std::int64_t id_of(const m* thread) noexcept { return thread != nullptr ? thread->tid : -1; }

CAIRN_LOOKS thread_line look_at(const m& thread) noexcept {
  const auto* pp = reinterpret_cast<const p*>(thread.proc.load(std::memory_order_acquire) &
                                              ~std::uintptr_t{1});
  thread_line line{};
  line.id = id_of(&thread);
  line.p = pp != nullptr ? pp->id : -1;
  line.g = id_of(thread.current_goroutine.load(std::memory_order_acquire));
  line.locked = id_of(*const_cast<goroutine* const volatile*>(&thread.locked));
  line.depth = thread.depth.load(std::memory_order_relaxed);
  line.spinning = *const_cast<const volatile bool*>(&thread.spinning);
  line.blocked = thread.state.load(std::memory_order_relaxed) == k_safe;
  line.unfreezable = *const_cast<const volatile int*>(&thread.freeze_off) != 0;
  return line;
}

constexpr std::size_t k_most_threads = 512;
struct thread_lines {
  thread_line all[k_most_threads];
  std::size_t n = 0;
  bool is_whole = true;
} threads;  // sysmon's own
const heap::private_table threads_are_private(threads.all);

// Not while somebody stops or asks the threads: the list is his then, and sysmon does not wait.
void look_at_threads() noexcept {
  threads.n = 0;
  threads.is_whole = try_acquire_registry();
  if (!threads.is_whole) return;
  for (const m* thread = first_m(); thread != nullptr; thread = thread->next) {
    if (threads.n == k_most_threads) {
      threads.is_whole = false;
      break;
    }
    threads.all[threads.n++] = look_at(*thread);
  }
  release_registry();
}

void print_threads() noexcept {
  for (std::size_t i = 0; i < threads.n; ++i) {
    const thread_line& t = threads.all[i];
    message line;
    line << "  M" << t.id << ": p=" << number_or_nil{t.p} << " curg=" << number_or_nil{t.g}
         << " mallocing=0 throwing=0 preemptoff=" << (t.unfreezable ? "runtime" : "") << " locks=" << t.depth
         << " dying=0 spinning=" << name_of(t.spinning) << " blocked=" << name_of(t.blocked)
         << " lockedg=" << number_or_nil{t.locked} << "\n";
    line.send();
  }
  if (!threads.is_whole) (message() << "  M: the list is in use, or longer\n").send();
}

// Go's numbers of states.
int number_of(activity doing) noexcept {
  switch (doing) {
    case activity::runnable:
      return 1;
    case activity::running:
      return 2;
    case activity::syscall:
      return 3;
    case activity::waiting:
      return 4;
  }
  return 0;
}

void print_goroutines() noexcept {
  records::for_each([](const goroutine& g) {
    sighting seen;
    if (!look_from_afar(g, seen)) return;
    const m* on = g.running_on.load(std::memory_order_acquire);
    message line;
    line << "  G" << seen.id << ": status=" << number_of(seen.doing) << "("
         << (seen.doing == activity::waiting ? name_of(seen.why) : "") << ") m=" << number_or_nil{id_of(on)}
         << " lockedm=" << number_or_nil{seen.is_locked ? id_of(on) : -1} << "\n";
    line.send();
  });
}

int number_of(p::use is) noexcept { return is == p::use::idle ? 0 : is == p::use::taken ? 1 : 4; }

void print_procs(int n) noexcept {
  for (int i = 0; i < n; ++i) {
    const p& pp = *sch.all[i];
    p::use is;
    {
      heap::lock_guard held(sch.lock);
      is = pp.is;
    }
    const m* owner = pp.owner.load(std::memory_order_acquire);
    message line;
    line << "  P" << i << ": status=" << number_of(is)
         << " schedtick=" << pp.tick.load(std::memory_order_relaxed)
         << " syscalltick=0 m=" << number_or_nil{id_of(owner)}
         << " runqsize=" << pp.queue.size() + (pp.queue.peek_next() != nullptr ? 1 : 0)
         << " gfreecnt=0 timerslen=" << pp.timing.active() << "\n";
    line.send();
  }
}

// Thousands of Ps do not fit into one message.
void send_if_long(message& line) noexcept {
  if (line.size() < 900) return;
  line.send();
  line = message();
}

void print_queues(message& line, int n) noexcept {
  line << " [";
  for (int i = 0; i < n; ++i) {
    line << " " << sch.all[i]->queue.size() + (sch.all[i]->queue.peek_next() != nullptr ? 1 : 0);
    send_if_long(line);
  }
  line << " ] schedticks=[";
  for (int i = 0; i < n; ++i) {
    line << " " << sch.all[i]->tick.load(std::memory_order_relaxed);
    send_if_long(line);
  }
  (line << " ]\n").send();
}

void print(std::int64_t now) noexcept {
  constexpr std::size_t k_own_threads = 2;  // sysmon and the maker of workers, which are not attached
  const int n = std::min(sch.made.load(std::memory_order_acquire), sch.limit.load(std::memory_order_relaxed));
  unsigned idle = 0;
  {
    heap::lock_guard held(sch.lock);
    idle = sch.n_idle_m;
  }
  message line;
  line << "SCHED " << (now - began) / 1'000'000 << "ms: gomaxprocs=" << n
       << " idleprocs=" << sch.idle_ps.load(std::memory_order_relaxed)
       << " threads=" << attached_count() + k_own_threads
       << " spinningthreads=" << sch.spinning.load(std::memory_order_relaxed)
       << " needspinning=0 idlethreads=" << idle
       << " runqueue=" << sch.queued.load(std::memory_order_relaxed);
  if (!with_details) {
    print_queues(line, n);
    return;
  }
  line << " gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false\n";
  line.send();
  look_at_threads();
  print_procs(n);
  print_threads();
  print_goroutines();
}

}  // namespace

void set_schedtrace(std::int64_t every_ms, bool detailed) noexcept {
  period_ns = every_ms * 1'000'000;
  with_details = detailed;
}

std::int64_t trace_schedule(std::int64_t now) noexcept {
  if (period_ns == 0) [[likely]]
    return k_forever;
  if (began == 0) began = now;
  if (now >= due) {
    print(now);
    due = std::max(due + period_ns, now + period_ns / 2);
  }
  return due;
}

}  // namespace cairn::sched
