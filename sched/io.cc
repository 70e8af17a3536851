// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/io.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "cairn/net.h"
#include "heap/delay.h"
#include "sched/futex.h"
#include "sched/handshake.h"
#include "sched/scheduler.h"
#include "sched/sleeper.h"
#include "sched/sysmon.h"
#include "sched/worker.h"

namespace cairn::sched {

constinit netpoll io_poller;

namespace {

std::atomic<bool> polling{false};        // somebody is inside poll_io
std::atomic<std::int64_t> last_poll{0};  // relaxed: a clock

enum outcome : std::uint32_t { k_running, k_parked, k_ready, k_closed, k_late, k_dropped };

struct io_wait : loose_end {
  io_wait(int fd, bool for_write, goroutine* g) noexcept;
  ~io_wait();
  io_wait(const io_wait&) = delete;
  io_wait& operator=(const io_wait&) = delete;

  goroutine* const owner;  // null: a thread
  // Release by who decides and by the owner; acquire by who finds it decided. See io.h.
  std::atomic<std::uint32_t> state{k_running};
  struct descriptor : poll_waiter {
    io_wait* of = nullptr;
  } at;
  struct alarm : timer {
    using timer::timer;
    io_wait* of = nullptr;
  } limit;
};

// Nobody touches the record any more. In a section.
void leave_io(io_wait& w) noexcept {
  io_poller.remove(w.at);
  timers::stop(w.limit);
}

// The record may be gone as soon as the word has changed, except that a goroutine which is parked waits for ready().
void decide(io_wait& w, outcome how) noexcept {
  goroutine* g = w.owner;
  std::atomic<std::uint32_t>& state = w.state;
  std::uint32_t seen = k_running;
  if (state.compare_exchange_strong(seen, how, std::memory_order_acq_rel, std::memory_order_acquire)) {
    if (g == nullptr) futex_wake(state, 1);
    return;
  }
  heap::maybe_delay("sched.io.decide");
  if (seen == k_parked &&
      state.compare_exchange_strong(seen, how, std::memory_order_acq_rel, std::memory_order_relaxed))
    ready(g);
}

void on_event(poll_waiter& w, int error) {
  decide(*static_cast<io_wait::descriptor&>(w).of, error == 0 ? k_ready : k_closed);
}

void on_deadline(timer& t, std::int64_t) { decide(*static_cast<io_wait::alarm&>(t).of, k_late); }

io_wait::io_wait(int fd, bool for_write, goroutine* g) noexcept : owner(g), limit(on_deadline) {
  at.fd = fd;
  at.for_write = for_write;
  at.wake = on_event;
  at.of = limit.of = this;
  if (g == nullptr) return;
  tie = [](loose_end& end) noexcept { leave_io(static_cast<io_wait&>(end)); };
  next_end = g->loose_ends;
  g->loose_ends = this;
}

io_wait::~io_wait() {
  if (owner != nullptr) owner->loose_ends = next_end;
}

// ---- goroutines ----------------------------------------------------------------------------------------------------

// On the next stack.
void commit_io(void* arg) noexcept {
  auto& w = *static_cast<io_wait*>(arg);
  goroutine* g = w.owner;
  std::uint32_t seen = k_running;
  if (!w.state.compare_exchange_strong(seen, k_parked, std::memory_order_release, std::memory_order_relaxed)) {
    ready(g);
    return;
  }
  // Who goes on with other work does not come to look at the poller soon.
  const m& self = *current();
  if (self.current_goroutine.load(std::memory_order_relaxed) != nullptr || self.chosen != nullptr)
    rouse_poller();
}

bool cancel_io(goroutine&, void* arg) noexcept {
  std::uint32_t seen = k_parked;
  // The record is tied up by who drops the goroutine.
  return static_cast<io_wait*>(arg)->state.compare_exchange_strong(seen, k_dropped, std::memory_order_acq_rel,
                                                                   std::memory_order_relaxed);
}

bool start_limit(io_wait& w, std::int64_t deadline) noexcept {
  if (deadline == INT64_MAX) return true;
  p* pp = own_p(*current());
  if (!(pp != nullptr ? *pp : *proc_at(0)).timing.start(w.limit, deadline).done) return false;
  if (pp == nullptr) rouse_sleeper();
  return true;
}

// What a wait came to: an errno value, or, if it is 0, `how`. k_running: no memory, to be tried again.
struct result {
  int error;
  std::uint32_t how;
};

result await_as_goroutine(io_wait& w, std::int64_t deadline) noexcept {
  enter_section();
  const int error = io_poller.add(w.at);
  if (error != 0 || !start_limit(w, deadline)) {
    io_poller.remove(w.at);
    leave_section();
    return {error, k_running};
  }
  heap::maybe_delay("sched.io.park");
  if (w.state.load(std::memory_order_relaxed) == k_running) park({wait_reason::io, commit_io, cancel_io, &w});
  else leave_section();
  runtime_section section;
  leave_io(w);
  return {0, w.state.load(std::memory_order_acquire)};  // with decide
}

// ---- threads -------------------------------------------------------------------------------------------------------

result await_as_thread(m& self, io_wait& w, std::int64_t deadline) {
  ensure_workers();  // one of them polls
  {
    runtime_section section(self);
    if (const int error = io_poller.add(w.at); error != 0) return {error, k_running};
    rouse_poller();
    wake_sysmon();  // which looks for closed descriptors only while somebody waits
  }
  const std::int64_t until = deadline == INT64_MAX ? k_forever : deadline;
  in_safe_state(self, [&w, until] {
    while (w.state.load(std::memory_order_acquire) == k_running && futex_wait(w.state, k_running, until)) {
    }
  });
  runtime_section section(self);
  leave_io(w);
  const std::uint32_t how = w.state.load(std::memory_order_acquire);
  return {0, how == k_running ? std::uint32_t{k_late} : how};
}

// ---- both ----------------------------------------------------------------------------------------------------------

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

// Without waiting. Poll knows more files than epoll does, and what is ready already costs no park.
bool is_ready(int fd, bool for_write, const char* what) {
  if (fd < 0) fail(EBADF, what);
  pollfd look{fd, static_cast<short>(for_write ? POLLOUT : POLLIN), 0};
  if (::poll(&look, 1, 0) <= 0) return false;
  if ((look.revents & POLLNVAL) != 0) fail(EBADF, what);
  return true;
}

bool await_io(int fd, bool for_write, std::chrono::steady_clock::time_point limit, const char* what) {
  self();
  const std::int64_t deadline = std::chrono::duration_cast<std::chrono::nanoseconds>(limit.time_since_epoch())
                                    .count();
  for (;;) {
    check_ending();
    if (is_ready(fd, for_write, what)) return true;
    if (deadline != INT64_MAX && now_ns() >= deadline) return false;
    result came{};
    {
      goroutine* g = parkable();
      io_wait w(fd, for_write, g);
      came = g != nullptr ? await_as_goroutine(w, deadline) : await_as_thread(*current(), w, deadline);
    }
    check_ending();
    if (came.error == netpoll::k_always_ready) return true;
    if (came.error != 0) fail(came.error, what);
    if (came.how == k_closed) fail(EBADF, what);
    if (came.how != k_running) return came.how == k_ready;
    yield_now();  // there was no memory for a timer
  }
}

}  // namespace

bool poll_io() noexcept {
  if (io_poller.waiters() == 0 || io_poller.is_claimed() || polling.load(std::memory_order_relaxed))
    return false;
  if (polling.exchange(true, std::memory_order_relaxed)) return false;  // one is enough; nothing hangs on it
  const int woken = io_poller.poll();
  note_io_poll();
  polling.store(false, std::memory_order_relaxed);
  return woken != 0;
}

std::int64_t last_io_poll() noexcept { return last_poll.load(std::memory_order_relaxed); }
void note_io_poll() noexcept { last_poll.store(now_ns(), std::memory_order_relaxed); }

void check_closed_io() noexcept {
  constexpr std::size_t k_most_calls = 8;
  const std::size_t looks = (io_poller.waiters() + netpoll::k_checked_at_once - 1) /
                            netpoll::k_checked_at_once;
  for (std::size_t i = 0; i < std::min(looks, k_most_calls); ++i) io_poller.check_closed();
}

}  // namespace cairn::sched

namespace cairn {

bool wait_readable(int fd, std::chrono::steady_clock::time_point deadline) {
  return sched::await_io(fd, false, deadline, "cairn::wait_readable");
}

bool wait_writable(int fd, std::chrono::steady_clock::time_point deadline) {
  return sched::await_io(fd, true, deadline, "cairn::wait_writable");
}

// Not inlined, by no link time optimisation either: see net.h.
[[gnu::noinline]] bool would_block(long result) noexcept {
  return result == -1 && (errno == EAGAIN || errno == EINPROGRESS);
}

}  // namespace cairn
