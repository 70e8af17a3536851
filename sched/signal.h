// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The runtime's one signal: installing its handler, sending it, and passing on what is not the runtime's.
//
// Invariant: no call of the program's inside blocking() ends early because of the signal. It is sent to no
// thread in the safe state, and who enters blocking() waits for what is on its way:
//
//   sender   begun + 1; state: safe? then no signal; else send it; sent + 1
//   thread   state := safe; begun: as before? then none is on its way; else until sent = begun, and one system call,
//            at whose end the kernel delivers what has been sent
//
// The four are in one order (seq_cst): either the sender sees the safe state or the thread what was begun. A few
// hundred nanoseconds lie between them; but with collections back to back one call in a hundred met them.
#pragma once
#include "sched/m.h"

namespace cairn::sched {

// Installs the handler, keeping the earlier one to chain to. Throws std::system_error.
void install_signal_handler(int signal_number);

// sched/tsan.cc: nothing but a reason to link that file. Defined in builds with clang's ThreadSanitizer.
void link_sanitizer_support() noexcept;

// Lets the signal reach the calling thread. True if it was blocked before.
bool unblock_signal() noexcept;
void block_signal() noexcept;

// Asks the kernel to interrupt the thread, unless it is in the safe state. Gone: the kernel knows no such thread. Where
// the system forbids it, that is said once, and everything goes on as if the signal were late: a thread answers when it
// calls the library, and nobody is frozen.
enum class signalled { yes, not_needed, gone };
signalled send_signal(m& to) noexcept;

// By the thread, in the safe state: when it returns, no signal that was sent before is still to come. Waits for senders
// no longer than 10 ms: one of them may be off its processor.
void await_signals(m& self) noexcept;

}  // namespace cairn::sched
