// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// sysmon: a thread without a P that looks after the others. It takes the P of a thread that has been blocked
// for more than one look while others could use it; asks for the P of a goroutine that has run for 10 ms; calls
// for help where work waits and a P is idle; polls for descriptors when nobody has for 10 ms, and looks for
// those that were closed while somebody waits; finds out that nobody can ever go on (deadlock); and gives
// memory of goroutines that are gone, and what those that wait for long have of their stacks for nothing, back
// to the system. It sleeps for as long as no P is in use, but for looks at descriptors, once a second in the
// end.
//
// It is not attached, takes no lock that a goroutine can hold, and allocates nothing.
#pragma once
#include <cstdint>

namespace cairn::sched {

void* sysmon_main(void*);
// A P has come into use after none was; or what a deadlock is found by has changed. Any thread, any depth.
void wake_sysmon() noexcept;
// How often it was woken; grows when a P comes into use and none was.
std::uint32_t wake_count() noexcept;

}  // namespace cairn::sched
