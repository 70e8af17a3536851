// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Running past the end of a goroutine's stack: the access to the guard is caught on an alternate stack, and ends the
// program with a message that names the goroutine. All other faults go to the handler that was there before.
//
// A frame larger than the guard can jump over it unless the program is compiled with -fstack-clash-protection, which
// the exported target asks for.
#pragma once

namespace cairn::sched {

// Once, when the runtime starts. Throws std::system_error.
void install_overflow_handler();

// The alternate stack of a worker's thread, for as long as one exists. Without memory for one an overflow ends the
// program with the kernel's own message.
class alternate_stack {
 public:
  alternate_stack() noexcept;
  ~alternate_stack();
  alternate_stack(const alternate_stack&) = delete;
  alternate_stack& operator=(const alternate_stack&) = delete;

 private:
  void* memory_;
};

}  // namespace cairn::sched
