// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Exceptions that leave a goroutine: a message with its id, the exception's type and text, the backtrace of the place
// of the throw, and where the goroutine was started; then exit status 2, as a panic does in Go.
//
// An exception is looked for a handler before anything is unwound. So the goroutine's function is called through a
// frame (uncaught_frame.S) whose personality routine, when the search comes to it, knows that nobody has caught the
// exception, and runs on top of the stack that threw, which is whole. That costs those that catch nothing, and one
// call a goroutine. The stack shown is that of the last `throw;` where handlers rethrow, and begins where
// std::rethrow_exception was called where the exception came from elsewhere.
//
// Functions that a task or main keeps the exceptions of are not called so. Neither is anything said here of a goroutine
// that goexit is ending: its exception, which the search cannot tell from others without changing them, has a handler.
//
// The report needs some KiB of the stack that threw, more for long names. Where those are not there, the first line has
// come out, and the report of an overflow follows.
//
// Rejected: catch (...), which is reached when the stack has been unwound.
//           noexcept, which GCC's runtime counts as a handler: what is above it is unwound first; clang makes it a
//           catch (...).
//           no handler at all, and a terminate handler: there is one for the program, which may set its own, while a
//           goroutine's exception is to end it with this message, and status 2, whatever that one does.
#pragma once
#include "sched/goroutine.h"

namespace cairn::sched {

// Calls g.function, an exception of which ends the program. That of goexit passes through, and a forced unwind.
void call_to_the_end(goroutine& g);

// Inside a handler, for what was found there after all: without a backtrace.
[[noreturn, gnu::cold]] void report_uncaught(const goroutine& g) noexcept;

}  // namespace cairn::sched
