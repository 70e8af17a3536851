// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// What run() tells the rest of the scheduler.
#pragma once
#include <cstdint>
#include <exception>

namespace cairn::sched {

// On the main goroutine's stack: calls what run() was given.
void call_main();
// What left it is thrown again by run().
void main_threw(std::exception_ptr what) noexcept;
// It is over, but not by goexit.
void main_is_over() noexcept;
// Usable bytes of its stack: as large as a thread's where nobody has chosen a size.
unsigned long main_stack_bytes() noexcept;

// How many runs have ended, or are ending. Whatever a timer starts is that run's in which it was set.
std::uint32_t runs_ended() noexcept;

// A run is active, its main has not returned, and the thread that called it waits.
bool run_is_waiting() noexcept;

}  // namespace cairn::sched
