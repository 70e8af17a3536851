// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// CAIRNDEBUG=ptrcheck=1: every store of a gc_ptr checks that the collector will see it.
#pragma once

namespace cairn::sched {
struct m;
}

namespace cairn::gc {

// Aborts with a message unless `slot` lies in a heap object, on the stack of an attached thread, in static or in
// static thread-local storage, or `value` is not a heap address. `type`: what the gc_ptr points to.
void check_location(const void* slot, const void* value, const char* type) noexcept;

// Aborts with a message if `value` is a heap address with no allocated object at it.
void check_value(const void* slot, const void* value, const char* type) noexcept;

}  // namespace cairn::gc
