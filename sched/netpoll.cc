// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/netpoll.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "heap/delay.h"
#include "heap/fatal.h"
#include "heap/metadata.h"
#include "heap/os.h"
#include "sched/futex.h"

namespace cairn::sched {

// A descriptor that somebody has waited for. All zero at first; never moved.
struct poll_entry {
  poll_waiter* first;  // in the order of coming
  poll_waiter** end;   // the last one's `next`, or `first`; null before the first use
  poll_entry* next_busy;
  poll_entry* previous_busy;
  int fd;
  std::uint32_t arming;  // the number of the last one
};

namespace {

constexpr std::size_t k_page_entries = 256;
constexpr std::size_t k_pointer_bytes = sizeof(void*);
constexpr char k_closed_message[] = "somebody has closed descriptor {}, which is the library's";
constexpr std::uint64_t k_interrupt = ~std::uint64_t{0};  // no descriptor's, for those are not negative

class errno_keeper {
 public:
  errno_keeper() noexcept : saved_(errno) {}
  ~errno_keeper() { errno = saved_; }
  errno_keeper(const errno_keeper&) = delete;
  errno_keeper& operator=(const errno_keeper&) = delete;

 private:
  const int saved_;
};

std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

}  // namespace

// ---- the table ----

// Makes pages_[index] exist, and the page. False: no memory.
bool netpoll::reserve_page(std::size_t index) noexcept {
  const std::size_t unit = heap::the_os().physical_page_bytes();
  if (index >= page_count_) {
    const std::size_t bytes = round_up(std::max(index + 1, 2 * page_count_) * k_pointer_bytes, unit);
    auto** larger = static_cast<poll_entry**>(heap::metadata_map(bytes));
    if (larger == nullptr) return false;
    if (pages_ != nullptr) {
      std::copy_n(pages_, page_count_, larger);
      const std::size_t old_bytes = page_count_ * k_pointer_bytes;  // whole pages, as all were
      heap::the_os().release(pages_, old_bytes);
      heap::metadata_note(-static_cast<std::ptrdiff_t>(old_bytes));
    }
    pages_ = larger;
    page_count_ = bytes / k_pointer_bytes;
  }
  if (pages_[index] == nullptr) {
    pages_[index] = static_cast<poll_entry*>(heap::metadata_map(k_page_entries * sizeof(poll_entry)));
  }
  return pages_[index] != nullptr;
}

// The descriptor's entry, which exists once somebody has waited for it; null otherwise.
poll_entry* netpoll::entry_of(int fd) noexcept {
  const std::size_t index = static_cast<std::size_t>(fd) / k_page_entries;
  if (index >= page_count_ || pages_[index] == nullptr) return nullptr;
  return &pages_[index][static_cast<std::size_t>(fd) % k_page_entries];
}

void netpoll::link_busy(poll_entry& e) noexcept {
  e.next_busy = nullptr;
  e.previous_busy = last_busy_;
  (last_busy_ != nullptr ? last_busy_->next_busy : first_busy_) = &e;
  last_busy_ = &e;
}

void netpoll::unlink_busy(poll_entry& e) noexcept {
  (e.previous_busy != nullptr ? e.previous_busy->next_busy : first_busy_) = e.next_busy;
  (e.next_busy != nullptr ? e.next_busy->previous_busy : last_busy_) = e.previous_busy;
}

void netpoll::link(poll_entry& e, poll_waiter& w) noexcept {
  if (e.first == nullptr) {
    e.end = &e.first;
    link_busy(e);
  }
  w.next = nullptr;
  w.link = e.end;
  w.entry = &e;
  *e.end = &w;
  e.end = &w.next;
}

void netpoll::unlink(poll_waiter& w) noexcept {
  poll_entry& e = *w.entry;
  *w.link = w.next;
  (w.next != nullptr ? w.next->link : e.end) = w.link;
  w.link = nullptr;
  if (e.first == nullptr) unlink_busy(e);
}

// ---- the kernel's side ----

int netpoll::open() noexcept {
  const heap::lock_guard guard(lock_);
  return open_locked();
}

int netpoll::open_locked() noexcept {
  if (epoll_.load(std::memory_order_relaxed) != -1) return 0;
  const errno_keeper keep;
  const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event == -1) return errno;
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event interrupt_event{};
  interrupt_event.events = EPOLLIN;
  interrupt_event.data.u64 = k_interrupt;
  if (epoll == -1 || ::epoll_ctl(epoll, EPOLL_CTL_ADD, event, &interrupt_event) == -1) {
    const int error = errno;
    ::close(event);
    if (epoll != -1) ::close(epoll);
    return error;
  }
  event_.store(event, std::memory_order_release);  // with interrupt
  epoll_.store(epoll, std::memory_order_release);  // with wait
  return 0;
}

// For what somebody waits for now. An errno value or 0.
int netpoll::arm(poll_entry& e, int operation) noexcept {
  const errno_keeper keep;
  epoll_event event{};
  event.events = EPOLLONESHOT;
  for (const poll_waiter* w = e.first; w != nullptr; w = w->next)
    event.events |= w->for_write ? EPOLLOUT : EPOLLIN;
  event.data.u64 = std::uint64_t{++e.arming} << 32 | static_cast<std::uint32_t>(e.fd);
  const int epoll = epoll_.load(std::memory_order_relaxed);
  if (::epoll_ctl(epoll, operation, e.fd, &event) == 0) return 0;
  const int error = errno;
  if (error == EBADF && ::fcntl(epoll, F_GETFD) == -1) heap::fatal_error(k_closed_message, epoll);
  return error;
}

