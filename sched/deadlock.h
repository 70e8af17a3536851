// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// All goroutines of a run wait, and nothing is left that could wake one: no timer, no descriptor, no attached thread
// of the program's own, no finalizer to run. The program ends then, with a list of who waits for what, and status 2.
#pragma once

namespace cairn::sched {

// By sysmon, when no P is in use. Does not return if it finds one.
void check_deadlock() noexcept;

}  // namespace cairn::sched
