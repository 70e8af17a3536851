// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The list of attached threads and the lock over it. Internal to sched; others use handshake.h.
#pragma once
#include <atomic>
#include <cstddef>

#include "sched/m.h"

namespace cairn {
struct options;
}

namespace cairn::sched {

// The registry lock. Not a lock of the runtime's usual kind: it is held across a whole stop, so it is taken at depth
// 0 and waited for in the safe state. Below it in the order: every lock that hooks.on_attach and on_detach take.
void acquire_registry();
void release_registry() noexcept;
// False if somebody has it, or waits for it. On a thread without an m, which is not kept waiting so.
bool try_acquire_registry() noexcept;

// Of the registry lock's holder.
m* first_m() noexcept;
// By anybody.
std::size_t attached_count() noexcept;
// Attached threads of the program's own, less one while it waits in run(): they might do something.
int foreign_threads() noexcept;
void count_foreign(int n) noexcept;
// f(m&) for every record that there is, whether a thread uses it or not. By anybody: it takes no lock. Not for one that
// is made meanwhile; but who makes it does so by a sequentially consistent operation.
extern std::atomic<m*> newest_record;
template <class F>
void for_each_record(F&& f) {
  // Sequentially consistent: after the caller's fence, with take_record.
  for (m* p = newest_record.load(std::memory_order_seq_cst); p != nullptr; p = p->older) f(*p);
}
// Takes every m marked dead out of the list, after on_detach.
void reap_dead() noexcept;

// The key whose destructor detaches an ending thread. Throws std::system_error. Once.
void create_exit_key();

// Runs hooks.start under its lock. `from_run` as there.
void start_runtime(const options& chosen, bool from_run);
// With default options, if nobody has.
void ensure_started();

void install_fork_handlers();
// Aborts with a message in the child of a fork.
void check_not_forked() noexcept;

}  // namespace cairn::sched
