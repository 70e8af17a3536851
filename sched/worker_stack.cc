// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/worker_stack.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>
#include <utility>

#include "heap/os.h"
#include "sched/stack.h"

namespace cairn::sched::worker_stacks {
namespace {

// Release by the thread that leaves, acquire by the maker, who takes all at once.
std::atomic<worker_stack*> left{nullptr};
worker_stack* free_ones = nullptr;  // the maker's, as is the next: their threads may not be gone yet
worker_stack* leaving = nullptr;

// The kernel knows no such thread, so nothing runs on its stack. (The number may be another thread's by now: then it is
// not used again for as long as that lives.)
bool is_gone(const worker_stack& s) noexcept {
  const int saved_errno = errno;
  const bool gone = syscall(SYS_tgkill, getpid(), s.tid, 0) == -1 && errno == ESRCH;
  errno = saved_errno;
  return gone;
}

void look_for_gone() noexcept {
  worker_stack* all = left.exchange(nullptr, std::memory_order_acquire);
  while (all != nullptr) {
    worker_stack* s = std::exchange(all, all->next);
    s->next = std::exchange(leaving, s);
  }
  for (worker_stack** at = &leaving; *at != nullptr;) {
    worker_stack* s = *at;
    if (is_gone(*s)) {
      *at = s->next;
      give(s);
    } else {
      at = &s->next;
    }
  }
}

worker_stack* make(std::size_t bytes) noexcept {
  heap::os& os = heap::the_os();
  const std::size_t page = os.physical_page_bytes();
  const std::size_t usable = (bytes + page - 1) & ~(page - 1);
  auto* s = new (std::nothrow) worker_stack;
  if (s == nullptr) return nullptr;
  auto* base = static_cast<char*>(os.reserve(stacks::k_guard_bytes + usable, page, nullptr));
  if (base != nullptr && os.commit(base + stacks::k_guard_bytes, usable)) {
    s->low = base + stacks::k_guard_bytes;
    s->bytes = usable;
    os.advise(s->low, usable, heap::huge_pages::no);
    return s;
  }
  if (base != nullptr) os.release(base, stacks::k_guard_bytes + usable);
  delete s;
  return nullptr;
}

}  // namespace

worker_stack* take(std::size_t bytes) noexcept {
  if (free_ones == nullptr) look_for_gone();
  for (worker_stack** at = &free_ones; *at != nullptr; at = &(*at)->next) {
    if ((*at)->bytes < bytes) continue;
    worker_stack* s = *at;
    *at = s->next;
    return s;
  }
  return make(bytes);
}

void give(worker_stack* s) noexcept { s->next = std::exchange(free_ones, s); }

void leave(worker_stack* s) noexcept {
  // Below what this call and those in it use.
  constexpr std::size_t k_margin = std::size_t{64} << 10;
  stacks::trim({s->low, s->low + s->bytes}, static_cast<char*>(__builtin_frame_address(0)) - k_margin);
  s->tid = static_cast<pid_t>(syscall(SYS_gettid));
  worker_stack* first = left.load(std::memory_order_relaxed);
  do s->next = first;
  while (!left.compare_exchange_weak(first, s, std::memory_order_release, std::memory_order_relaxed));
}

}  // namespace cairn::sched::worker_stacks