int netpoll::add(poll_waiter& w) noexcept {
  if (w.fd < 0) return EBADF;
  const heap::lock_guard guard(lock_);
  if (const int error = open_locked()) return error;
  // One of the program's that was closed may have had the number.
  if (w.fd == epoll_.load(std::memory_order_relaxed) || w.fd == event_.load(std::memory_order_relaxed))
    return EBADF;
  if (!reserve_page(static_cast<std::size_t>(w.fd) / k_page_entries)) return ENOMEM;
  poll_entry& e = *entry_of(w.fd);
  e.fd = w.fd;
  link(e, w);
  waiters_.fetch_add(1, std::memory_order_release);  // with waiters()
  int error = arm(e, EPOLL_CTL_MOD);
  if (error == ENOENT || error == EBADF) {
    // Who waits already waits for a file that is closed.
    unlink(w);
    wake_all(e, true, true, EBADF);
    if (error == ENOENT) {
      link(e, w);
      error = arm(e, EPOLL_CTL_ADD);
      if (error != 0) unlink(w);
    }
  } else if (error != 0) {
    unlink(w);
  }
  if (error == 0) return 0;
  waiters_.fetch_sub(1, std::memory_order_release);
  return error == EPERM ? k_always_ready : error;
}

bool netpoll::remove(poll_waiter& w) noexcept {
  const heap::lock_guard guard(lock_);
  if (w.link == nullptr) return false;
  // The descriptor stays armed: its event, should it come, finds nobody.
  unlink(w);
  waiters_.fetch_sub(1, std::memory_order_release);
  return true;
}

// ---- polling ----

void netpoll::wait(poll_events& out, std::int64_t deadline) noexcept {
  out.count = 0;
  const int epoll = epoll_.load(std::memory_order_acquire);  // with open
  if (epoll == -1) return;
  const errno_keeper keep;
  timespec left{};
  if (deadline > 0) {
    const std::int64_t ns = std::max<std::int64_t>(deadline - now_ns(), 0);
    left = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  }
  int n = ::epoll_pwait2(epoll, out.events, poll_events::k_most, deadline == k_forever ? nullptr : &left,
                         nullptr);
  if (n == -1 && errno == ENOSYS) {  // before Linux 5.11: whole milliseconds
    const std::int64_t ms = left.tv_sec * 1000 + (left.tv_nsec + 999'999) / 1'000'000;
    n = ::epoll_wait(epoll, out.events, poll_events::k_most,
                     deadline == k_forever ? -1 : static_cast<int>(std::min<std::int64_t>(ms, INT_MAX)));
  }
  // Else whoever waits here would come back at once, for ever.
  if (n == -1 && errno != EINTR) heap::fatal_error(k_closed_message, epoll);
  for (int i = 0; i < n; ++i) {
    if (out.events[i].data.u64 != k_interrupt) {
      out.events[out.count++] = out.events[i];
    } else if (deadline != 0) {  // else it is for who blocks
      std::uint64_t ignored;
      [[maybe_unused]] ssize_t got = ::read(event_.load(std::memory_order_relaxed), &ignored, sizeof ignored);
      heap::maybe_delay("interrupt read");
      // After the read: an interrupt between the two writes nothing, and is answered by this return.
      interrupted_.store(false, std::memory_order_seq_cst);  // release: with interrupt
    }
  }
}

void netpoll::interrupt() noexcept {
  if (interrupted_.exchange(true, std::memory_order_seq_cst)) return;  // acq_rel: with wait
  const errno_keeper keep;
  const int event = event_.load(std::memory_order_acquire);  // with open
  if (event == -1) {
    interrupted_.store(false, std::memory_order_release);
    return;
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] ssize_t put = ::write(event, &one, sizeof one);
}

// Wakes the waiters of those directions; how many.
int netpoll::wake_all(poll_entry& e, bool readers, bool writers, int error) noexcept {
  int count = 0;
  poll_waiter* next;
  for (poll_waiter* w = e.first; w != nullptr; w = next) {
    next = w->next;
    if (!(w->for_write ? writers : readers)) continue;
    unlink(*w);
    ++count;
    w->wake(*w, error);
    waiters_.fetch_sub(1, std::memory_order_release);  // after it: see waiters()
  }
  return count;
}

int netpoll::dispatch_one(const epoll_event& event) noexcept {
  heap::maybe_delay("event fetched");
  const heap::lock_guard guard(lock_);
  poll_entry& e = *entry_of(static_cast<int>(event.data.u64 & UINT32_MAX));
  if (e.arming != event.data.u64 >> 32) return 0;
  const bool both = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
  int count = wake_all(e, both || (event.events & EPOLLIN) != 0, both || (event.events & EPOLLOUT) != 0, 0);
  if (e.first != nullptr) {
    const int error = arm(e, EPOLL_CTL_MOD);
    if (error != 0) count += wake_all(e, true, true, EBADF);
  }
  return count;
}

int netpoll::dispatch(const poll_events& fetched) noexcept {
  int count = 0;
  for (int i = 0; i < fetched.count; ++i) count += dispatch_one(fetched.events[i]);
  return count;
}

int netpoll::poll() noexcept {
  poll_events fetched;
  wait(fetched, 0);
  return dispatch(fetched);
}

int netpoll::check_closed() noexcept {
  if (waiters() == 0) return 0;
  const heap::lock_guard guard(lock_);
  int count = 0;
  poll_entry* const last = last_busy_;
  for (int n = 0; n < k_checked_at_once && first_busy_ != nullptr; ++n) {
    poll_entry& e = *first_busy_;
    unlink_busy(e);
    link_busy(e);
    // Arms for what it is armed for; an event that was fetched and not seen to yet is void, and comes again.
    if (arm(e, EPOLL_CTL_MOD) != 0) count += wake_all(e, true, true, EBADF);
    if (&e == last) break;
  }
  return count;
}

}  // namespace cairn::sched
