// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// CAIRNDEBUG=ptrcheck=1: every store of a gc_ptr checks that the collector will see it.
#pragma once

namespace cairn::sched {
struct m;
}

namespace cairn::gc {

// Bits of cairn_barrier_flags.
inline constexpr unsigned char k_marking = 1;
inline constexpr unsigned char k_check_location = 2;  // ptrcheck=1
inline constexpr unsigned char k_check_value = 4;     // invalidptr=1

// Aborts with a message unless `slot` lies in a heap object, on the stack of an attached thread, in static or in
// static thread-local storage, or `value` is not a heap address. `type`: what the gc_ptr points to.
void check_location(const void* slot, const void* value, const char* type) noexcept;

// Aborts with a message if `value` is a heap address with no allocated object at it.
void check_value(const void* slot, const void* value, const char* type) noexcept;

// What the thread's barrier buffer holds goes to the markers. Inside a section, or by its stopper.
void flush_barrier(sched::m& thread) noexcept;

}  // namespace cairn::gc
