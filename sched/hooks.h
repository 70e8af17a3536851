// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What the scheduler asks of the layer above it. One constant table, defined by gc/runtime.cc (and by the test double
// of tests/sched), so that it is there before the first thread attaches, whatever the order of initialisers.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cairn/run.h"
#include "sched/m.h"

namespace cairn::sched {

struct hook_table {
  // Starts the runtime at the first call (reads the environment, reserves the heap, calls sched::initialise), and
  // applies `chosen` at every call. `from_run`: called by run(), else by a thread that attaches. Calls are serialised;
  // depth 0; may allocate, attach the calling thread, start threads, and throw std::invalid_argument or
  // std::bad_alloc, after which the next attach tries again.
  void (*start)(const options& chosen, bool from_run);

  // A new m, linked in when this returns, of the calling thread. Under the registry lock, in a runtime section: no
  // handshake happens between this call and the moment from which they reach the thread.
  void (*on_attach)(m& self) noexcept;
  // The last moment of an m: flush its runs, buffers, root slots. Under the registry lock, in a runtime section.
  // Called by the thread itself, or by another one if it died without being noticed (m.dead).
  void (*on_detach)(m& self) noexcept;

  // A goroutine that does not run is about to, or is scanned while it cannot: what it refers to goes to the markers.
  // In a section, or on a thread that is not attached.
  void (*scan_goroutine)(goroutine& g) noexcept;

  // From here on what the thread allocates is black: what is left of its runs is marked. By itself, in a section.
  void (*blacken)(m& self) noexcept;

  // Something of the gc layer may yet wake goroutines: a finalizer is due, a cycle runs. Any thread; atomics only.
  bool (*may_wake)() noexcept;

  // The thread was kept from running for so long. Called by itself, maybe in its signal handler: atomics only.
  void (*on_pause)(m& self, interruption why, heap::interval took) noexcept;

  // A goroutine that was inside so many no_gc_scopes is dropped. In a section.
  void (*on_scopes_lost)(unsigned n) noexcept;
};

extern const hook_table hooks;

// For hooks.start, once: installs the handler for `signal_number` (SIGURG, or what CAIRNSIGNAL says), the fork
// handlers and the key by which threads detach. Throws std::system_error.
void initialise(int signal_number);

// What max_procs() gives; at least 1. Set by hooks.start.
int procs() noexcept;
void set_max_procs(int n) noexcept;
// CAIRNDEBUG=schedtrace and scheddetail. Set by hooks.start.
void set_schedtrace(std::int64_t every_ms, bool detailed) noexcept;
// Address space per goroutine stack; threads get the system's default if that is larger. Set by hooks.start.
void set_stack_size(std::size_t bytes) noexcept;

}  // namespace cairn::sched
