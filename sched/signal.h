// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The runtime's one signal: installing its handler, sending it, and passing on what is not the runtime's.
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

// Asks the kernel to interrupt the thread. False when there is no such thread any more. By the holder of the registry
// lock.
bool send_signal(m& to) noexcept;

}  // namespace cairn::sched
