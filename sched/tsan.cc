// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What a build with clang's ThreadSanitizer needs; empty elsewhere.
//
// The sanitizer keeps an asynchronous signal back until its thread comes into an interceptor or an atomic operation,
// and there calls the handler as an ordinary function: so the atomics of the state word make the happens-before edges
// between a thread that stops and whoever looks at its memory. Two things follow. A loop without either has to call
// safepoint_poll. And a thread that waits in pthread_mutex_lock does not answer, while the holder of that mutex, which
// has answered, never unlocks it: a deadlock that the program is not to blame for. So waiting for a mutex is done here
// by trying, with a sleep in between, in which signals are delivered. Other calls that block (read, say) hold up a stop
// unless they are made inside blocking().
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <pthread.h>
#include <unistd.h>

#include <cerrno>

#include "sched/handshake.h"

extern "C" int __interceptor_pthread_mutex_lock(pthread_mutex_t* mutex);
extern "C" int __interceptor_pthread_mutex_trylock(pthread_mutex_t* mutex);

// Called when the runtime starts. A program that links the static library would not get this file otherwise: the
// sanitizer has a definition of the function below already.
namespace cairn::sched {
void link_sanitizer_support() noexcept {}
}  // namespace cairn::sched

// The sanitizer's own definition is weak.
extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) {
  cairn::sched::m* self = cairn::sched::current();
  if (self == nullptr || self->depth.load(std::memory_order_relaxed) != 0)
    return __interceptor_pthread_mutex_lock(mutex);
  for (;;) {
    int error = __interceptor_pthread_mutex_trylock(mutex);
    if (error != EBUSY) return error;
    cairn::sched::safepoint_poll();
    usleep(50);
  }
}
#endif
#endif
