// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The child of a fork() has one thread and locks that nobody will ever release: it may exec or _exit. Its thread is
// not attached, so all that would use the library comes to the slow path, which says so and aborts.
#include <pthread.h>

#include <cstdlib>
#include <system_error>

#include "sched/message.h"
#include "sched/registry.h"

namespace cairn::sched {
namespace {

bool forked = false;  // written in the child only, which has one thread

void on_child() noexcept {
  forked = true;
  detail::tls_cache = &nobody;
}

}  // namespace

bool in_forked_child() noexcept { return forked; }

void install_fork_handlers() {
  if (int error = pthread_atfork(nullptr, nullptr, on_child); error != 0)
    throw std::system_error(error, std::generic_category(), "cairn: cannot watch fork()");
}

void check_not_forked() noexcept {
  if (!forked) [[likely]]
    return;
  (message()
   << "cairn: the library was used in the child of a fork(); the child of a program that uses Cairn may "
      "only exec or _exit\n")
      .send();
  std::abort();
}

}  // namespace cairn::sched
