// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The memory in which a worker's thread has its stack and its static thread-local storage. It is the library's own and
// is never unmapped, because a goroutine may outlive the thread that it once ran on. Compilers keep the address of
// errno across calls (GCC PR 26461). A goroutine that waits inside `while (read(...) < 0 && errno == EAGAIN)` and goes
// on elsewhere looks at the errno of the thread before; that should be a wrong value, as it always was, and no crash
// because that thread has ended.
//
// The memory of one that has ended serves the next worker. So there is as much address space of it as there were
// workers at once; what was touched goes back to the system when the thread ends, but for a page or two.
//
// Rejected: the C library's own stacks, which it unmaps or keeps as it likes; joining the threads, which waits for
// destructors of thread-local objects.
#pragma once
#include <sys/types.h>

#include <cstddef>

namespace cairn::sched {

struct worker_stack {
  char* low = nullptr;
  std::size_t bytes = 0;
  pid_t tid = 0;                 // written by the thread before it leaves
  worker_stack* next = nullptr;  // owner: whoever has the list
};

namespace worker_stacks {

// With at least so many bytes, a guard below: one whose thread has ended, or a new one. Null: no memory. Calls malloc.
// By the maker of workers, as is the next.
[[nodiscard]] worker_stack* take(std::size_t bytes) noexcept;
// No thread was made on it.
void give(worker_stack* s) noexcept;
// The calling thread, whose stack it is, has done what it was made for. It need not be attached any more.
void leave(worker_stack* s) noexcept;

}  // namespace worker_stacks
}  // namespace cairn::sched
