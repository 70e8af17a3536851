// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// SIGQUIT: every goroutine with its backtrace on standard error, then exit status 2, as Go does.
//
// The signal's handler wakes a thread that does nothing else. It is not attached, has no P, and takes no lock of the
// runtime's: goroutines that stand still are held if that can be had within microseconds, and read as they are
// otherwise; those that run are asked by signal for a copy of their stack, whatever they are in the middle of, and done
// without if they do not answer; a fault while a stack is read costs that one stack. Names of functions are demangled,
// for which malloc is needed: if ten seconds pass in which nothing comes out, the rest of the list is printed without
// backtraces, from the handler of a timer, which needs nothing but write.
#pragma once
#include "sched/m.h"

namespace cairn::sched {

// Whether SIGQUIT does what it does by default.
bool is_quit_at_default() noexcept;
// Once, after the thread with this body was started.
void install_quit_handler() noexcept;
void* quit_main(void*);

// In the handler of the runtime's signal: copies the stack if that is what was asked. Any depth.
void copy_stack_if_asked(m& self) noexcept;
// In the handler of SIGSEGV: does not return if it was a stack that could not be read.
void recover_from_fault() noexcept;

}  // namespace cairn::sched
